"""Small files that several fronts change: read, decide, write, all under a lock that other machines see as well.

POSIX record locks (``fcntl``), which NFS 4 carries; they end with their process. Contract: the caller keeps threads of
its own process apart (such a lock does not), and opens a file only through here. Written in place and not synced: a
power failure may lose the newest content, a crash of the process does not.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LARGEST = 1 << 20
_FLOCK = struct.Struct("hhqqi4x")
"""struct flock of Linux on 64-bit machines: type, whence, start, length, process."""


class LockedFile:
    """The content of a file whose lock this process holds."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self) -> bytes:
        return os.pread(self._descriptor, _LARGEST, 0)

    def write(self, content: bytes) -> None:
        """Raises OSError."""
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))


@contextmanager
def locked(path: Path) -> Iterator[LockedFile]:
    """Wait for the lock on ``path``, which is made when it is not there. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        yield LockedFile(descriptor)
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Does another process hold a lock on ``path`` now? Takes none itself; a file that is not there is free."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        return bool(_FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))[0] != fcntl.F_UNLCK)
    finally:
        os.close(descriptor)
