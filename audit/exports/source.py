"""Reading a growing log for export: only what a checkpoint covers, and only while it extends what was seen before."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from audit.checkpoint import Checkpoint, open_checkpoint
from audit.exports.cursor import Position
from audit.merkle import MerkleError, check_consistency, consistency_proof, leaf_hash
from audit.note import NoteError, VerifierKey
from audit.reader import LogEntry, LogUnreadable, TileNodes, read_checkpoint, read_raw_entries
from audit.tiles import ENTRIES, TILE_WIDTH, TileId

PRUNED = "audit:pruned"


class LogReplaced(RuntimeError):
    """The directory holds another log, a shorter one or a rewritten one than the cursor knows."""


@dataclass(frozen=True)
class Batch:
    """The records ``[start, end)``; ``head`` covers them. ``skipped_from``: first of those pruned before, if any."""

    head: Checkpoint
    start: int
    entries: tuple[LogEntry, ...]
    skipped_from: int | None = None

    @property
    def end(self) -> int:
        """The index after the last record."""
        return self.start + len(self.entries)


class LogSource:
    """A log directory, read only. With a key every checkpoint's signature is verified."""

    def __init__(self, log_dir: Path, key: VerifierKey | None = None) -> None:
        self._log_dir = log_dir
        self._key = key

    def head(self, seen: Position | None = None) -> Checkpoint:
        """The newest checkpoint; raise :class:`LogReplaced` unless it extends ``seen``, LogUnreadable when broken."""
        raw, checkpoint = read_checkpoint(self._log_dir)
        if self._key is not None:
            try:
                open_checkpoint(raw, self._key)
            except NoteError as error:
                raise LogReplaced(f"The checkpoint is not signed by the configured key: {error}") from error
        if seen is not None:
            self._check_extends(seen, checkpoint)
        return checkpoint

    def batch(self, start: int, limit: int, seen: Position) -> Batch:
        """At most ``limit`` records from ``start`` on; fewer, or none, when the log ends before."""
        head = self.head(seen)
        try:
            return Batch(head, start, self._entries(start, limit, head))
        except LogUnreadable:
            first = self._first_kept(start, head)
            if first is None:
                raise
            return Batch(head, first, self._entries(first, limit, head), start)

    def entry(self, index: int) -> LogEntry:
        """One published record."""
        return self._entries(index, 1, self.head())[0]

    def _entries(self, start: int, limit: int, head: Checkpoint) -> tuple[LogEntry, ...]:
        found = []
        # to the head's end, cut here: only there does a partial bundle of that width exist
        for index, raw in enumerate(islice(read_raw_entries(self._log_dir, start, head.size), limit), start):
            try:
                leaf = json.loads(raw)
            except ValueError as error:
                raise LogUnreadable(f"Entry {index} is not a JSON record; run 'enclave-audit verify'.") from error
            found.append(LogEntry(index, leaf, leaf_hash(raw).hex()))
        return tuple(found)

    def _check_extends(self, seen: Position, head: Checkpoint) -> None:
        advice = "run 'enclave-audit verify', then remove the cursor if this log is the right one"
        if head.origin != seen.origin:
            raise LogReplaced(f"Expected the log {seen.origin}, found {head.origin}; {advice}.")
        if head.size < seen.size:
            raise LogReplaced(f"The log had {seen.size} records, found {head.size}; {advice}.")
        try:
            proof = consistency_proof(seen.size, head.size, TileNodes(self._log_dir, head.size))
            check_consistency(seen.size, head.size, seen.root, head.root, proof)
        except MerkleError as error:
            raise LogReplaced(f"The log's first {seen.size} records are not those seen before; {advice}.") from error

    def _first_kept(self, start: int, head: Checkpoint) -> int | None:
        """The first record at or after ``start`` that was kept, if an ``audit:pruned`` record says so; else None."""
        kept = next(
            (
                bundle
                for bundle in range(start // TILE_WIDTH, -(-head.size // TILE_WIDTH))
                if (self._log_dir / TileId(ENTRIES, bundle).path).exists() or (bundle + 1) * TILE_WIDTH > head.size
            ),
            None,
        )
        if kept is None or kept * TILE_WIDTH <= start:
            return None
        first = kept * TILE_WIDTH
        for at in range(first, head.size, TILE_WIDTH):
            for entry in self._entries(at, TILE_WIDTH, head):
                minimum = entry.leaf.get("counts", {}).get("minimum_index", 0)
                if entry.leaf.get("type") == PRUNED and entry.leaf.get("writer") == "audit" and minimum >= first:
                    return first
        return None
