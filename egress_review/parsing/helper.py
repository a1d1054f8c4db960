"""Outside: the sandboxed process that reads files, its start and its end, and one file handed to it.

One per portal, started at the first file, by exec (the portal has threads) through ``enclave.sandbox``. Its sandbox
holds Python and our packages, read-only, and nothing else: no network, no home of the enclave, an account of its own
where root allows that. A file goes in as sealed memory, its answer comes back through a pipe of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from egress_review.parsing.answers import task_as_bytes
from egress_review.parsing.limits import ANSWER_BYTES, MEMORY_CODE, PREPARED, PROCESSOR_CODE, ReadingLimits
from enclave.sandbox import SandboxError, SandboxProfile, popen, python_binds

READER_UID = 299_003
START_SECONDS = 60.0
_GRACE_SECONDS = 30.0
"""Beyond a file's own time: for loading what its kind needs, and for the watcher to say how it ended."""
_SEND_SECONDS = 30.0
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_CHUNK = 1 << 20


class End(StrEnum):
    """Why there is no answer."""

    SECONDS = "seconds"
    PROCESSOR = "processor"
    MEMORY = "memory"
    SIZE = "size"
    DIED = "died"


@dataclass(frozen=True)
class Unanswered:
    """Reading this file came to no answer."""

    end: End


def reader_profile(pass_fds: tuple[int, ...] = ()) -> SandboxProfile:
    """The sandbox; security tests run their probes in the same one."""
    return SandboxProfile(
        binds=python_binds(),
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        uid=READER_UID,
        processes=512,  # counted per uid; a process that reads a file may make none
        files_mb=0,
        open_files=64,
        tmp_mb=1,
        pass_fds=pass_fds,
        user_name="reader",
    )


class Helper:
    """Thread-safe. Starts its process when it is needed, and again when it is gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._door: socket.socket | None = None

    def ask(
        self, task: dict[str, Any], content: bytes, limits: ReadingLimits, most: int = ANSWER_BYTES
    ) -> bytes | Unanswered:
        """The answer to ``task`` over ``content``, of at most so many bytes. Raises SandboxError."""
        with contextlib.ExitStack() as held:
            file = held.enter_context(_sealed(task_as_bytes(task, content)))
            answer, answer_end = (held.enter_context(end) for end in _pipe())
            verdict, verdict_end = (held.enter_context(end) for end in _pipe())
            order = {
                "kind": suffix if (suffix := PurePosixPath(task["name"]).suffix) in PREPARED else "",
                "seconds": limits.seconds,
                "processor_seconds": limits.processor_seconds,
                "memory_mb": limits.memory_mb,
            }
            self._send(json.dumps(order).encode(), [end.fileno() for end in (file, answer_end, verdict_end)])
            for end in (file, answer_end, verdict_end):
                end.close()
            try:
                return _await(answer, verdict, limits, most)
            except TimeoutError:
                self.close()  # not even a watcher says anything: the next file finds a fresh process
                return Unanswered(End.SECONDS)

    def warm(self) -> None:
        """Start the process ahead of the first file. Raises SandboxError."""
        with self._lock:
            self._running()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._stop()

    @property
    def pid(self) -> int | None:
        """Process id of the sandbox, while there is one."""
        return self._process.pid if self._process is not None else None

    def _send(self, order: bytes, descriptors: Sequence[int]) -> None:
        with self._lock:
            try:
                socket.send_fds(self._running(), [order], descriptors)
            except OSError:
                self._stop()
                socket.send_fds(self._running(), [order], descriptors)

    def _running(self) -> socket.socket:
        if self._process is None or self._door is None or self._process.poll() is not None:
            self._stop()
            self._start()
        assert self._door is not None  # noqa: S101  (_start sets it)
        return self._door

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = [sys.executable, "-I", "-m", "egress_review.parsing.inside", str(theirs.fileno())]
        null = subprocess.DEVNULL
        try:
            with theirs:
                self._process = popen(reader_profile((theirs.fileno(),)), argv, stdin=null, stdout=null, stderr=null)
            self._door = ours
            ours.settimeout(START_SECONDS)
            said = ours.recv(100)
            ours.settimeout(_SEND_SECONDS)
        except OSError:
            said = b""
        finally:
            if self._door is None:
                ours.close()
        if not said:
            self._stop()
            raise SandboxError("Expected the program that reads files to start in its sandbox, found that it did not.")

    def _stop(self) -> None:
        if self._door is not None:
            self._door.close()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()  # bubblewrap's own end takes the whole sandbox with it
            self._process.wait()
        self._process = self._door = None


def _sealed(content: bytes) -> io.FileIO:
    """Memory that nobody can change any more, read from its start."""
    file = io.FileIO(os.memfd_create("file", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "r+")
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
    file.seek(0)
    return file


def _pipe() -> tuple[io.FileIO, io.FileIO]:
    reading, writing = os.pipe()
    return io.FileIO(reading, "r"), io.FileIO(writing, "w")


def _await(answer: io.FileIO, verdict: io.FileIO, limits: ReadingLimits, most: int) -> bytes | Unanswered:
    """Both pipes to their ends. What comes after ``most`` bytes is not waited for: the reader then ends.

    Raises TimeoutError when no verdict comes although the file's time is over.
    """
    ends_at = time.monotonic() + limits.seconds + _GRACE_SECONDS
    room = {answer.fileno(): most, verdict.fileno(): 1000}
    said: dict[int, list[bytes]] = {end: [] for end in room}
    poller = select.poll()
    for end in room:
        poller.register(end, select.POLLIN)
    still_open = set(room)
    while still_open:
        events = poller.poll(max(0.0, ends_at - time.monotonic()) * 1000)
        if not events:
            raise TimeoutError
        for end, _event in events:
            chunk = os.read(end, _CHUNK)
            room[end] -= len(chunk)
            if room[end] < 0:
                return Unanswered(End.SIZE)
            said[end].append(chunk)
            if not chunk:
                poller.unregister(end)
                still_open.discard(end)
    end_of_it = _end_of(b"".join(said[verdict.fileno()]))
    return b"".join(said[answer.fileno()]) if end_of_it is None else Unanswered(end_of_it)


def _end_of(verdict: bytes) -> End | None:
    """What the watcher says; none means that it, or all of the sandbox, was ended."""
    try:
        told = json.loads(verdict)
        code, is_late = told["code"], told["late"]
    except (ValueError, KeyError, TypeError):
        return End.DIED
    if is_late:
        return End.SECONDS
    return {0: None, MEMORY_CODE: End.MEMORY, PROCESSOR_CODE: End.PROCESSOR}.get(code, End.DIED)
