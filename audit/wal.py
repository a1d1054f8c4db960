"""The write-ahead log: where a record becomes durable, before anything is hashed, signed or answered.

Segments ``<first index, 20 digits>.wal`` hold frames: u32 length, u32 crc32 over length and body, body; all big-endian.
A body is u32 leaf length, leaf, encrypted payload (may be empty). One append is one write and one fdatasync.

Recovery cuts a torn tail only when no valid frame follows it and what remains covers the last signed checkpoint;
anything else is damage, and the log refuses to start rather than forget records silently.
"""

from __future__ import annotations

import os
import re
import struct
import time
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.durable import fsync_directory, make_directories, write_atomic

MAX_BODY_BYTES = 2**20
DEFAULT_SEGMENT_BYTES = 64 * 2**20
_HEADER = struct.Struct(">II")
_WORD = struct.Struct(">I")
_PLAUSIBLE = re.compile(rb"(?=\x00[\x00-\x10])")
_NAME = re.compile(r"[0-9]{20}\.wal", re.ASCII)


class WalRefused(RuntimeError):
    """The files on disk are damaged; starting would lose or hide records."""


class WalFull(RuntimeError):
    """Nothing of the batch was taken (disk full or a write error); the log stays as it was."""


class WalBroken(RuntimeError):
    """Durability is unknown (fdatasync failed) or the file is no longer ours; the daemon must stop, never retry."""


@dataclass(frozen=True)
class WalRecord:
    """One record: the leaf's bytes and, beside it, the encrypted payload."""

    leaf: bytes
    payload: bytes = b""

    def frame(self) -> bytes:
        """The frame's bytes; raise ValueError beyond :data:`MAX_BODY_BYTES`."""
        body = _WORD.pack(len(self.leaf)) + self.leaf + self.payload
        if len(body) > MAX_BODY_BYTES:
            raise ValueError(f"A record may take {MAX_BODY_BYTES} bytes with its payload, found {len(body)}.")
        length = _WORD.pack(len(body))
        return length + _WORD.pack(zlib.crc32(body, zlib.crc32(length))) + body


@dataclass(frozen=True)
class Scan:
    """Valid frames from the start of a segment: their offsets, and where the first other byte stands."""

    records: list[WalRecord]
    offsets: list[int]
    end: int


def read_frame(data: bytes, at: int) -> tuple[WalRecord, int] | None:
    """The record at offset ``at`` and the offset behind it; None when no valid frame stands there."""
    if at + _HEADER.size > len(data):
        return None
    length, crc = _HEADER.unpack_from(data, at)
    start = at + _HEADER.size
    if not _WORD.size <= length <= MAX_BODY_BYTES or start + length > len(data):
        return None
    body = data[start : start + length]
    if zlib.crc32(body, zlib.crc32(data[at : at + _WORD.size])) != crc:
        return None
    (leaf_bytes,) = _WORD.unpack_from(body)
    if _WORD.size + leaf_bytes > length:
        return None
    return WalRecord(body[_WORD.size : _WORD.size + leaf_bytes], body[_WORD.size + leaf_bytes :]), start + length


def scan(data: bytes) -> Scan:
    """Read frames until the first byte that does not begin one."""
    records: list[WalRecord] = []
    offsets: list[int] = []
    at = 0
    while (found := read_frame(data, at)) is not None:
        offsets.append(at)
        records.append(found[0])
        at = found[1]
    return Scan(records, offsets, at)


def find_frame(data: bytes, start: int) -> int | None:
    """Offset of the first valid frame at or after ``start``, None when there is none."""
    for match in _PLAUSIBLE.finditer(data, start):
        if read_frame(data, match.start()) is not None:
            return match.start()
    return None


def segment_path(directory: Path, first: int) -> Path:
    """Segment whose first record has index ``first``."""
    return directory / f"{first:020d}.wal"


def segments(directory: Path) -> list[int]:
    """First indexes of the segments, ascending; raise :class:`WalRefused` on a foreign file."""
    found = []
    for path in directory.iterdir():
        if not _NAME.fullmatch(path.name):
            raise WalRefused(
                f"The write-ahead log holds an unknown file {path.name}; move it elsewhere and start again."
            )
        found.append(int(path.stem))
    return sorted(found)


@dataclass(frozen=True)
class Recovery:
    """The records of the last one or two segments; ``first`` is the index of ``records[0]``. ``cut``: bytes removed."""

    first: int
    records: list[WalRecord]
    cut: int


