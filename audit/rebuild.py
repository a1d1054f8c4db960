"""Rebuilding the tree of a published log and comparing every file with what the tree says it must hold.

One pass, bundle by bundle, so that memory does not grow with the log. Leaf hashes come from the entries
(:attr:`Source.ENTRIES`, the rule) or, to find out who is wrong when those miss the signed root, from the level-0 tiles.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from audit.checkpoint import Checkpoint
from audit.completeness import Completeness
from audit.inventory import Inventory
from audit.merkle import HASH_BYTES, leaf_hash
from audit.reader import LogUnreadable, find_file
from audit.report import Finding, Question
from audit.tiles import ENTRIES, TILE_WIDTH, TileError, TileFile, TileId, TileTree, decode_bundle, split_hashes

_UNKNOWN = bytes(HASH_BYTES)


class Source(StrEnum):
    """Where leaf hashes are taken from."""

    ENTRIES = "entries"
    TILES = "tiles"


@dataclass
class Rebuilt:
    """``root`` of the whole tree; ``earlier_root`` at the earlier checkpoint's size, None when that is beyond it."""

    root: bytes = b""
    earlier_root: bytes | None = None
    findings: list[tuple[Question, Finding]] = field(default_factory=list)
    completeness: Completeness = field(default_factory=Completeness)


class Rebuild:
    """One pass over a log of ``size`` records."""

    def __init__(
        self, log_dir: Path, inventory: Inventory, size: int, source: Source, earlier: Checkpoint | None
    ) -> None:
        self._log_dir = log_dir
        self._inventory = inventory
        self._size = size
        self._source = source
        self._earlier_size = -1 if earlier is None else earlier.size
        self._tree = TileTree()
        self._result = Rebuilt()

    def run(self) -> Rebuilt:
        """Go through the whole log."""
        self._note_earlier()
        for bundle in range(-(-self._size // TILE_WIDTH)):
            self._bundle(bundle, min(TILE_WIDTH, self._size - bundle * TILE_WIDTH))
        for partial in self._tree.partials():
            self._compare_tile(partial)
        self._result.root = self._tree.root()
        return self._result

    def _bundle(self, bundle: int, width: int) -> None:
        base = bundle * TILE_WIDTH
        wanted = TileId(ENTRIES, bundle, width)
        entries = self._entries(wanted)
        hashes = self._leaf_hashes(TileId(0, bundle, width), entries)
        self._each_file(wanted, Question.ENTRIES, lambda tile, data: self._compare_bundle(tile, data, hashes))
        for position, entry in enumerate(entries):
            if leaf_hash(entry) == hashes[position]:
                self._record(wanted, base + position, entry)
        for item in hashes:
            finished = self._tree.append(item)
            self._note_earlier()
            for tile in finished:
                self._compare_tile(tile)

    def _entries(self, wanted: TileId) -> list[bytes]:
        """The bundle's entries; none when it cannot be read (the comparison that follows says so)."""
        try:
            found, data = find_file(self._log_dir, wanted)
            return decode_bundle(data, found.width)[: wanted.width]
        except (LogUnreadable, TileError):
            return []

    def _leaf_hashes(self, wanted: TileId, entries: list[bytes]) -> list[bytes]:
        if entries and self._source is Source.ENTRIES:
            return [leaf_hash(entry) for entry in entries]
        try:
            hashes = split_hashes(find_file(self._log_dir, wanted)[1])[: wanted.width]
        except LogUnreadable:
            hashes = []
        if len(hashes) == wanted.width and len(hashes[-1]) == HASH_BYTES:
            return hashes
        if entries:
            return [leaf_hash(entry) for entry in entries]
        return [_UNKNOWN] * wanted.width

    def _note_earlier(self) -> None:
        if self._tree.size == self._earlier_size:
            self._result.earlier_root = self._tree.root()

    def _record(self, tile: TileId, index: int, entry: bytes) -> None:
        try:
            leaf = json.loads(entry)
        except (ValueError, RecursionError):
            leaf = None
        if isinstance(leaf, dict):
            self._result.completeness.add(index, leaf)
        else:
            self._find(Question.ENTRIES, "Expected a JSON object as the record.", tile.path, index)

    def _compare_tile(self, expected: TileFile) -> None:
        self._each_file(expected.id, Question.FILES, lambda tile, data: self._compare_hashes(tile, data, expected.data))

    def _each_file(self, wanted: TileId, question: Question, compare: Callable[[TileId, bytes], None]) -> None:
        """Compare the file the checkpoint needs and every other width of it that the listing named."""
        for tile in sorted({wanted, *self._inventory.tiles.get(wanted.full, [])}):
            if tile.end > self._size:
                continue
            try:
                found, data = find_file(self._log_dir, tile)
            except LogUnreadable as error:
                self._find(question, str(error), tile.path, self._first_entry(tile))
                continue
            # a full file that took a partial's place is compared on its own when the listing or the checkpoint has it
            if found == tile:
                compare(tile, data)

    def _compare_hashes(self, tile: TileId, data: bytes, full: bytes) -> None:
        expected = full[: tile.width * HASH_BYTES]
        if data == expected:
            return
        if len(data) != len(expected):
            self._find(
                Question.FILES,
                f"Expected {len(expected)} bytes, found {len(data)}.",
                tile.path,
                self._first_entry(tile),
            )
            return
        position = next(at for at, pair in enumerate(zip(data, expected, strict=True)) if pair[0] != pair[1])
        covered = self._first_entry(tile) + ((position // HASH_BYTES) << (8 * tile.level))
        self._find(Question.FILES, f"Hash {position // HASH_BYTES} is not that of the tree.", tile.path, covered)

    def _compare_bundle(self, tile: TileId, data: bytes, hashes: list[bytes]) -> None:
        base = self._first_entry(tile)
        try:
            entries = decode_bundle(data, tile.width)
        except TileError as error:
            position = first_difference(data, hashes)
            place = error.entry if position is None else position
            self._find(Question.ENTRIES, str(error), tile.path, base + (place or 0))
            return
        for position, entry in enumerate(entries):
            if leaf_hash(entry) != hashes[position]:
                self._find(Question.ENTRIES, "The record is not the one in the tree.", tile.path, base + position)

    def _first_entry(self, tile: TileId) -> int:
        return tile.index * TILE_WIDTH << (8 * max(tile.level, 0))

    def _find(self, question: Question, message: str, file: str, entry: int) -> None:
        self._result.findings.append((question, Finding(message, file, entry)))


def first_difference(data: bytes, hashes: list[bytes]) -> int | None:
    """In a bundle that does not parse: the first entry whose bytes are not those of the tree."""
    at = 0
    for position, expected in enumerate(hashes):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data) or leaf_hash(data[at + 2 : end]) != expected:
            return position
        at = end
    return None
