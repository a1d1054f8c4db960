"""The frames of the write-ahead log: bytes in, records out. Pure.

A frame is u32 length, u32 crc32 over length and body, body; all big-endian. A body is u64 batch, u32 leaf length, leaf,
encrypted payload (may be empty). ``batch`` is the byte offset in the segment at which the frame's batch begins: what
was written together may reach the disk in any order, so behind a torn frame there may be whole ones of the same batch.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

MAX_BODY_BYTES = 2**20
_HEADER = struct.Struct(">II")
_WORD = struct.Struct(">I")
_PREFIX = struct.Struct(">QI")
_PLAUSIBLE = re.compile(rb"(?=\x00[\x00-\x10])")


@dataclass(frozen=True)
class WalRecord:
    """One record: the leaf's bytes and, beside it, the encrypted payload."""

    leaf: bytes
    payload: bytes = b""

    def frame(self, batch: int = 0) -> bytes:
        """The frame's bytes in the batch that begins at that offset; raise ValueError beyond :data:`MAX_BODY_BYTES`."""
        body = _PREFIX.pack(batch, len(self.leaf)) + self.leaf + self.payload
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
    if not _PREFIX.size <= length <= MAX_BODY_BYTES or start + length > len(data):
        return None
    body = data[start : start + length]
    if zlib.crc32(body, zlib.crc32(data[at : at + _WORD.size])) != crc:
        return None
    _, leaf_bytes = _PREFIX.unpack_from(body)
    payload = _PREFIX.size + leaf_bytes
    if payload > length:
        return None
    return WalRecord(body[_PREFIX.size : payload], body[payload:]), start + length


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


def find_later_batch(data: bytes, torn: int) -> int | None:
    """Offset of the first valid frame behind the bad byte ``torn`` that was written after the bad bytes' own batch."""
    at = find_frame(data, torn + 1)
    while at is not None:
        batch, _ = _PREFIX.unpack_from(data, at + _HEADER.size)
        if batch > torn:
            return at
        at = find_frame(data, at + 1)
    return None
