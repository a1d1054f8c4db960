"""Kernels in sandboxes of their own: run, interrupt, restart, crash, many at once; a stop leaves nothing behind."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from enclave_test_stand import is_alive, wait_for  # type: ignore[import-not-found]

from enclave import keys
from enclave.workspaces.host_process import end_hosts

ENGINES = ("bubblewrap", "docker")
SIX = 6


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
    wait_for(lambda: alice.execute(alice.here, alice.kernel, "print('back')") == "back\n", "the kernel to be back")


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


def test_a_stop_leaves_no_process_and_no_folder(stand: Any, alice: Any) -> None:
    folder = stand.settings.run_dir / "ws" / alice.wid
    pids = stand.processes_of(alice.wid)
    assert len(pids) > 4  # the host, and two processes per sandbox at least
    token = keys.hub_api_token(stand.settings)
    assert stand.hub_api("DELETE", "/users/alice/servers/kernels", token).status_code in (202, 204)
    wait_for(lambda: not folder.exists(), "the folder to go")
    wait_for(lambda: not any(is_alive(pid) for pid in pids), "all processes to end")


def test_a_stop_of_the_enclave_ends_what_the_hub_could_not(stand: Any) -> None:
    """What the supervisor calls last; here it ends a workspace under a hub that knows nothing of it."""
    frank = stand.browser("frank")
    frank.start_workspace("left-over")
    wid = next(wid for wid, who in stand.portal.started.items() if who.startswith("frank/"))
    pids = stand.processes_of(wid)
    end_hosts(stand.settings.run_dir)
    wait_for(lambda: not any(is_alive(pid) for pid in pids), "all processes to end")
    wait_for(lambda: wid in stand.portal.stopped, "the hub to report the end")
