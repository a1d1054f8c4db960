"""Bringing the index up to the published log. One process at a time, by a file lock; readers need none.

A part is made from parts that exist already and, beyond them, from entry bundles. The index is thrown away and built
anew when it names another log, when the log no longer contains what the index covers, or when a file is damaged.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audit.checkpoint import Checkpoint
from audit.durable import fsync_directory
from audit.index.arrow import RARE, SCHEMA, searched_table, table_of
from audit.index.bundles import first_available, has_bundle
from audit.index.manifest import (
    SETTLED,
    IndexDamaged,
    Manifest,
    Part,
    PartFile,
    check_part,
    files_there,
    plan_parts,
    read_manifest,
    remove_superseded,
    write_manifest,
)
from audit.index.mapping import COLUMNS, Statement, join_statements, number, row_of
from audit.index.words import word_table, write_words
from audit.merkle import range_hash
from audit.reader import LogUnreadable, TileNodes, read_checkpoint, read_raw_entries
from audit.tiles import TILE_WIDTH

LOCK = ".lock"
ROW_GROUP = 16_384
_UNIQUE = ("index", "leaf", "leaf_hash", RARE)
"""Columns whose values are all different: a dictionary would only cost time."""
_LOOKED_UP = ("request_id", "template")
"""Columns asked for one value of many: Bloom filters spare most row groups."""
MAX_OPENED = 5_000
"""So many intents without outcome are remembered; an outcome that comes after more of them has no statement."""


class IndexUnwritable(RuntimeError):
    """The index directory cannot be written; the sentence says what to do."""


@dataclass
class Progress:
    """What reading the log onward has to remember between two records."""

    opened: dict[str, Statement]
    minimum_index: int

    def note(self, rows: list[dict[str, Any]]) -> None:
        """Join outcomes to their intents and look for prunings."""
        join_statements(rows, self.opened)
        for request_id in list(self.opened)[: max(0, len(self.opened) - MAX_OPENED)]:
            del self.opened[request_id]
        for row in rows:
            if row["type"] == "audit:pruned" and row["writer"] == "audit":
                counts = orjson.loads(row["leaf"]).get("counts")
                found = number(counts.get("minimum_index")) if isinstance(counts, dict) else None
                if found is not None and found <= row["index"]:
                    self.minimum_index = max(self.minimum_index, found)


def refresh_index(log_dir: Path, index_dir: Path, *, anew: bool = False) -> Manifest:
    """Bring the index up to the checkpoint; ``anew`` builds all of it. Return what it now is.

    Raise :class:`LogUnreadable` when the log lacks a file it should have, :class:`IndexUnwritable` when the directory
    cannot be written.
    """
    _, checkpoint = read_checkpoint(log_dir)
    present = None if anew else read_manifest(index_dir)
    if present is not None and _is_current(present, checkpoint, log_dir) and files_there(index_dir, present):
        return present
    with _locked(index_dir):
        # the log, and the index by another process, may have moved while this one waited
        _, checkpoint = read_checkpoint(log_dir)
        present = None if anew else read_manifest(index_dir)
        if present is not None and not _can_grow(present, checkpoint, log_dir, index_dir):
            present = None
        if present is not None and _is_current(present, checkpoint, log_dir):
            return present
        try:
            return _extend(log_dir, index_dir, present, checkpoint)
        except IndexDamaged:
            return _extend(log_dir, index_dir, None, checkpoint)
        except OSError as error:
            raise _unwritable(index_dir, error) from error


@contextmanager
def _locked(index_dir: Path) -> Iterator[None]:
    try:
        index_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(index_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _unwritable(index_dir, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _unwritable(index_dir: Path, error: OSError) -> IndexUnwritable:
    return IndexUnwritable(
        f"The index directory {index_dir.name} cannot be written ({error.strerror}); choose another directory for it."
    )


def _is_current(manifest: Manifest, checkpoint: Checkpoint, log_dir: Path) -> bool:
    covered = (manifest.origin, manifest.size, manifest.root)
    wanted = (checkpoint.origin, checkpoint.size, checkpoint.root.hex())
    return covered == wanted and _first_kept(manifest, log_dir) == manifest.first


def _first_kept(manifest: Manifest, log_dir: Path) -> int:
    """Where the index begins once it follows the pruning that the log names, if the bundles are really gone."""
    bundle = manifest.minimum_index // TILE_WIDTH
    if bundle * TILE_WIDTH <= manifest.first or has_bundle(log_dir, bundle - 1, manifest.size):
        return manifest.first
    return bundle * TILE_WIDTH


def _can_grow(manifest: Manifest, checkpoint: Checkpoint, log_dir: Path, index_dir: Path) -> bool:
    """Is the index a prefix of this log, with all its files, and does the log still hold what comes after it?"""
    if manifest.origin != checkpoint.origin or manifest.size > checkpoint.size or not files_there(index_dir, manifest):
        return False
    if manifest.size == 0:
        return True
    if first_available(log_dir, checkpoint.size) > manifest.settled:
        return False
    if manifest.size == checkpoint.size:
        return manifest.root == checkpoint.root.hex()
    return range_hash(0, manifest.size, TileNodes(log_dir, checkpoint.size)).hex() == manifest.root


def _extend(log_dir: Path, index_dir: Path, present: Manifest | None, checkpoint: Checkpoint) -> Manifest:
    root = checkpoint.root.hex()
    if present is None:
        first = first_available(log_dir, checkpoint.size)
        present = Manifest(checkpoint.origin, first, "", first)
    while True:
        first = _first_kept(present, log_dir)
        progress = Progress(dict(present.opened), present.minimum_index)
        fresh = FreshTables(log_dir, max(first, present.settled), checkpoint.size, progress)
        parts = tuple(
            _make_part(index_dir, present, start, end, fresh) for start, end in plan_parts(first, checkpoint.size)
        )
        fsync_directory(index_dir)
        now = Manifest(
            checkpoint.origin, checkpoint.size, root, first, progress.minimum_index, parts, fresh.opened_at_settled
        )
        _check_start(now)
        write_manifest(index_dir, now)
        remove_superseded(index_dir, present, now)
        if _first_kept(now, log_dir) == now.first:
            return now
        present = now


def _check_start(manifest: Manifest) -> None:
    if manifest.first > manifest.minimum_index:
        raise LogUnreadable(
            f"Entries before {manifest.first} are missing, and no audit:pruned record says that they were pruned;"
            " run 'enclave-audit verify'."
        )


class FreshTables:
    """Tables made from entry bundles, in order, each ending at a settled boundary or at the log's end."""

    def __init__(self, log_dir: Path, start: int, end: int, progress: Progress) -> None:
        self._log_dir = log_dir
        self._at = start
        self._end = end
        self._progress = progress
        self.opened_at_settled = dict(progress.opened)

    def upto(self, end: int) -> Iterator[pa.Table]:
        """The tables from where the last call ended, up to ``end``."""
        while self._at < end:
            stop = min((self._at // SETTLED + 1) * SETTLED, self._end, end)
            entries = read_raw_entries(self._log_dir, self._at, stop)
            rows = [row_of(index, entry) for index, entry in enumerate(entries, self._at)]
            self._progress.note(rows)
            self._at = stop
            if stop % SETTLED == 0:
                self.opened_at_settled = dict(self._progress.opened)
            yield table_of(rows)


def _make_part(index_dir: Path, present: Manifest, start: int, end: int, fresh: FreshTables) -> Part:
    """The part ``[start, end)``: the file that is there, or a new one from other parts and the log."""
    settled = [part for part in present.parts if part.end <= present.settled]
    for part in settled:
        if (part.start, part.end) == (start, end):
            return part
    tables = [_slice(index_dir, part, start, end) for part in settled if part.start < end and part.end > start]
    tables += fresh.upto(end)
    return _write_part(index_dir, start, end, pa.concat_tables(tables).combine_chunks())


def _slice(index_dir: Path, part: Part, start: int, end: int) -> pa.Table:
    """The records of an existing part that lie in ``[start, end)``."""
    check_part(index_dir, part)
    table = pq.read_table(index_dir / part.records.name, columns=list(COLUMNS), memory_map=False).cast(SCHEMA)
    place = pc.field("index")
    return table.filter((place >= start) & (place < end))


def _write_part(index_dir: Path, start: int, end: int, table: pa.Table) -> Part:
    if len(table) != end - start:
        raise IndexDamaged(f"Expected {end - start} records from {start} on, found {len(table)}.")
    name = f"{start:012}-{end:012}-{secrets.token_hex(4)}"
    rare, words = word_table(table.column("leaf").to_pylist())
    searched = searched_table(table, rare)
    return Part(
        start,
        end,
        _write_file(index_dir, f"records-{name}.parquet", lambda path: _write_parquet(path, searched)),
        _write_file(index_dir, f"words-{name}.arrow", lambda path: write_words(path, words)),
    )


def _write_parquet(path: Path, table: pa.Table) -> None:
    pq.write_table(
        table,
        path,
        compression="zstd",
        row_group_size=ROW_GROUP,
        write_page_checksum=True,
        use_dictionary=[name for name in table.column_names if name not in _UNIQUE],
        column_encoding={"index": "DELTA_BINARY_PACKED"},
        bloom_filter_options={name: {"ndv": ROW_GROUP, "fpp": 0.01} for name in _LOOKED_UP},
    )


def _write_file(index_dir: Path, name: str, write: Callable[[Path], None]) -> PartFile:
    """Write under a temporary name, make it durable, give it its name."""
    temporary = index_dir / f".{name}.tmp"
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = temporary.stat().st_size
        temporary.replace(index_dir / name)
    finally:
        temporary.unlink(missing_ok=True)
    return PartFile(name, size, digest)
