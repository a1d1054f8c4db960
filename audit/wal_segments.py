"""The write-ahead log's segments as files: their names, what a sealed one must hold, which tail may be cut."""

from __future__ import annotations

import re
from pathlib import Path

from audit.frames import Scan, WalRecord, find_later_batch, scan

_NAME = re.compile(r"[0-9]{20}\.wal", re.ASCII)


class WalRefused(RuntimeError):
    """The files on disk are damaged; starting would lose or hide records."""


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


def read_segment(directory: Path, first: int, end: int) -> list[WalRecord]:
    """All records of a sealed segment; raise :class:`WalRefused` when they are not exactly ``[first, end)``."""
    path = segment_path(directory, first)
    data = path.read_bytes()
    found = scan(data)
    if found.end != len(data) or first + len(found.records) != end:
        raise WalRefused(
            f"{path.name} should hold {end - first} records, but {len(found.records)} are readable up to byte"
            f" {found.end} of {len(data)}; restore the missing or damaged file from a copy. Nothing was changed."
        )
    return found.records


def check_tail(name: str, data: bytes, found: Scan, size: int, signed_size: int) -> None:
    """Raise :class:`WalRefused` unless the bytes behind the valid frames are a torn tail that may be cut."""
    later = find_later_batch(data, found.end)
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
