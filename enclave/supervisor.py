"""Starts the enclave's processes in order, brings back each one that dies, stops them in reverse order.

Every child is started through ``setpriv --pdeathsig``: if the supervisor itself is killed, its children end with it
and nothing is left behind; ``enclave.guardian`` then starts a new supervisor. A restart is recorded in the audit log.
Non-goal: remembering anything; all state is on disk and belongs to the processes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import IO

import structlog

from audit.client import AuditClient, AuditUnavailable
from audit.event import AuditEvent
from enclave.domain.events import EventType
from enclave.files import remove_tree, write_atomically
from enclave.logs import configure
from enclave.predecessors import await_predecessors
from enclave.processes import ServiceSpec, accepts_connections, service_specs
from enclave.rights import given_up, losses
from enclave.sandbox import SandboxError
from enclave.settings import Settings, get_settings
from enclave.workspaces.engines import clear_away
from enclave.workspaces.host_process import end_hosts
from enclave.workspaces.shared_folder import release_all

log = structlog.get_logger()

START_SECONDS = 60.0
TURN_SECONDS = 0.2
_BACKOFF = (0.0, 0.5, 1.0, 2.0, 5.0)


class StartError(Exception):
    """A process did not come up; says which, and where its output is."""


@dataclass
class _Running:
    spec: ServiceSpec
    process: subprocess.Popen[bytes]
    restarts: int = 0
    start_after: float = 0.0
    healthy_since: float = 0.0


class Supervisor:
    """One enclave's processes. ``run`` blocks until ``should_stop`` says so, then stops everything."""

    def __init__(
        self, settings: Settings, specs: tuple[ServiceSpec, ...] | None = None, *, lock_seconds: float = 45.0
    ) -> None:
        self._settings = settings
        self._lock_seconds = lock_seconds
        self._specs = specs if specs is not None else service_specs(settings)
        self._running: dict[str, _Running] = {}
        self._logs = settings.root / "logs"
        self._lock: IO[bytes] | None = None

    def start(self) -> None:
        """Start all in order, each one ready before the next. Raises StartError and stops what it had started."""
        self._prepare_folders()
        self._lock = _take_lock(self._settings.run_dir / "supervisor.lock", self._lock_seconds)
        await_predecessors(self._settings.run_dir / "supervisor.json")
        self._end_workspaces()
        self._clean_run_folder()
        try:
            for _, stage in groupby(self._specs, key=lambda spec: spec.stage):
                self._start_stage(tuple(stage))
        except BaseException:
            self.stop()
            raise
        weaker = [loss.name for loss in (*losses(self._settings), *given_up(self._settings))]
        if weaker:
            log.warning("weaker", names=weaker, remedy="enclave doctor says what stands in its place")
        self._record(EventType.SYSTEM_STARTED, "system", processes=[s.name for s in self._specs], weaker=weaker)

    def _start_stage(self, specs: tuple[ServiceSpec, ...]) -> None:
        for spec in specs:
            self._running[spec.name] = _Running(spec, self._spawn(spec))
        self._write_state()
        for spec in specs:
            self._wait_ready(spec)

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Watch until told to stop; then stop everything, audit last."""
        try:
            while not should_stop():
                self.turn()
                time.sleep(TURN_SECONDS)
        finally:
            self._record(EventType.SYSTEM_STOPPED, "system")
            self.stop()

    def turn(self) -> None:
        """Look at each process once and bring back what has ended."""
        for entry in self._running.values():
            if entry.process.poll() is None:
                if entry.restarts and time.monotonic() - entry.healthy_since > 30:
                    entry.restarts = 0
                continue
            self._bring_back(entry)

    def stop(self) -> None:
        """End all processes, last started first; after its grace a process is killed. Workspaces end with the hub."""
        if self._lock is not None:
            (self._settings.run_dir / "stopping").touch()
        for entry in reversed(list(self._running.values())):
            _end(entry.process, entry.spec.grace_seconds)
        self._running.clear()
        if self._lock is not None:
            self._end_workspaces()
            self._clean_run_folder()
            self._lock.close()
            self._lock = None

    def _end_workspaces(self) -> None:
        """Their hosts, what killed ones have left, and the shared folders they used."""
        end_hosts(self._settings.run_dir)
        try:
            clear_away(self._settings)
        except SandboxError as error:
            log.warning("sandboxes-not-swept", reason=str(error))
        release_all(self._settings)

    def pids(self) -> dict[str, int]:
        """Process ids by name, of what runs now."""
        return {name: e.process.pid for name, e in self._running.items() if e.process.poll() is None}

    def _bring_back(self, entry: _Running) -> None:
        now = time.monotonic()
        if entry.start_after == 0.0:
            code = entry.process.returncode
            delay = _BACKOFF[min(entry.restarts, len(_BACKOFF) - 1)]
            log.warning("process-ended", service=entry.spec.name, exit_code=code, restart_in_seconds=delay)
            entry.start_after = now + delay
        if now < entry.start_after:
            return
        code = entry.process.returncode
        entry.process = self._spawn(entry.spec)
        entry.restarts += 1
        entry.start_after = 0.0
        entry.healthy_since = time.monotonic()
        self._write_state()
        if entry.spec.name == "audit":
            self._await_quietly(entry.spec)
        self._record(EventType.PROCESS_RESTARTED, entry.spec.name, exit_code=int(code or 0))

    def _await_quietly(self, spec: ServiceSpec) -> None:
        with contextlib.suppress(StartError):
            self._wait_ready(spec, seconds=10.0)

    def _spawn(self, spec: ServiceSpec) -> subprocess.Popen[bytes]:
        with (self._logs / f"{spec.name}.log").open("ab") as output:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *spec.argv],
                cwd=spec.cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait_ready(self, spec: ServiceSpec, seconds: float = START_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        process = self._running[spec.name].process
        while spec.ready is not None and not accepts_connections(spec.ready):
            ended = process.poll()
            if ended is not None:
                raise StartError(f"{spec.name} ended with code {ended} before it was ready.{self._tail(spec)}")
            if time.monotonic() > deadline:
                raise StartError(f"{spec.name} was not ready after {seconds:.0f} s.{self._tail(spec)}")
            time.sleep(0.02)

    def _tail(self, spec: ServiceSpec) -> str:
        path = self._logs / f"{spec.name}.log"
        lines = path.read_text(errors="replace").splitlines()[-6:] if path.exists() else []
        return f" Its output is in {path}; the last lines:\n" + "\n".join(lines)

    def _prepare_folders(self) -> None:
        settings = self._settings
        public = (settings.root, settings.run_dir, settings.log_dir, settings.projects_dir, settings.workspaces_dir)
        for folder in (*public, settings.access_dir, settings.audit_socket.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        if os.geteuid() == 0 and settings.audit_uid:
            # the audit daemon's account has to pass through; what is inside keeps its own modes
            settings.root.chmod(settings.root.stat().st_mode | 0o011)
        for folder in (
            self._logs,
            settings.audit_dir,
            settings.index_dir,
            settings.vault_dir,
            settings.metering_dir,
            settings.producer_dir,
            settings.database_dir,
        ):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _clean_run_folder(self) -> None:
        """Nothing under ``run/`` survives a stop but the lock file itself."""
        for child in self._settings.run_dir.iterdir():
            if child.is_dir() and not child.is_symlink():
                with contextlib.suppress(OSError):
                    remove_tree(child)
            elif child.name != "supervisor.lock":
                child.unlink(missing_ok=True)

    def _write_state(self) -> None:
        state = {"supervisor": os.getpid(), "services": self.pids()}
        write_atomically(self._settings.run_dir / "supervisor.json", json.dumps(state).encode())

    def _record(self, event: EventType, subject: str, **data: int | list[str]) -> None:
        if "audit" not in self._running:
            return
        client = AuditClient(self._settings.audit_socket, "supervisor")
        try:
            client.record(AuditEvent(type=event, actor="system:supervisor", subject=subject, data=dict(data)))
        except AuditUnavailable as error:
            log.error("not-recorded", audit_event=event, reason=str(error))
        finally:
            client.close()


def _take_lock(path: Path, seconds: float) -> IO[bytes]:
    """One supervisor per home. Waits a little: a predecessor that was killed may still be ending its children."""
    file = path.open("ab")
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.close()
                raise StartError(
                    f"Expected no other enclave on this home, found one that holds {path}. "
                    "Stop it with `enclave demo --stop`, or choose another ENCLAVE_HOME."
                ) from None
            time.sleep(0.1)
        else:
            os.set_inheritable(file.fileno(), False)
            return file


def _end(process: subprocess.Popen[bytes], grace_seconds: float) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)


class StopSignal:
    """Turns SIGTERM and SIGINT into a flag."""

    def __init__(self) -> None:
        self.received = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = True

    def __call__(self) -> bool:
        return self.received


def main() -> int:
    """``python -m enclave.supervisor``: run until SIGTERM. Exit code 1 when a process does not come up."""
    configure("supervisor")
    stop = StopSignal()
    supervisor = Supervisor(get_settings())
    try:
        supervisor.start()
    except StartError as error:
        log.error("start-failed", reason=str(error))
        return 1
    supervisor.run(stop)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
