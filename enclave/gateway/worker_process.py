"""One worker process as the front sees it: start in the sandbox, connect, end.

What a worker's sandbox holds: Python and our packages (read-only), the extract's folder (read-only, at ``/extract``),
``/sys/fs/cgroup`` (DuckDB aborts without it), an empty private ``/tmp``, a spill folder of its own (``/spill``, removed
with it), its person's scratch folder (``/scratch``), and one inherited listening socket. No network, no home of the
enclave, no other project, no other person. Inside, Landlock says the same again. Invariant 3 of DESIGN.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from enclave.domain.person_rules import NO_RULES, PersonRules
from enclave.gateway.worker_folders import prepare_folders, remove_folder
from enclave.gateway.worker_start import EXTRACT_TARGET, SCRATCH_TARGET, SPILL_TARGET
from enclave.sandbox import Bind, SandboxError, SandboxProfile, popen, python_binds
from enclave.settings import Settings

_log = structlog.get_logger()
FIRST_UID = 300_000
"""Workers run as 300000 + n, one uid per project, when the front is root."""
READY_SECONDS = 120.0
"""Time to hash and open the extract."""


@dataclass(frozen=True)
class WorkerLimits:
    """What one worker may use, in MiB; ``docs/adr/0009`` says how the figures were found."""

    memory: int = 2048
    """DuckDB's own limit."""
    spill: int = 8192
    scratch: int = 2048
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)

    @property
    def data(self) -> int:
        """Writable memory (RLIMIT_DATA): ends statements that ignore DuckDB's limit. An idle worker has 140."""
        return self.memory + self.memory // 2 + 512 + 16 * self.threads

    @property
    def address_space(self) -> int:
        """RLIMIT_AS: extract and libraries are mapped, too; an idle worker maps 1.1 GB."""
        return self.data + 2048

    @property
    def largest_file(self) -> int:
        """RLIMIT_FSIZE: the hard end behind the quotas of spill and scratch."""
        return max(self.spill, self.scratch + 512)


def worker_limits(settings: Settings) -> WorkerLimits:
    """The site's limits."""
    threads = settings.query_threads or os.cpu_count() or 1
    return WorkerLimits(settings.query_memory_mb, settings.query_spill_mb, settings.query_scratch_mb, threads)


class WorkerUnavailableError(Exception):
    """The worker could not be started; the sentence says why."""


@dataclass(frozen=True)
class WorkerPlan:
    """What to start: the extract's folder, the private socket's path, the uid; folders for spill and scratch."""

    folder: Path
    socket_path: Path
    uid: int
    spill: Path | None = None
    scratch: Path | None = None
    limits: WorkerLimits = field(default_factory=WorkerLimits)
    rules: PersonRules = NO_RULES
    """What of the extract this worker's person may see."""
    is_checked: bool = False
    """The extract's files have passed the check of their hashes and have not changed since."""
    scratch_wait: float = 10.0
    """Seconds to wait for a scratch file that another worker still has open."""


def worker_profile(plan: WorkerPlan, pass_fds: tuple[int, ...] = ()) -> SandboxProfile:
    """The sandbox of a worker; security tests run their probes in the same one."""
    cgroup = Path("/sys/fs/cgroup")
    binds = [*python_binds(), Bind(plan.folder, EXTRACT_TARGET)]
    if cgroup.exists():
        binds.append(Bind(cgroup, cgroup))
    if plan.spill is not None:
        binds.append(Bind(plan.spill, SPILL_TARGET, writable=True))
    if plan.scratch is not None:
        binds.append(Bind(plan.scratch, SCRATCH_TARGET, writable=True))
    writes = plan.spill is not None or plan.scratch is not None
    return SandboxProfile(
        binds=tuple(binds),
        env={"ARROW_DEFAULT_MEMORY_POOL": "system", "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"},
        uid=plan.uid,
        memory_mb=plan.limits.address_space,
        data_mb=plan.limits.data,
        processes=4096,  # counted per uid, which all workers of the project share
        files_mb=plan.limits.largest_file if writes else 0,
        tmp_mb=1,
        pass_fds=pass_fds,
    )


