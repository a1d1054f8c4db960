"""Disk space set aside, so that a log on a full disk can still record that it is full.

``state/reserve`` holds nothing; it is deleted when the disk is full, and allocated again once there is room.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from audit.durable import fsync_directory

DEFAULT_RESERVE_BYTES = 2**20
_PROBE_MARGIN_BYTES = 64 * 1024


class Reserve:
    """``held`` is False from the moment the space was given up until it could be taken again."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._bytes = size_bytes
        self.held = False

    def take(self) -> bool:
        """Allocate the space; False when the disk has no room for it and a little more."""
        if self.held:
            return True
        if self._path.exists() and self._path.stat().st_blocks * 512 >= self._bytes:
            self.held = True
            return True
        volume = os.statvfs(self._path.parent)
        if volume.f_bavail * volume.f_frsize < self._bytes + _PROBE_MARGIN_BYTES:
            return False
        try:
            self._allocate()
        except OSError:
            self.give_up()
            return False
        self.held = True
        return True

    def give_up(self) -> None:
        """Free the space."""
        self.held = False
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
            fsync_directory(self._path.parent)

    def _allocate(self) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if self._bytes:
                os.posix_fallocate(descriptor, 0, self._bytes)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
