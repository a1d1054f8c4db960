"""One worker process as the front sees it: start in the sandbox, connect, end.

What a worker's sandbox holds: Python and our packages (read-only), the extract's folder (read-only, at ``/extract``),
``/sys/fs/cgroup`` (DuckDB aborts without it), an empty private ``/tmp``, and one inherited listening socket. No
network, no home of the enclave, no other project. Invariant 3 of DESIGN.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from enclave.sandbox import Bind, SandboxProfile, popen, python_binds

FIRST_UID = 300_000
"""Workers run as 300000 + n, one uid per project, when the front is root."""
MEMORY_MB = 2048
"""DuckDB's memory limit."""
ADDRESS_SPACE_MB = 5120
"""RLIMIT_AS: what ends statements that ignore DuckDB's own limit. An idle worker maps 1.1 GB."""
READY_SECONDS = 120.0
"""Time to hash and open the extract."""
EXTRACT_TARGET = Path("/extract")


class WorkerUnavailableError(Exception):
    """The worker could not be started; the sentence says why."""


@dataclass(frozen=True)
class WorkerPlan:
    """What to start: the extract's folder, the private socket's path, the uid."""

    folder: Path
    socket_path: Path
    uid: int


def worker_profile(plan: WorkerPlan, pass_fds: tuple[int, ...] = ()) -> SandboxProfile:
    """The sandbox of a worker; security tests run their probes in the same one."""
    cgroup = Path("/sys/fs/cgroup")
    binds = [*python_binds(), Bind(plan.folder, EXTRACT_TARGET)]
    if cgroup.exists():
        binds.append(Bind(cgroup, cgroup))
    return SandboxProfile(
        binds=tuple(binds),
        env={"ARROW_DEFAULT_MEMORY_POOL": "system", "PYTHONDONTWRITEBYTECODE": "1"},
        uid=plan.uid,
        memory_mb=ADDRESS_SPACE_MB,
        processes=512,
        files_mb=0,
        tmp_mb=1,
        pass_fds=pass_fds,
    )


class WorkerProcess:
    """A started worker. ``start`` returns when it has checked and opened the extract."""

    def __init__(self, plan: WorkerPlan, process: subprocess.Popen[bytes]) -> None:
        self.plan = plan
        self._process = process

    @classmethod
    def start(cls, plan: WorkerPlan) -> WorkerProcess:
        """Raises WorkerUnavailableError."""
        plan.socket_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        plan.socket_path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(plan.socket_path))
            plan.socket_path.chmod(0o600)
            listener.listen(64)
            process = popen(
                worker_profile(plan, (listener.fileno(),)),
                _command(listener.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # the engine may print values there
            )
        worker = cls(plan, process)
        try:
            worker._wait_until_ready()
        except WorkerUnavailableError:
            worker.kill()
            raise
        return worker

    @property
    def pid(self) -> int:
        """Process id of the sandbox (its end ends the worker)."""
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def connect(self) -> socket.socket:
        """A connection for one query. Raises OSError when the worker is gone."""
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            peer.settimeout(10)
            peer.connect(str(self.plan.socket_path))
            peer.settimeout(None)
        except OSError:
            peer.close()
            raise
        return peer

    def kill(self) -> None:
        """End it at once, with everything it started; removes the socket."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self.plan.socket_path.unlink(missing_ok=True)

    def _wait_until_ready(self) -> None:
        assert self._process.stdout is not None  # noqa: S101
        descriptor, line, ends_at = self._process.stdout.fileno(), b"", time.monotonic() + READY_SECONDS
        while not line.endswith(b"\n"):
            left = ends_at - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise WorkerUnavailableError("The project's worker did not become ready in time. Try again later.")
            chunk = os.read(descriptor, 4096)
            if not chunk:
                raise WorkerUnavailableError(
                    "The project's worker ended while it started. Run `enclave doctor` on the machine."
                )
            line += chunk
        answer = json.loads(line)
        if not answer.get("ready"):
            raise WorkerUnavailableError(f"The project's worker refused its extract: {answer.get('error')}")


def _command(descriptor: int) -> list[str]:
    return [
        *(sys.executable, "-I", "-m", "enclave.gateway.worker"),
        *("--descriptor", str(descriptor)),
        *("--folder", str(EXTRACT_TARGET)),
        *("--memory-mb", str(MEMORY_MB)),
        *("--threads", str(os.cpu_count() or 1)),
    ]
