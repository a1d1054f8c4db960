"""A workspace host as the hub and the supervisor see it: started, or found again by its number and start time.

A descriptor of the process (``pidfd_open``) is taken once and used for everything after, so that no signal can hit a
process that got the number later. Works for a child and for a host that an earlier hub started.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from enclave.files import write_atomically
from enclave.process_table import start_time
from enclave.workspaces.host_plan import HostPlan

STATE = "state.json"


@dataclass(frozen=True)
class HostIdentity:
    """Process id, and start time in clock ticks since boot (proc(5), field 22 of ``stat``)."""

    pid: int
    started: int


class HostProcess:
    """One live or ended workspace host."""

    def __init__(self, identity: HostIdentity, descriptor: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self.identity = identity
        self._descriptor = descriptor
        self._child = child

    @classmethod
    def start(cls, plan: HostPlan, listening: int) -> HostProcess:
        """Start a host in a session of its own; it inherits ``listening``. Then its state file is there."""
        write_atomically(plan.state, b"{}", mode=0o600)
        with plan.log.open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "enclave.workspaces.host"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(listening,),
                start_new_session=True,
            )
        made = cls(HostIdentity(child.pid, start_time(child.pid) or 0), os.pidfd_open(child.pid), child)
        try:
            made._tell(plan)
        except BaseException:
            made.kill()
            child.wait()
            made.close()
            raise
        return made

    def _tell(self, plan: HostPlan) -> None:
        """Raises OSError when its state cannot be written; without that nobody could find it again."""
        child = cast(subprocess.Popen[bytes], self._child)
        with contextlib.suppress(BrokenPipeError), cast(IO[bytes], child.stdin) as given:
            content = {"pid": self.identity.pid, "started": self.identity.started}
            write_atomically(plan.state, json.dumps(content).encode(), mode=0o600)
            given.write(plan.to_json().encode())  # far below a pipe's 64 KiB

    @classmethod
    def find(cls, identity: HostIdentity) -> HostProcess | None:
        """The host an earlier hub started; None when it has ended (or its number is somebody else's now)."""
        try:
            descriptor = os.pidfd_open(identity.pid)
        except OSError:
            return None
        if start_time(identity.pid) != identity.started:
            os.close(descriptor)
            return None
        return cls(identity, descriptor)

    def is_running(self) -> bool:
        """False once it has ended; also collects a child."""
        ended = self._descriptor < 0 or _is_readable(self._descriptor, 0.0)
        if ended and self._child is not None:
            self._child.wait()
        return not ended

    def exit_code(self) -> int | None:
        """Of a host that this process started and that has ended; None otherwise."""
        return self._child.poll() if self._child is not None else None

    def terminate(self) -> None:
        """Ask it to end; it ends server and kernels at once."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Its sandboxes die with it."""
        self._send(signal.SIGKILL)

    def wait(self, seconds: float) -> bool:
        """True when it has ended within ``seconds``."""
        if self._descriptor >= 0:
            _is_readable(self._descriptor, seconds)
        return not self.is_running()

    def close(self) -> None:
        """Give the descriptor back; the process itself is left alone."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)


def find_hosts(run_dir: Path) -> Iterator[HostProcess]:
    """All hosts whose state files are under ``run/ws``; the caller closes them."""
    for _workspace, host in _hosts_by_workspace(run_dir):
        yield host


def running_workspaces(run_dir: Path) -> frozenset[str]:
    """Ids of the workspaces whose hosts live."""
    found = set()
    for workspace, host in _hosts_by_workspace(run_dir):
        found.add(workspace)
        host.close()
    return frozenset(found)


def _hosts_by_workspace(run_dir: Path) -> Iterator[tuple[str, HostProcess]]:
    for file in sorted((run_dir / "ws").glob(f"*/host/{STATE}")):
        try:
            content = json.loads(file.read_bytes())
            identity = HostIdentity(int(content["pid"]), int(content["started"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if (found := HostProcess.find(identity)) is not None:
            yield file.parents[1].name, found


def end_hosts(run_dir: Path, seconds: float = 5.0) -> None:
    """End every workspace of this enclave: asked first, then killed."""
    hosts = list(find_hosts(run_dir))
    for host in hosts:
        host.terminate()
    for host in hosts:
        if not host.wait(seconds):
            host.kill()
            host.wait(seconds)
        host.close()


def _is_readable(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
