"""Kernels in sandboxes of their own: run, interrupt, restart, crash, many at once; a stop leaves nothing behind.

How a workspace is kept going, its terminals, and how a revocation ends it, stand here too: the stand is the same.
"""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from enclave_terminal_window import (  # type: ignore[import-not-found]
    approve,
    look,
    offers_terminals,
    open_terminal,
    stdin,
)
from enclave_test_stand import is_alive, wait_for  # type: ignore[import-not-found]

from enclave import keys
from enclave.domain.ids import ProjectId, WorkspaceId
from enclave.domain.usage import Computed
from enclave.edge.terminal_screen import SENTENCES
from enclave.metering.ledger import find_ledger
from enclave.workspaces.host_process import end_hosts

ENGINES = ("bubblewrap", "docker")
SIX = 6
MINUTES = 120
STUDY = ProjectId("study")
BUDGET = 400_000


@pytest.fixture(scope="module")
def alice(stand: Any) -> Any:
    browser = stand.browser("alice")
    browser.here = browser.start_workspace("kernels")
    browser.kernel = browser.open_kernel(browser.here)
    browser.wid = next(wid for wid, who in stand.portal.started.items() if who == "alice/kernels")
    return browser


def test_a_running_cell_is_interrupted_and_variables_stay(alice: Any) -> None:
    alice.execute(alice.here, alice.kernel, "kept = 1")
    code = "import time\nopen('busy', 'w').close()\nwhile True: time.sleep(0.1)"
    home = Path(alice.stand.settings.workspaces_dir) / "kernels" / "alice"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(alice.execute, alice.here, alice.kernel, code)
        wait_for((home / "busy").exists, "the cell to run")
        assert alice.call("POST", f"{alice.here}/api/kernels/{alice.kernel}/interrupt").status_code == 204
        assert "KeyboardInterrupt" in running.result(30)
    assert alice.execute(alice.here, alice.kernel, "print(kept)") == "1\n"


def test_an_interrupt_reaches_what_a_cell_has_started(alice: Any) -> None:
    code = "import subprocess\nopen('child', 'w').close()\nsubprocess.run(['sleep', '600'])"
    home = Path(alice.stand.settings.workspaces_dir) / "kernels" / "alice"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(alice.execute, alice.here, alice.kernel, code)
        wait_for((home / "child").exists, "the cell to run")
        alice.call("POST", f"{alice.here}/api/kernels/{alice.kernel}/interrupt")
        assert "KeyboardInterrupt" in running.result(30)


def test_a_restart_gives_an_empty_kernel(alice: Any) -> None:
    assert alice.call("POST", f"{alice.here}/api/kernels/{alice.kernel}/restart").status_code == 200
    assert "NameError" in alice.execute(alice.here, alice.kernel, "kept")


def test_a_crashed_kernel_is_noticed_and_comes_back(alice: Any) -> None:
    """JupyterLab shows the state this API reports; the server starts the kernel anew by itself."""
    with ThreadPoolExecutor(1) as pool:
        crash = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
        said = pool.submit(alice.watch, alice.here, alice.kernel, crash, "restarting")
        assert said.result(60)
    wait_for(lambda: alice.answers(alice.here, alice.kernel, "print('back')", "back\n"), "the kernel to be back")


def test_six_kernels_at_once_each_in_a_sandbox_of_its_own(alice: Any) -> None:
    with ThreadPoolExecutor(SIX) as pool:
        kernels = list(pool.map(lambda _: alice.open_kernel(alice.here), range(SIX)))
        code = (
            "import os, json\nprint(json.dumps([os.listdir('/run/kernels'), os.readlink('/proc/self/ns/pid'), "
            "sorted(p for p in os.listdir('/proc') if p.isdigit())]))"
        )
        said = list(pool.map(lambda k: json.loads(alice.execute(alice.here, k, code, 120)), kernels))
    assert [seen for seen, _, _ in said] == [[kernel] for kernel in kernels]
    assert len({namespace for _, namespace, _ in said}) == SIX
    assert all(processes[0] == "1" and len(processes) == 2 for _, _, processes in said)
    for kernel in kernels:
        assert alice.call("DELETE", f"{alice.here}/api/kernels/{kernel}").status_code == 204
    ipc = alice.stand.settings.run_dir / "ws" / alice.wid / "ipc"
    wait_for(lambda: [p.name for p in ipc.iterdir()] == [alice.kernel], "the folders of ended kernels to go")


