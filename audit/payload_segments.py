"""Encrypted payloads after their write-ahead segment was sealed: ``<first index, 20 digits>.pay`` in one directory.

A file covers the records ``[first, end)``, those without payload included, and the files follow each other without a
gap. It holds, all big-endian: the magic; frames (u32 length, u32 crc32 over length and body, body = u64 record index ‖
ciphertext); a table of u64 record index, u64 file offset per frame, ascending; JSON ``{"end":…,"first":…,"keys":{key
name: payloads}}``; and a footer: u64 offset of the table, u32 frames, u32 bytes of JSON, u32 crc32 over table and JSON,
the magic. Files appear by rename and never change.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.durable import fsync_directory, make_directories, write_atomic

MAGIC = b"ENCPAY1\n"
_FRAME = struct.Struct(">II")
_INDEX = struct.Struct(">Q")
_ROW = struct.Struct(">QQ")
_FOOTER = struct.Struct(f">QIII{len(MAGIC)}s")
_NAME = re.compile(r"[0-9]{20}\.pay", re.ASCII)


class PayloadSegmentError(RuntimeError):
    """A payload segment is missing, damaged or unknown; the sentence names it and says what to do."""


@dataclass(frozen=True)
class PayloadItem:
    """One payload to keep: the record's index, the key's name (to count payloads per key), the ciphertext."""

    index: int
    key: str
    blob: bytes


@dataclass(frozen=True)
class Summary:
    """What a file says about itself; ``table`` is its raw table of frames."""

    first: int
    end: int
    keys: Mapping[str, int]
    table: bytes

    @property
    def lowest(self) -> int | None:
        """Index of the first record with a payload, None when there is none."""
        return int(_ROW.unpack_from(self.table)[0]) if self.table else None


def encode_segment(first: int, end: int, items: Sequence[PayloadItem]) -> bytes:
    """The bytes of a payload segment over the records ``[first, end)``; ``items`` ascend by index. Pure."""
    parts, table, at = [MAGIC], bytearray(), len(MAGIC)
    for item in items:
        body = _INDEX.pack(item.index) + item.blob
        length = struct.pack(">I", len(body))
        frame = length + struct.pack(">I", zlib.crc32(body, zlib.crc32(length))) + body
        table += _ROW.pack(item.index, at)
        parts.append(frame)
        at += len(frame)
    about = {"end": end, "first": first, "keys": dict(sorted(Counter(item.key for item in items).items()))}
    tail = bytes(table) + (text := json.dumps(about, separators=(",", ":")).encode())
    return b"".join([*parts, tail, _FOOTER.pack(at, len(items), len(text), zlib.crc32(tail), MAGIC)])


class PayloadSegments:
    """The directory of payload segments."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        make_directories(directory, 0o700)

    def firsts(self) -> list[int]:
        """First indexes of the files, ascending; raise :class:`PayloadSegmentError` on a foreign file."""
        found = []
        for path in self._directory.iterdir():
            if path.name.endswith(".tmp"):
                continue
            if not _NAME.fullmatch(path.name):
                raise PayloadSegmentError(
                    f"The payload directory holds an unknown file {path.name}; move it elsewhere."
                )
            found.append(int(path.stem))
        return sorted(found)

    def sweep(self) -> None:
        """After a crash: delete files that were never finished."""
        for path in self._directory.glob(".*.tmp"):
            path.unlink()

    def covered(self) -> tuple[int, int]:
        """First and end of the records covered, (0, 0) when there is no file; raise on a gap between two files."""
        begin = reached = None
        for first in self.firsts():
            if reached is not None and first != reached:
                raise PayloadSegmentError(
                    f"The payload segment of the records from {reached} on is missing: the next one begins at {first}."
                    " Restore it from a copy."
                )
            begin = first if begin is None else begin
            reached = self.summary(first).end
        return (begin or 0, reached or 0)

    def add(self, first: int, end: int, items: Sequence[PayloadItem]) -> None:
        """Keep the payloads of the records ``[first, end)``, durably."""
        write_atomic(self._path(first), encode_segment(first, end, items), mode=0o600)

    def read(self, index: int) -> bytes | None:
        """The ciphertext kept for record ``index``; None when no file covers it, empty when it had no payload."""
        before = [first for first in self.firsts() if first <= index]
        if not before:
            return None
        summary = self.summary(before[-1])
        if index >= summary.end:
            return None
        offset = find_row(summary.table, index)
        return b"" if offset is None else self._read_frame(before[-1], offset, index)

    def items(self, first: int) -> Iterator[tuple[int, bytes]]:
        """Every record index and ciphertext of one file, ascending; raise :class:`PayloadSegmentError` on damage."""
        for index, offset in _ROW.iter_unpack(self.summary(first).table):
            yield index, self._read_frame(first, offset, index)

    def count(self, key: str) -> int:
        """How many payloads are kept under the key of this name."""
        return sum(self.summary(first).keys.get(key, 0) for first in self.firsts())

    def remove(self, first: int) -> None:
        """Delete a file, durably."""
        self._path(first).unlink(missing_ok=True)
        fsync_directory(self._directory)

    def summary(self, first: int) -> Summary:
        """What the file says about itself, checked by its checksum; raise :class:`PayloadSegmentError`."""
        path = self._path(first)
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(0, size - _FOOTER.size))
                offset, frames, text_bytes, crc, magic = _FOOTER.unpack(file.read(_FOOTER.size))
                file.seek(offset)
                tail = file.read(size - offset - _FOOTER.size)
            table = tail[: frames * _ROW.size]
            if magic != MAGIC or zlib.crc32(tail) != crc or len(table) + text_bytes != len(tail):
                raise ValueError("footer")
            about = json.loads(tail[len(table) :])
            return Summary(about["first"], about["end"], about["keys"], table)
        except (ValueError, struct.error, OSError) as error:
            raise PayloadSegmentError(f"{path.name} is damaged or unreadable; restore it from a copy.") from error

    def _read_frame(self, first: int, offset: int, index: int) -> bytes:
        path = self._path(first)
        with path.open("rb") as file:
            file.seek(offset)
            head = file.read(_FRAME.size)
            length, crc = _FRAME.unpack(head)
            body = file.read(length)
        if zlib.crc32(body, zlib.crc32(head[:4])) != crc or _INDEX.unpack_from(body)[0] != index:
            raise PayloadSegmentError(f"The payload of record {index} in {path.name} is damaged; restore the file.")
        return body[_INDEX.size :]

    def _path(self, first: int) -> Path:
        return self._directory / f"{first:020d}.pay"


def find_row(table: bytes, index: int) -> int | None:
    """File offset of record ``index`` by bisection of a table, None when it is not listed."""
    low, high = 0, len(table) // _ROW.size
    while low < high:
        middle = (low + high) // 2
        found, offset = _ROW.unpack_from(table, middle * _ROW.size)
        if found == index:
            return int(offset)
        low, high = (middle + 1, high) if found < index else (low, middle)
    return None
