"""Files of lines that survive a crash: every append is durable, a torn last line is cut before the next one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from audit.durable import fsync_directory

_BLOCK = 64 * 1024


class LineFile:
    """Append-only file of whole lines; ``rotate_bytes`` 0 never rotates, ``keep`` 0 keeps every rotated file."""

    def __init__(self, path: Path, *, rotate_bytes: int = 0, keep: int = 0, mode: int = 0o640) -> None:
        self.path = path
        self._rotate_bytes = rotate_bytes
        self._keep = keep
        self._mode = mode

    def append(self, lines: Sequence[bytes], first_index: int) -> None:
        """Write the lines and return once they are durable; ``first_index`` names the file when it is full."""
        self._rotate(first_index)
        created = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, self._mode)
        with os.fdopen(descriptor, "r+b") as file:
            file.truncate(_whole_lines(file.fileno()))
            file.seek(0, os.SEEK_END)
            file.write(b"".join(line + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        if created:
            fsync_directory(self.path.parent)

    def _rotate(self, first_index: int) -> None:
        if not self._rotate_bytes or not self.path.exists() or self.path.stat().st_size < self._rotate_bytes:
            return
        self.path.rename(self.path.with_name(f"{self.path.name}.before-{first_index:020d}"))
        if self._keep:
            for old in self.rotated()[: -self._keep]:
                old.unlink()
        fsync_directory(self.path.parent)

    def rotated(self) -> list[Path]:
        """The full files, oldest first."""
        return sorted(self.path.parent.glob(f"{self.path.name}.before-*"))


def _whole_lines(descriptor: int) -> int:
    """The length up to and including the last newline."""
    end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - _BLOCK)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