@pytest.mark.needs_root
def test_no_kernels_folder_can_be_replaced_from_inside(alice: Any) -> None:
    """The server sees them all and writes into each; a link in one's place would be mounted by root."""
    ipc = alice.stand.settings.run_dir / "ws" / alice.wid / "ipc"
    assert (ipc.stat().st_uid, ipc.stat().st_mode & 0o777) == (0, 0o755)
    assert (ipc / alice.kernel).stat().st_uid >= 200000


def test_the_researcher_can_see_how_long_it_lasts(alice: Any) -> None:
    printed = alice.execute(alice.here, alice.kernel, "print(open('/run/enclave/limits.json').read())")
    limits = json.loads(printed)
    hours = (datetime.fromisoformat(limits["ends_at"]) - datetime.now(UTC)).total_seconds() / 3600
    assert 11 < hours <= 12
    assert limits["idle_minutes"] == 120


def test_jupyterlab_offers_no_terminal_where_the_permit_allows_none(alice: Any) -> None:
    assert offers_terminals(alice) == (False, False)


def test_a_stop_leaves_no_process_and_no_folder(stand: Any, alice: Any) -> None:
    folder = stand.settings.run_dir / "ws" / alice.wid
    pids = stand.processes_of(alice.wid)
    assert len(pids) > 4  # the host, and two processes per sandbox at least
    token = keys.hub_api_token(stand.settings)
    assert stand.hub_api("DELETE", "/users/alice/servers/kernels", token).status_code in (202, 204)
    wait_for(lambda: not folder.exists(), "the folder to go")
    wait_for(lambda: not any(is_alive(pid) for pid in pids), "all processes to end")
    ledger = find_ledger(stand.settings.metering_dir, ProjectId("kernels"), WorkspaceId(alice.wid))
    assert ledger is not None
    used = sum(ledger.read().days.values(), Computed())
    assert used.cpu_ns > 10**9, "a server and nine kernels have started and ended"
    assert used.memory_peak_bytes > 50_000_000
    assert used.memory_byte_seconds > 50_000_000
    assert used.seconds >= 1


def test_a_stop_of_the_enclave_ends_what_the_hub_could_not(stand: Any) -> None:
    """What the supervisor calls last; here it ends a workspace under a hub that knows nothing of it."""
    frank = stand.browser("frank")
    frank.start_workspace("left-over")
    wid = next(wid for wid, who in stand.portal.started.items() if who.startswith("frank/"))
    pids = stand.processes_of(wid)
    end_hosts(stand.settings.run_dir)
    wait_for(lambda: not any(is_alive(pid) for pid in pids), "all processes to end")
    wait_for(lambda: wid in stand.portal.stopped, "the hub to report the end")


@pytest.fixture(scope="module")
def dora(stand: Any) -> Any:
    stand.portal.terminals.add(STUDY)
    browser = stand.browser("dora")
    browser.here = browser.start_workspace("study")
    browser.wid = next(wid for wid, who in stand.portal.started.items() if who == "dora/study")
    browser.folder = stand.settings.run_dir / "ws" / browser.wid
    return browser


