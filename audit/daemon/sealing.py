"""What happens to a write-ahead segment once it is full: its payloads are copied, later the segment is removed.

Order: published (entries and checkpoint on disk), copied (payload segment renamed into place), removed. A crash between
two steps leaves the earlier state, which the next start accepts and continues from.
"""

from __future__ import annotations

import errno
import threading

from audit.payload_segments import PayloadItem, PayloadSegments
from audit.payloads import key_of
from audit.wal import KEPT_SEALED, Wal, WalRecord

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors that end by themselves once somebody frees space; every other one stops the log."""


def is_disk_full(error: BaseException) -> bool:
    """True for the errors of :data:`DISK_FULL`."""
    return isinstance(error, OSError) and error.errno in DISK_FULL


def payload_items(first: int, records: list[WalRecord]) -> list[PayloadItem]:
    """The payloads among the records of a segment that begins at ``first``."""
    return [
        PayloadItem(index, key_of(record.payload), record.payload)
        for index, record in enumerate(records, first)
        if record.payload
    ]


class Sealer:
    """Copies and removes sealed segments; may be called from the publishing thread and from the daemon's own."""

    def __init__(self, wal: Wal, kept: PayloadSegments) -> None:
        self._wal = wal
        self._kept = kept
        self._lock = threading.Lock()
        self._covered = kept.covered()[1]

    def work(self, published: int) -> None:
        """Copy the payloads of every sealed segment that is published, then remove segments no longer needed.

        Raise PayloadSegmentError or WalRefused on damage; a full disk only puts the copy off.
        """
        with self._lock:
            try:
                self._copy(published)
            except OSError as error:
                if not is_disk_full(error):
                    raise
            sealed = self._wal.sealed()
            for first, end in sealed[: max(0, len(sealed) - KEPT_SEALED)]:
                self._remove(first, end, published)

    def retire_below(self, minimum: int, published: int) -> None:
        """Remove every sealed segment that holds a pruned record; raise OSError when its payloads cannot be copied."""
        with self._lock:
            self._copy(published)
            for first, end in self._wal.sealed():
                if first < minimum:
                    self._remove(first, end, published)

    def copy(self, published: int) -> None:
        """Copy what is sealed and published; raise OSError on a full disk."""
        with self._lock:
            self._copy(published)

    def _copy(self, published: int) -> None:
        for first, end in self._wal.sealed():
            if self._covered < end <= published:
                self._kept.add(first, end, payload_items(first, self._wal.read_sealed(first, end)))
                self._covered = end

    def _remove(self, first: int, end: int, published: int) -> None:
        if end <= min(published, self._covered):
            self._wal.remove_sealed(first)
