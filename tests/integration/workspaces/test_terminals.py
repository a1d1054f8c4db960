"""Terminals through the real hub, edge and sandboxes of both engines; the edge reads an approved permit."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from enclave_terminal_window import look, open_terminal, stdin  # type: ignore[import-not-found]
from enclave_test_stand import REPOSITORY, is_alive, wait_for  # type: ignore[import-not-found]

from enclave.access import AccessFiles
from enclave.domain.ids import ProjectId
from enclave.edge.terminal_screen import SENTENCES

ENGINES = ("bubblewrap", "docker")
PROJECT = ProjectId("gibleed-nsaids")
PERMIT = (REPOSITORY / "examples" / "permits" / "gibleed.yaml").read_text()
BUDGET = 400_000


def approve(stand: Any, more: str) -> None:
    """The project's permit says so from now on."""
    access = AccessFiles(stand.settings)
    permit = PERMIT.replace("idle_minutes: 120", f"idle_minutes: 120, {more}")
    record = access.project(PROJECT)
    assert record is not None
    access.permit_file(PROJECT).write_text(permit)
    access.write_project(replace(record, permit_sha256=hashlib.sha256(permit.encode()).hexdigest()))


@pytest.fixture(scope="module")
def alice(stand: Any) -> Any:
    stand.portal.terminals.add(PROJECT)
    browser = stand.browser("alice")
    browser.here = browser.start_workspace(PROJECT)
    browser.wid = next(wid for wid, who in stand.portal.started.items() if who == f"alice/{PROJECT}")
    return browser


def test_a_permit_that_says_nothing_of_terminals_allows_none(stand: Any, alice: Any) -> None:
    """The server has them; the edge goes by the permit."""
    approve(stand, "archive_days: 1")
    for method, path in (("GET", "api/terminals"), ("POST", "api/terminals"), ("GET", "terminals/websocket/1")):
        refused = alice.call(method, f"{alice.here}/{path}")
        assert (refused.status_code, "does not allow terminals" in refused.text) == (403, True)
    approve(stand, f"terminals: true, shown_bytes_per_day: {BUDGET}")
    assert alice.call("GET", f"{alice.here}/api/terminals").json() == []


def test_a_shell_works_in_the_home_and_knows_its_size(alice: Any) -> None:
    name = open_terminal(alice, alice.here)
    shown = look(
        alice,
        alice.here,
        name,
        (stdin("echo $((6*7))"), "\r42\r\n"),
        (["set_size", 33, 121, 1, 1], ""),
        (stdin("stty size; pwd; test -t 0 && echo is-a-tty"), "\r33 121\r\n/home/researcher\r\nis-a-tty\r\n"),
        (stdin(r"printf 'a\033]52;c;eA==\007b\033]0;t'; printf 'itle\033\\c\n'"), "\rabc\r\n"),
        (stdin("python -c 'import enclave_client, sys; print(sys.prefix)'"), "\r/opt/image\r\n"),
        (["stdin", "sleep 600\r"], "sleep 600"),
        (["stdin", "\x03"], "^C"),
    )
    assert "\x1b]" not in shown
    again = look(alice, alice.here, name, (None, "is-a-tty"), (stdin("exit"), "<end>"))
    assert "42" in again, "a window that opens later sees what was shown"
    wait_for(lambda: alice.call("GET", f"{alice.here}/api/terminals").json() == [], "the terminal to go")
    assert alice.call("GET", f"{alice.here}/api/terminals/{name}").status_code == 404


def test_it_is_a_sandbox_like_a_kernels_and_not_the_servers(alice: Any) -> None:
    """No process but its own, no folder of another kernel, nothing of the server's environment or descriptors."""
    kernel = alice.open_kernel(alice.here)
    name = open_terminal(alice, alice.here)
    code = (
        "import json, os\npids = [p for p in os.listdir('/proc') if p.isdigit()]\n"
        "def read(p):\n    try: return open(f'/proc/{p}/environ', 'rb').read().decode()\n    except OSError: return ''\n"
        "print('<' + json.dumps([len(pids), 'ENCLAVE_HOST_FD' in ''.join(map(read, pids)), "
        "len(os.listdir('/run/kernels')), sorted(os.listdir('/opt')), os.readlink('/proc/self/ns/pid')]) + '>')\n"
    )
    alice.execute(alice.here, kernel, f"open('probe.py', 'w').write({code!r})")
    shown = look(alice, alice.here, name, (stdin("python probe.py"), "]>"))
    processes, has_channel, folders, mounted, namespace = json.loads(shown.rpartition("<")[2].rpartition(">")[0])
    inside = alice.execute(alice.here, kernel, "import os; print(os.readlink('/proc/self/ns/pid'))").strip()
    assert (has_channel, folders) == (False, 1)
    assert processes <= 4, "process 1, our pty, the shell, the probe"
    assert "enclave_server" not in mounted
    assert namespace != inside
    assert alice.call("DELETE", f"{alice.here}/api/kernels/{kernel}").status_code == 204
    assert alice.call("DELETE", f"{alice.here}/api/terminals/{name}").status_code == 204
    ipc = Path(alice.stand.settings.run_dir) / "ws" / alice.wid / "ipc"
    wait_for(lambda: not list(ipc.iterdir()), "the terminal's folder to go")


def test_the_budget_stops_it_and_a_changed_permit_silences_it(stand: Any, alice: Any) -> None:
    name = open_terminal(alice, alice.here)
    flood = stdin(f"head -c {2 * BUDGET} /dev/zero | tr '\\0' x; echo")
    shown = look(alice, alice.here, name, (flood, SENTENCES["stopped"]["en"]))
    assert len(shown) <= 3 * BUDGET // 2
    gauge = alice.call("GET", f"{alice.here}/enclave/exposure").json()
    assert (gauge["state"], gauge["shown_bytes"] > BUDGET) == ("stopped", True)
    approve(stand, "shown_bytes_per_day: 100000000")
    assert alice.call("DELETE", f"{alice.here}/api/terminals/{name}").status_code == 403
    approve(stand, "terminals: true")
    assert alice.call("DELETE", f"{alice.here}/api/terminals/{name}").status_code == 204


def test_a_revoked_persons_terminal_ends(stand: Any, alice: Any) -> None:
    open_terminal(alice, alice.here)
    processes = stand.processes_of(alice.wid)
    stand.portal.revoke("alice")
    wait_for(lambda: not any(map(is_alive, processes)), "everything of the workspace to end", 60)