def test_keep_it_going_counts_as_activity_and_looking_does_not(dora: Any) -> None:
    """The edge has seen somebody at work, so the hub moves the idle end; a look at the limits moves nothing."""
    asked_at = datetime.now(UTC).replace(microsecond=0)
    assert dora.call("POST", f"{dora.here}/enclave/keep", json={}).json() == {}
    moved = wait_for(lambda: idle_end(dora.folder) >= asked_at + timedelta(minutes=MINUTES), "the idle end to move")
    assert moved
    before = idle_end(dora.folder)
    assert dora.call("GET", f"{dora.here}/enclave/limits").json()["idle_minutes"] == MINUTES
    looked_at = (dora.folder / "host" / "state.json").stat().st_mtime
    wait_for(lambda: (dora.folder / "host" / "state.json").stat().st_mtime > looked_at, "the hub's next look")
    assert idle_end(dora.folder) == before
    assert dora.call("POST", f"{dora.here}/enclave/keep", json={"hours": 99}).status_code == 400


def test_a_permit_that_says_nothing_of_terminals_allows_none(stand: Any, dora: Any) -> None:
    """The server has them; the edge goes by the permit."""
    approve(stand, STUDY, "archive_days: 1")
    for method, path in (("GET", "api/terminals"), ("POST", "api/terminals"), ("GET", "terminals/websocket/1")):
        refused = dora.call(method, f"{dora.here}/{path}")
        assert (refused.status_code, "does not allow terminals" in refused.text) == (403, True)
    approve(stand, STUDY, f"terminals: true, shown_bytes_per_day: {BUDGET}")
    assert dora.call("GET", f"{dora.here}/api/terminals").json() == []
    assert offers_terminals(dora) == (True, True)


def test_a_shell_works_in_the_home_and_knows_its_size(dora: Any) -> None:
    name = open_terminal(dora, dora.here)
    shown = look(
        dora,
        dora.here,
        name,
        (stdin("echo $((6*7))"), "42\r\n"),
        (["set_size", 33, 121, 1, 1], ""),
        (stdin("stty size; pwd; test -t 0 && echo is-a-tty"), "33 121\r\n/home/researcher\r\nis-a-tty\r\n"),
        (stdin(r"printf 'a\033]52;c;eA==\007b\033]0;t'; printf 'itle\033\\c\n'"), "abc\r\n"),
        (stdin("python -c 'import enclave_client, sys; print(sys.prefix)'"), "/opt/image\r\n"),
        (stdin("sh -c 'echo begins; exec sleep 600'"), "begins\r\n"),
        (["stdin", "\x03"], "^C"),
    )
    assert "\x1b]" not in shown
    again = look(dora, dora.here, name, (None, "is-a-tty"), (stdin("exit"), "<end>"))
    assert "42" in again, "a window that opens later sees what was shown"
    wait_for(lambda: dora.call("GET", f"{dora.here}/api/terminals").json() == [], "the terminal to go")
    assert dora.call("GET", f"{dora.here}/api/terminals/{name}").status_code == 404


PROBE = """import json, os, re
def read(path):
    try:
        return open(path).read()
    except OSError:
        return ''
pids = [name for name in os.listdir('/proc') if name.isdigit()]
rights = [line for line in read('/proc/self/status').splitlines() if re.match('Uid|Gid|Groups|Cap|NoNew|Seccomp', line)]
mounts = sorted(' '.join(line.split()[4:6]) for line in read('/proc/self/mountinfo').splitlines())
walls = [rights, re.sub('[0-9a-f-]{36}', '', ' '.join(mounts)), read('/proc/self/limits'), sorted(os.listdir('/dev'))]
walls += [read('/proc/net/dev'), sorted(os.listdir('/opt')), len(os.listdir('/run/kernels'))]
channel = any('ENCLAVE_HOST_FD' in read(f'/proc/{pid}/environ') for pid in pids)
print('<' + json.dumps([walls, len(pids), channel, os.readlink('/proc/self/ns/pid')]) + '>')
"""