class Wal:
    """The open log. One process, one thread: the daemon holds a lock around it."""

    def __init__(self, directory: Path, segment_bytes: int = DEFAULT_SEGMENT_BYTES) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._descriptor = -1
        self._first = 0
        self._offsets: array[int] = array("Q")
        self._end = 0

    def recover(self, signed_size: int, torn_directory: Path) -> Recovery:
        """Open for appending; ``signed_size`` is that of the last signed checkpoint known. Raise WalRefused."""
        make_directories(self._directory, 0o700)
        firsts = segments(self._directory) or [self._create(0)]
        if firsts[0] != 0:
            raise WalRefused(f"The write-ahead log begins at record {firsts[0]} instead of 0: segments are missing.")
        earlier = self._scan_sealed(firsts[-2], firsts[-1]) if len(firsts) > 1 else []
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
        return Recovery(firsts[-1] - len(earlier), earlier + found.records, len(data) - found.end)

    def append(self, records: Sequence[WalRecord]) -> None:
        """Make records durable: one write, one fdatasync. Raise WalFull (nothing taken) or WalBroken (stop)."""
        self._check_in_place()
        frames = [record.frame() for record in records]
        data = b"".join(frames)
        try:
            self._write(data)
        except OSError as error:
            self._take_back(error)
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise WalBroken(f"fdatasync of the write-ahead log failed ({error.strerror}); the log stops.") from error
        for frame in frames:
            self._offsets.append(self._end)
            self._end += len(frame)

    @property
    def wants_rotation(self) -> bool:
        """True once the segment has reached its size."""
        return self._end >= self._segment_bytes

    def rotate(self, size: int) -> None:
        """Begin a new segment at ``size``; everything before must have been published."""
        os.close(self._descriptor)
        self._open(self._create(size), [], 0)

    def read(self, index: int) -> WalRecord:
        """The record at ``index``; raise KeyError when it is not there, WalRefused when its bytes are damaged."""
        firsts = [first for first in segments(self._directory) if first <= index]
        if not firsts or index < 0:
            raise KeyError(index)
        data = segment_path(self._directory, firsts[-1]).read_bytes()
        offsets = self._offsets if firsts[-1] == self._first else scan(data).offsets
        if index - firsts[-1] >= len(offsets):
            raise KeyError(index)
        found = read_frame(data, offsets[index - firsts[-1]])
        if found is None:
            raise WalRefused(f"Record {index} of the write-ahead log is damaged; restore it from a copy.")
        return found[0]

    def close(self) -> None:
        """Release the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _scan_sealed(self, first: int, following: int) -> list[WalRecord]:
        path = segment_path(self._directory, first)
        data = path.read_bytes()
        found = scan(data)
        if found.end != len(data) or first + len(found.records) != following:
            raise WalRefused(
                f"{path.name} should hold {following - first} records, but {len(found.records)} are readable up to byte"
                f" {found.end} of {len(data)}; restore the file from a copy. Nothing was changed."
            )
        return found.records

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
        path = segment_path(self._directory, first)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
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
        path = segment_path(self._directory, self._first)
        own = os.fstat(self._descriptor)
        try:
            named = path.stat()
        except FileNotFoundError as error:
            raise WalBroken(f"{path.name} was deleted while the log was running; the log stops.") from error
        if (own.st_ino, own.st_dev) != (named.st_ino, named.st_dev) or own.st_nlink != 1:
            raise WalBroken(f"{path.name} was replaced while the log was running; the log stops.")
        if own.st_size != self._end:
            raise WalBroken(
                f"{path.name} should have {self._end} bytes, found {own.st_size}: another process wrote; the log stops."
            )


def check_tail(name: str, data: bytes, found: Scan, size: int, signed_size: int) -> None:
    """Raise :class:`WalRefused` unless the bytes behind the valid frames are a torn tail that may be cut."""
    later = find_frame(data, found.end + 1)
    if later is not None:
        raise WalRefused(
            f"{name} is damaged at byte {found.end} (record {size}), and a valid record follows at byte {later}:"
            " this is no torn tail. Restore the file from a copy; nothing was changed."
        )
    if size < signed_size:
        raise WalRefused(
            f"{name} is damaged at byte {found.end} (record {size}), but a checkpoint over {signed_size} records was"
            " signed. Restore the file from a copy; nothing was changed."
        )
