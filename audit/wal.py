"""The write-ahead log: where a record becomes durable, before anything is hashed, signed or answered.

Segments ``<first index, 20 digits>.wal`` hold frames (see ``audit.frames``). One append is one write and one fdatasync.
Full segments are sealed; once published and with their payloads copied, all but the last two are removed, so the log
begins later than record 0 from then on.

Recovery cuts a torn tail only when no frame of a later batch follows it and what remains covers the last signed
checkpoint; anything else is damage, and the log refuses to start rather than forget records silently. (A batch is begun
only when the one before is durable; within the last one, power loss may have kept later sectors without earlier ones.)
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from audit.durable import fsync_directory, make_directories, write_atomic
from audit.frames import WalRecord, read_frame, scan
from audit.wal_segments import WalRefused, check_tail, read_segment, segment_path, segments

__all__ = ["Recovery", "Wal", "WalBroken", "WalFull", "WalRecord", "WalRefused", "scan"]

DEFAULT_SEGMENT_BYTES = 64 * 2**20
KEPT_SEALED = 2
"""Sealed segments kept beside the open one although published and copied: a second copy of the newest records."""


class WalFull(RuntimeError):
    """Nothing of the batch was taken (disk full or a write error); the log stays as it was."""


class WalBroken(RuntimeError):
    """Durability is unknown (fdatasync failed) or the file is no longer ours; the daemon must stop, never retry."""


@dataclass(frozen=True)
class Recovery:
    """The newest records, at least all that are not ``covered``; ``first`` is the index of ``records[0]``.

    ``cut``: bytes of torn tail removed.
    """

    first: int
    records: list[WalRecord]
    cut: int


class Wal:
    """The open log. Appending and rotating belong to one thread; another may read and remove sealed segments."""

    def __init__(self, directory: Path, segment_bytes: int = DEFAULT_SEGMENT_BYTES) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._descriptor = -1
        self._first = 0
        self._path = segment_path(directory, 0)
        self._path_text = str(self._path)
        self._offsets: array[int] = array("Q")
        self._end = 0

    def recover(self, signed_size: int, torn_directory: Path, covered: int = 0) -> Recovery:
        """Open for appending; ``signed_size`` is that of the last signed checkpoint known. Raise WalRefused.

        ``covered``: how many records from 0 on are both published and in payload segments, so that the write-ahead log
        may begin later.
        """
        make_directories(self._directory, 0o700)
        firsts = segments(self._directory)
        if not firsts:
            if signed_size:
                raise WalRefused(
                    f"The write-ahead log holds 0 records, but a checkpoint over {signed_size} was signed."
                    " Restore the state directory from a copy; nothing was changed."
                )
            firsts = [self._create(0)]
        if firsts[0] > covered:
            raise WalRefused(
                f"The write-ahead log begins at record {firsts[0]} instead of {covered} or earlier: only {covered}"
                " records are published and copied. Segments are missing; restore them from a copy."
            )
        earlier = self._scan_sealed(firsts, covered)
        path = segment_path(self._directory, firsts[-1])
        data = path.read_bytes()
        found = scan(data)
        size = firsts[-1] + len(found.records)
        if found.end < len(data):
            check_tail(path.name, data, found, size, signed_size)
            self._cut(path, data, found.end, torn_directory)
        if size < signed_size:
            raise WalRefused(
                f"The write-ahead log holds {size} records, but a checkpoint over {signed_size} was signed: records are"
                " missing. Restore the state directory from a copy; nothing was changed."
            )
        self._open(firsts[-1], found.offsets, found.end)
        # a killed daemon may have written without syncing: what is read here is about to be signed for
        os.fdatasync(self._descriptor)
        return Recovery(firsts[-1] - len(earlier), earlier + found.records, len(data) - found.end)

    def append(self, records: Sequence[WalRecord]) -> None:
        """Make records durable: one write, one fdatasync. Raise WalFull (nothing taken) or WalBroken (stop)."""
        self._check_in_place()
        frames = [record.frame(self._end) for record in records]
        data = b"".join(frames)
        try:
            self._write(data)
        except OSError as error:
            self._take_back(error)
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise WalBroken(f"fdatasync of the write-ahead log failed ({error.strerror}); the log stops.") from error
        ends = list(accumulate(map(len, frames), initial=self._end))
        self._end = ends.pop()
        self._offsets.extend(ends)

    @property
    def wants_rotation(self) -> bool:
        """True once the segment has reached its size."""
        return self._end >= self._segment_bytes

    @property
    def is_empty(self) -> bool:
        """True while the open segment holds no record."""
        return not self._end

    def rotate(self, size: int) -> None:
        """Begin a new segment at ``size``; raise OSError (nothing changed) when it cannot be created."""
        before = self._descriptor
        try:
            self._create(size)
        except OSError:
            segment_path(self._directory, size).unlink(missing_ok=True)
            raise
        self._open(size, [], 0)
        os.close(before)

    def sealed(self) -> list[tuple[int, int]]:
        """First and end (exclusive) index of every segment but the open one, ascending."""
        return list(pairwise(segments(self._directory)))

    def read_sealed(self, first: int, end: int) -> list[WalRecord]:
        """All records of a sealed segment; raise :class:`WalRefused` when they are not exactly ``[first, end)``."""
        return read_segment(self._directory, first, end)

    def remove_sealed(self, first: int) -> None:
        """Delete a sealed segment, durably."""
        segment_path(self._directory, first).unlink(missing_ok=True)
        fsync_directory(self._directory)

    def read(self, index: int) -> WalRecord:
        """The record at ``index``; raise KeyError when it is not there, WalRefused when its bytes are damaged."""
        firsts = [first for first in segments(self._directory) if first <= index]
        if not firsts or index < 0:
            raise KeyError(index)
        try:
            data = segment_path(self._directory, firsts[-1]).read_bytes()
        except FileNotFoundError as error:
            raise KeyError(index) from error
        offsets = self._offsets if firsts[-1] == self._first else scan(data).offsets
        if index - firsts[-1] >= len(offsets):
            raise KeyError(index)
        found = read_frame(data, offsets[index - firsts[-1]])
        if found is None:
            raise WalRefused(f"Record {index} of the write-ahead log is damaged; restore it from a copy.")
        return found[0]

    def read_from(self, index: int) -> tuple[int, list[WalRecord]]:
        """All records from the segment that holds ``index`` on (else from the first one), and that segment's begin."""
        firsts = segments(self._directory)
        begin = max((first for first in firsts if first <= index), default=firsts[0])
        records: list[WalRecord] = []
        for first in firsts:
            if first >= begin:
                records += scan(segment_path(self._directory, first).read_bytes()).records
        return begin, records

    def close(self) -> None:
        """Release the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _scan_sealed(self, firsts: Sequence[int], covered: int) -> list[WalRecord]:
        """Check every sealed segment; return the records of the newest one and of all that are not covered."""
        pairs = list(pairwise(firsts))
        wanted: list[WalRecord] = []
        for first, end in pairs:
            records = self.read_sealed(first, end)
            if wanted or end > covered or (first, end) == pairs[-1]:
                wanted += records
        return wanted

    def _cut(self, path: Path, data: bytes, end: int, torn_directory: Path) -> None:
        make_directories(torn_directory, 0o700)
        write_atomic(torn_directory / f"{path.stem}-{end}-{time.time_ns()}.torn", data[end:], mode=0o600)
        with path.open("r+b") as file:
            file.truncate(end)
            os.fsync(file.fileno())

    def _create(self, first: int) -> int:
        path = segment_path(self._directory, first)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        fsync_directory(self._directory)
        return first

    def _open(self, first: int, offsets: Sequence[int], end: int) -> None:
        self._path = segment_path(self._directory, first)
        self._path_text = str(self._path)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._first, self._offsets, self._end = first, array("Q", offsets), end

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _take_back(self, error: OSError) -> None:
        """After a failed write: remove what reached the file, so that the next batch begins at a frame's edge."""
        try:
            os.ftruncate(self._descriptor, self._end)
        except OSError as second:
            raise WalBroken(f"The write-ahead log cannot be written nor cut back ({second.strerror}).") from second
        raise WalFull(f"The write-ahead log cannot be written ({error.strerror}); free some disk space.") from error

    def _check_in_place(self) -> None:
        """Raise WalBroken when the segment was deleted, replaced or written by someone else since the last batch."""
        own = os.fstat(self._descriptor)
        try:
            named = os.stat(self._path_text)  # noqa: PTH116 - for every batch: a Path's takes three times as long
        except FileNotFoundError as error:
            raise WalBroken(f"{self._path.name} was deleted while the log was running; the log stops.") from error
        if (own.st_ino, own.st_dev) != (named.st_ino, named.st_dev) or own.st_nlink != 1:
            raise WalBroken(f"{self._path.name} was replaced while the log was running; the log stops.")
        if own.st_size != self._end:
            raise WalBroken(
                f"{self._path.name}: {own.st_size} bytes instead of {self._end}: another process wrote; the log stops."
            )