def test_a_terminals_sandbox_is_a_kernels_and_not_the_servers(dora: Any) -> None:
    """The same rights, mounts, limits and devices; no process but its own, no folder of another kernel."""
    kernel = dora.open_kernel(dora.here)
    name = open_terminal(dora, dora.here)
    dora.execute(dora.here, kernel, f"open('probe.py', 'w').write({PROBE!r})")
    there = look(dora, dora.here, name, (stdin("python probe.py"), "]>"))
    here = dora.execute(dora.here, kernel, "exec(open('probe.py').read())")
    terminals, kernels = (json.loads(said.rpartition("<")[2].rpartition(">")[0]) for said in (there, here))
    assert terminals[0] == kernels[0]
    assert terminals[0][-1] == 1 and "enclave_server" not in terminals[0][-2]
    assert (terminals[1] <= 4, terminals[2]) == (True, False), "process 1, the pty's, the shell, the probe"
    assert terminals[3] != kernels[3]
    assert dora.call("DELETE", f"{dora.here}/api/kernels/{kernel}").status_code == 204
    assert dora.call("DELETE", f"{dora.here}/api/terminals/{name}").status_code == 204
    wait_for(lambda: not list((dora.folder / "ipc").iterdir()), "the terminal's folder to go")


def test_the_budget_stops_it_and_a_changed_permit_silences_it(stand: Any, dora: Any) -> None:
    name = open_terminal(dora, dora.here)
    flood = stdin(f"head -c {2 * BUDGET} /dev/zero | tr '\\0' x; echo")
    shown = look(dora, dora.here, name, (flood, SENTENCES["stopped"]["en"]))
    assert len(shown) <= 3 * BUDGET // 2
    gauge = dora.call("GET", f"{dora.here}/enclave/exposure").json()
    assert (gauge["state"], gauge["shown_bytes"] > BUDGET) == ("stopped", True)
    approve(stand, STUDY, "shown_bytes_per_day: 100000000")
    assert dora.call("DELETE", f"{dora.here}/api/terminals/{name}").status_code == 403
    approve(stand, STUDY, "terminals: true")
    assert dora.call("DELETE", f"{dora.here}/api/terminals/{name}").status_code == 204


def idle_end(folder: Path) -> datetime:
    found = json.loads((folder / "in" / "limits.json").read_text())["idle_ends_at"]
    return datetime.fromisoformat(found) if found else datetime.min.replace(tzinfo=UTC)


def test_a_revoked_persons_workspace_is_gone(stand: Any, dora: Any) -> None:
    """Server, kernels, terminal, open channel, the gateway's socket. Only the hub looks: there is no runner.

    That it takes at most ten seconds is the sum of the product's waits (tests/unit/workspaces/test_standing.py).
    """
    kernel = dora.open_kernel(dora.here)
    open_terminal(dora, dora.here)
    assert dora.execute(dora.here, kernel, "print('here')") == "here\n"
    pids = stand.processes_of(dora.wid)
    assert len(pids) >= 7  # host; three sandboxes of two processes at least
    assert dora.wid in stand.gateway.open
    asyncio.run(channel_closes(stand, dora, kernel))
    wait_for(lambda: not any(is_alive(pid) for pid in pids), "server, kernels and terminal to end")
    wait_for(lambda: not dora.folder.exists(), "the workspace's folder to go")
    wait_for(lambda: dora.wid not in stand.gateway.open, "the gateway's socket to close")
    wait_for(lambda: dora.wid in stand.portal.stopped, "the portal to be told")


async def channel_closes(stand: Any, dora: Any, kernel: str) -> None:
    """Revoke while a channel is open at the edge; returns when the edge has closed it."""
    url = f"http://127.0.0.1:{stand.settings.port}{dora.here}/api/kernels/{kernel}/channels?session_id=t"
    origin = stand.hub_url(f"{dora.here}/").removesuffix(f"{dora.here}/")
    headers = {"Host": urlsplit(origin).netloc, "Origin": origin, "Cookie": dora.cookie_header(f"{dora.here}/api")}
    async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as socket:
        stand.portal.revoke("dora")

        async def until_closed() -> None:
            async for _ in socket:
                pass

        await asyncio.wait_for(until_closed(), 60)
        assert socket.closed
