"""The supervisor with real processes: it brings back what dies, and leaves nothing behind when it is killed itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from enclave.predecessors import await_predecessors
from enclave.processes import ServiceSpec, accepts_connections, service_specs
from enclave.settings import Settings
from enclave.supervisor import StartError, Supervisor

LISTEN = "import socket,sys,signal; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); signal.pause()"


@pytest.fixture
def settings() -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="en", dir="/tmp") as folder:
        yield Settings(home=Path(folder))


def audit_spec(settings: Settings) -> ServiceSpec:
    return service_specs(settings)[0]


def listener(settings: Settings, name: str) -> ServiceSpec:
    path = settings.run_dir / f"{name}.sock"
    code = f"import os; os.path.exists({str(path)!r}) and os.unlink({str(path)!r}); {LISTEN}"
    return ServiceSpec(name, (sys.executable, "-c", code, str(path)), path, grace_seconds=2)


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_process_comes_back_and_the_restart_is_recorded(settings: Settings) -> None:
    # no edge listens here: what a setting gives up is on record with the start, whoever starts the enclave
    settings = settings.model_copy(update={"host": "0.0.0.0", "passwords_in_clear_over_the_network": True})
    supervisor = Supervisor(settings, (audit_spec(settings), listener(settings, "one"), listener(settings, "two")))
    supervisor.start()
    try:
        for name in ("one", "two", "audit"):
            before = supervisor.pids()[name]
            os.kill(before, signal.SIGKILL)
            wait_until(lambda before=before: not is_alive(before) or _reaped(supervisor))  # type: ignore[misc]

            def back(name: str = name, before: int = before) -> bool:
                supervisor.turn()
                return supervisor.pids().get(name, before) != before

            wait_until(back)
            address = settings.audit_socket if name == "audit" else settings.run_dir / f"{name}.sock"
            wait_until(lambda address=address: accepts_connections(address))  # type: ignore[misc]
        assert json.loads((settings.run_dir / "supervisor.json").read_text())["services"] == supervisor.pids()
    finally:
        pids = supervisor.pids()
        supervisor.stop()
    assert not any(is_alive(pid) for pid in pids.values())
    assert {path.name for path in settings.run_dir.iterdir()} <= {"supervisor.lock"}
    assert [leaf["subject"] for leaf in _leaves(settings, "process:restarted")] == ["one", "two", "audit"]
    (started,) = _leaves(settings, "system:started")
    assert "plain-http" in started["data"]["weaker"]


def _reaped(supervisor: Supervisor) -> bool:
    supervisor.turn()
    return True


def _leaves(settings: Settings, event: str) -> list[dict[str, Any]]:
    from audit.reader import read_entries

    return [entry.leaf for entry in read_entries(settings.log_dir) if entry.leaf["type"] == event]


def test_a_process_that_does_not_come_up_is_named_and_nothing_stays(settings: Settings) -> None:
    broken = ServiceSpec("broken", (sys.executable, "-c", "print('no key'); raise SystemExit(3)"), Path("/nowhere"))
    supervisor = Supervisor(settings, (listener(settings, "one"), broken))
    with pytest.raises(StartError, match=r"broken ended with code 3(.|\n)*no key"):
        supervisor.start()
    assert supervisor.pids() == {}


def test_a_second_supervisor_on_the_same_home_is_refused(settings: Settings) -> None:
    first = Supervisor(settings, (listener(settings, "one"),))
    first.start()
    try:
        with pytest.raises(StartError, match="enclave demo --stop"):
            Supervisor(settings, (), lock_seconds=0.5).start()
    finally:
        first.stop()


def test_children_end_with_a_killed_supervisor(settings: Settings) -> None:
    code = (
        "import sys, time; from pathlib import Path; from enclave.settings import Settings; "
        "from enclave.logs import configure; configure('supervisor'); "
        "from enclave.supervisor import Supervisor; from enclave.processes import ServiceSpec; "
        f"s = Supervisor(Settings(home=Path({str(settings.root)!r})), "
        f"(ServiceSpec('one', (sys.executable, '-c', {LISTEN!r}, {str(settings.run_dir / 'one.sock')!r}), "
        f"Path({str(settings.run_dir / 'one.sock')!r})),)); s.start(); print(s.pids()['one'], flush=True); "
        "time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.kill()
    process.wait(60)
    process.stdout.close()
    wait_until(lambda: not is_alive(child))


def test_waiting_for_predecessors_ignores_processes_that_are_not_ours(settings: Settings) -> None:
    settings.run_dir.mkdir(parents=True)
    state = settings.run_dir / "supervisor.json"
    state.write_text(json.dumps({"services": {"portal": os.getpid()}}))
    started = time.monotonic()
    await_predecessors(state, seconds=150)
    assert time.monotonic() - started < 60
