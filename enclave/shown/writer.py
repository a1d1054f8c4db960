"""Appending to one archive file. A killed writer loses at most the line it was writing, and no line before or after.

Contract: ``append`` returns when the line is with the operating system (a killed process loses nothing then; a power
failure may lose what no ``commit`` has followed). A line that could not be written wholly is taken back. A torn line
that a killed writer left is closed by a line feed and stays outside of the chain.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

from enclave.files import sync_folder
from enclave.shown.lines import Head, Line, encode_line, parse_line

_STEP = 1 << 16


class ArchiveFile:
    """One file, opened at the first use; nobody else writes to it meanwhile (flock)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._head = Head()
        self._is_name_durable = False
        self._lock = threading.Lock()

    def append(self, at: str, key: str, box: bytes) -> None:
        """Raises OSError, and nothing was appended."""
        with self._lock:
            self._open()
            raw = encode_line(Line(self._head.lines + 1, at, self._head.digest, key, box))
            size = os.fstat(self._descriptor).st_size
            try:
                _write_all(self._descriptor, raw + b"\n")
            except OSError:
                self._take_back(size)
                raise
            self._head = self._head.after(raw)

    def commit(self) -> Head:
        """Everything appended so far is on the disk; the head that stands for it. Raises OSError. May block."""
        with self._lock:
            self._open()
            head, descriptor = self._head, os.dup(self._descriptor)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if not self._is_name_durable:
            sync_folder(self._path.parent)
            self._is_name_durable = True
        return head

    def close(self) -> None:
        """Can be opened again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        if self._descriptor >= 0:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                _write_all(descriptor, b"\n")
            self._head = _last_head(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def _take_back(self, size: int) -> None:
        try:
            os.ftruncate(self._descriptor, size)
        except OSError:
            self._close()  # opening it again closes the torn line


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _last_head(descriptor: int) -> Head:
    """After the last line that can be read; the file ends with a line feed or is empty."""
    end = os.fstat(descriptor).st_size
    tail = b""
    while end > 0:
        begin = max(0, end - max(_STEP, len(tail)))
        tail = os.pread(descriptor, end - begin, begin) + tail
        end = begin
        lines = tail.split(b"\n")
        for raw in reversed(lines if begin == 0 else lines[1:]):
            if (line := parse_line(raw)) is not None:
                return line.head_before.after(raw)
    return Head()
