"""Which extracts have passed the check of their hashes, so that a project's second worker need not read them again.

An extract counts as unchanged while inode, size, modification and change time of each file are the same; the change
time cannot be set by a program. What a worker itself saw is what is remembered: the stamp is taken before it starts and
has to be the same afterwards.
"""

from __future__ import annotations

import threading
from pathlib import Path

Stamp = tuple[tuple[str, int, int, int, int], ...]


class CheckedExtracts:
    """One per front; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stamps: dict[Path, Stamp] = {}

    def is_checked(self, folder: Path, stamp: Stamp) -> bool:
        """True when exactly this was checked."""
        with self._lock:
            return bool(stamp) and self._stamps.get(folder) == stamp

    def keep(self, folder: Path, before: Stamp) -> None:
        """A worker has checked the folder, which had this stamp before."""
        if before and take_stamp(folder) == before:
            with self._lock:
                self._stamps[folder] = before


def take_stamp(folder: Path) -> Stamp:
    """What the folder's files look like now; empty when they cannot be looked at."""
    try:
        found = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
    except OSError:
        return ()
    return tuple((name, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in found)
