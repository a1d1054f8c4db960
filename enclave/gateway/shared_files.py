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

_USUAL, _LARGEST = 1 << 12, 1 << 20
"""Bytes; memory for the largest is asked of the kernel and given back at each read."""
_CHANGED = os.O_RDWR | os.O_CLOEXEC
Stamp = tuple[int, int, int]
"""Inode, time of the last change in nanoseconds, length."""
_FLOCK = struct.Struct("hhqqi4x")
"""struct flock of Linux on 64-bit machines: type, whence, start, length, process."""


class LockedFile:
    """The content of a file whose lock this process holds."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._length: int | None = None

    def read(self) -> bytes:
        found = os.pread(self._descriptor, _USUAL, 0)
        if len(found) < _USUAL:
            self._length = len(found)
            return found
        return os.pread(self._descriptor, _LARGEST, 0)

    def stamp(self) -> Stamp:
        """By which ``find_stamp`` knows this content again. Raises OSError."""
        return _stamp(os.fstat(self._descriptor))

    def write(self, content: bytes) -> None:
        """Raises OSError."""
        os.pwrite(self._descriptor, content, 0)
        if self._length is None or self._length > len(content):
            os.ftruncate(self._descriptor, len(content))
        self._length = len(content)


@contextmanager
def locked(path: Path) -> Iterator[LockedFile]:
    """Wait for the lock on ``path``, which is made when it is not there. Raises OSError."""
    try:
        descriptor = os.open(path, _CHANGED)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, _CHANGED | os.O_CREAT, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        yield LockedFile(descriptor)
    finally:
        os.close(descriptor)


def find_stamp(path: Path) -> Stamp | None:
    """The file's stamp without its lock, None when it is not there. Two changes within one tick of the kernel's clock
    (up to 10 ms) may leave it the same: good for what is looked at again under the lock."""
    try:
        return _stamp(path.stat())
    except OSError:
        return None


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_ino, status.st_mtime_ns, status.st_size


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