class WorkerProcess:
    """A started worker. ``start`` returns when it has checked and opened the extract."""

    def __init__(self, plan: WorkerPlan, process: subprocess.Popen[bytes]) -> None:
        self.plan = plan
        self.landlock = 0
        self.is_scratch_held = False
        """It runs without scratch, because another worker has the file open."""
        self._process = process
        self._ending = threading.Lock()
        self._is_cleared = False

    @classmethod
    def start(cls, plan: WorkerPlan) -> WorkerProcess:
        """Raises WorkerUnavailableError."""
        try:
            process = _launch(plan)
        except (SandboxError, OSError) as error:
            _log.error("worker-not-started", kind=type(error).__name__)
            raise WorkerUnavailableError("The worker cannot be started. Run `enclave doctor` there.") from error
        worker = cls(plan, process)
        try:
            worker._wait_until_ready()
        except BaseException:
            worker.kill()
            raise
        return worker

    @property
    def pid(self) -> int:
        """Process id of the sandbox (its end ends the worker)."""
        return self._process.pid

    @property
    def memory_sentence(self) -> str:
        """Says which cap was met when a query is stopped for its memory."""
        limits = self.plan.limits
        return (
            f"Your worker has {limits.memory} MiB of memory and {limits.spill} MiB on disk to work in; this query "
            "needs more and was stopped. Select fewer columns, filter earlier, or aggregate in steps."
        )

    def is_running(self) -> bool:
        return self._process.poll() is None

    def connect(self, seconds: float = 10) -> socket.socket:
        """A connection for one query. Raises OSError when the worker is gone, or takes none within that time."""
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            peer.settimeout(seconds)
            peer.connect(str(self.plan.socket_path))
            peer.settimeout(None)
        except OSError:
            peer.close()
            raise
        return peer

    def wait_for_end(self, seconds: float) -> int | None:
        """Exit code when it ends by itself within that time; ended by signal n, it is 128 + n."""
        try:
            return self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End it, with everything it started, and wait for that; removes socket and spill folder.

        Once: they may belong to its successor when somebody asks again.
        """
        with self._ending:
            if self._is_cleared:
                return
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=10)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self.plan.socket_path.unlink(missing_ok=True)
            if self.plan.spill is not None:
                remove_folder(self.plan.spill)
            self._is_cleared = True

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
        self._report(answer)

    def _report(self, answer: dict[str, Any]) -> None:
        """Say what is not as it should be; queries are answered all the same."""
        self.landlock = int(answer.get("landlock", 0))
        if self.landlock == 0:
            _log.warning("worker-without-landlock", remedy="a kernel from 5.13 on with landlock in lsm=")
        self.is_scratch_held = bool(answer.get("scratch_held"))
        if self.is_scratch_held:
            _log.info("scratch-held-elsewhere")
        elif self.plan.scratch is not None and answer.get("scratch"):
            _log.error("scratch-not-opened", folder=self.plan.scratch.name)


def _launch(plan: WorkerPlan) -> subprocess.Popen[bytes]:
    """Raises SandboxError, OSError."""
    plan.socket_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    plan.socket_path.unlink(missing_ok=True)
    prepare_folders(plan.spill, plan.scratch, plan.uid)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, _rules_file(plan.rules) as rules:
        listener.bind(str(plan.socket_path))
        plan.socket_path.chmod(0o600)
        listener.listen(64)
        return popen(
            worker_profile(plan, (listener.fileno(), *rules)),
            [*_command(plan, listener.fileno()), *(f"--rules={descriptor}" for descriptor in rules)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the engine may print values there
        )


@contextlib.contextmanager
def _rules_file(rules: PersonRules) -> Iterator[tuple[int, ...]]:
    """A descriptor with the rules as JSON, for the worker to inherit; none when there are none.

    Not an argument: a rule's condition may hold values, and everybody on the machine can read arguments.
    """
    if not rules.rules:
        yield ()
        return
    with os.fdopen(os.memfd_create("rules"), "w+b") as file:
        file.write(json.dumps(rules.as_json()).encode())
        file.flush()
        file.seek(0)
        yield (file.fileno(),)


def _command(plan: WorkerPlan, descriptor: int) -> list[str]:
    limits = plan.limits
    command = [
        *(sys.executable, "-I", "-m", "enclave.gateway.worker_start"),
        *("--descriptor", str(descriptor)),
        *("--folder", str(EXTRACT_TARGET)),
        *("--memory-mb", str(limits.memory)),
        *("--threads", str(limits.threads)),
    ]
    if plan.spill is not None:
        command += ["--spill", str(SPILL_TARGET), "--spill-mb", str(limits.spill)]
    if plan.scratch is not None:
        command += ["--scratch", str(SCRATCH_TARGET), "--scratch-mb", str(limits.scratch)]
        command += ["--scratch-wait", str(plan.scratch_wait)]
    return [*command, "--checked"] if plan.is_checked else command
