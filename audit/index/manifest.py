"""``index.json``: which log an index belongs to, how far it goes, and which files it is made of.

A part covers the records ``[start, end)``. Parts are immutable; the last one is replaced as the log grows. The file is
replaced by rename, so a reader sees one state or the next.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from audit.durable import write_atomic
from audit.index.mapping import Statement

FORMAT = 1
MANIFEST = "index.json"
FILE_MODE = 0o644
SEALED = 65_536
SETTLED = 4_096
KEEP_SECONDS = 60
"""A file no longer named stays this long, for a reader that is in the middle of a query."""


class IndexDamaged(RuntimeError):
    """A file of the index is missing or holds something else than was written; the index is rebuilt from the log."""


@dataclass(frozen=True)
class PartFile:
    """A file as it was written; ``size`` in bytes."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Part:
    """The records ``[start, end)``: their columns (Parquet) and the words in their leaves (Arrow)."""

    start: int
    end: int
    records: PartFile
    words: PartFile

    @property
    def files(self) -> tuple[PartFile, PartFile]:
        """Both files."""
        return self.records, self.words


@dataclass(frozen=True)
class Manifest:
    """``root`` (hex) of the tree of ``size`` leaves; ``opened``: intents without outcome at the last settled record.

    Records before ``first`` were pruned; ``minimum_index`` is the greatest one that an ``audit:pruned`` record names.
    """

    origin: str
    size: int
    root: str
    first: int = 0
    minimum_index: int = 0
    parts: tuple[Part, ...] = ()
    opened: Mapping[str, Statement] = field(default_factory=dict)

    @property
    def settled(self) -> int:
        """Up to here parts are never read from the log again."""
        return max(self.first, self.size - self.size % SETTLED)


def read_manifest(index_dir: Path) -> Manifest | None:
    """The index as it stands; None when there is none that this version can read."""
    try:
        read = json.loads((index_dir / MANIFEST).read_bytes())
        if read.pop("format") != FORMAT:
            return None
        parts = tuple(_part(**part) for part in read.pop("parts"))
        opened = {key: Statement(*values) for key, values in read.pop("opened").items()}
        return Manifest(**read, parts=parts, opened=opened)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _part(start: int, end: int, records: dict[str, Any], words: dict[str, Any]) -> Part:
    return Part(start, end, PartFile(**records), PartFile(**words))


def write_manifest(index_dir: Path, manifest: Manifest) -> None:
    """Replace ``index.json`` durably."""
    fields: dict[str, Any] = {"format": FORMAT, **asdict(manifest), "opened": dict(manifest.opened)}
    write_atomic(index_dir / MANIFEST, json.dumps(fields).encode(), mode=FILE_MODE)


def plan_parts(first: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut ``[first, size)`` into parts: whole blocks of 65,536 records, then of 4,096, then the rest."""
    at = first
    while at < size:
        ends = [end for block in (SEALED, SETTLED) if (end := (at // block + 1) * block) <= size]
        end = ends[0] if ends else size
        yield at, end
        at = end


def check_part(index_dir: Path, part: Part) -> None:
    """Raise :class:`IndexDamaged` unless the part's files are those that were written."""
    for wanted in part.files:
        try:
            with (index_dir / wanted.name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise IndexDamaged(f"{wanted.name} of the index cannot be read ({error.strerror}).") from error
        if found != wanted.sha256:
            raise IndexDamaged(f"{wanted.name} of the index is damaged.")


def files_there(index_dir: Path, manifest: Manifest) -> bool:
    """Is every file there, as long as it was written? Cheap; :func:`check_part` is thorough."""
    try:
        return all(
            (index_dir / file.name).stat().st_size == file.size for part in manifest.parts for file in part.files
        )
    except OSError:
        return False


def remove_superseded(index_dir: Path, before: Manifest | None, now: Manifest) -> None:
    """Delete files that no manifest has named for a minute, and what a crash left behind."""
    named = {file.name for part in now.parts for file in part.files}
    just_superseded = {file.name for part in before.parts for file in part.files} - named if before else set()
    limit = time.time() - KEEP_SECONDS
    for path in index_dir.iterdir():
        if path.name in named or path.name == MANIFEST or path.suffix not in (".parquet", ".arrow", ".tmp"):
            continue
        try:
            if path.name in just_superseded:
                os.utime(path)
            elif path.stat().st_mtime < limit:
                path.unlink()
        except FileNotFoundError:
            continue
