"""One stretch of the log, up to 256 bundles: every entry hashed again, every file of it compared byte for byte.

A stretch is checked without knowing the others, so stretches can be checked by several processes at once. Leaf hashes
come from the entries (:attr:`Source.ENTRIES`, the rule) or, to find out who is wrong when those miss the signed root,
from the level-0 tiles.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from audit.merkle import HASH_BYTES, leaf_hash
from audit.reader import LogUnreadable, find_file
from audit.report import MAX_FINDINGS, Finding, Question
from audit.scan import RecordScan, Summary, find_numbers
from audit.tiles import ENTRIES, TILE_WIDTH, TileError, TileId, decode_bundle, split_hashes

STRETCH = TILE_WIDTH
"""Bundles in a stretch: those under one full tile of level 1, so that no level-1 tile is shared between stretches."""
_UNKNOWN = bytes(HASH_BYTES)


class Source(StrEnum):
    """Where leaf hashes are taken from."""

    ENTRIES = "entries"
    TILES = "tiles"


@dataclass(frozen=True)
class Job:
    """Bundles ``first`` to ``end`` (exclusive) of a log of ``size`` records.

    ``listed``: partial files of these bundles and level-0 tiles that the listing named. ``sizes``: tree sizes whose
    root is wanted; ``leaves``: indexes whose leaf hash is wanted; both only those that fall into this stretch.
    """

    log_dir: str
    source: Source
    size: int
    first: int
    end: int
    listed: Mapping[TileId, Sequence[TileId]]
    sizes: tuple[int, ...] = ()
    leaves: tuple[int, ...] = ()


@dataclass
class Stretch:
    """What was found. ``bundles``: hash over each full bundle; ``tail``: leaf hashes of the unfinished one.

    ``prefixes``: for each wanted size, the complete subtrees ``(height, hash)`` that its last bundle contributes.
    ``missing``: bundles without a file, which pruning may explain. ``dropped``: findings beyond the most kept.
    """

    first: int
    bundles: list[bytes] = field(default_factory=list)
    tail: list[bytes] = field(default_factory=list)
    prefixes: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)
    leaves: dict[int, bytes] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)
    findings: list[tuple[Question, Finding]] = field(default_factory=list)
    dropped: dict[Question, int] = field(default_factory=dict)
    summary: Summary = field(default_factory=Summary)


def check_stretch(job: Job) -> Stretch:
    """Check one stretch; files that cannot be read or are wrong become findings, nothing is raised."""
    was_enabled = gc.isenabled()
    # a record makes no cycles, and looking for them among ten million takes a tenth of the time
    gc.disable()
    try:
        return _Check(job).run()
    finally:
        if was_enabled:
            gc.enable()


class _Check:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._log_dir = Path(job.log_dir)
        self._found = Stretch(job.first)
        self._scan = RecordScan()

    def run(self) -> Stretch:
        job = self._job
        for bundle in range(job.first, job.end):
            width = min(TILE_WIDTH, job.size - bundle * TILE_WIDTH)
            hashes = self._bundle(bundle, width)
            self._note_wanted(bundle, hashes)
            if width == TILE_WIDTH:
                self._found.bundles.append(subtree_hash(hashes))
            else:
                self._found.tail = hashes
        self._found.summary = self._scan.summary()
        return self._found

    def _note_wanted(self, bundle: int, hashes: list[bytes]) -> None:
        for size in self._job.sizes:
            if size // TILE_WIDTH == bundle:
                self._found.prefixes[size] = prefix_nodes(hashes[: size % TILE_WIDTH])
        for index in self._job.leaves:
            if index // TILE_WIDTH == bundle:
                self._found.leaves[index] = hashes[index % TILE_WIDTH]

    def _bundle(self, bundle: int, width: int) -> list[bytes]:
        """Check bundle and level-0 tile; return the leaf hashes."""
        wanted, tile = TileId(ENTRIES, bundle, width), TileId(0, bundle, width)
        entries, own_file = self._entries(wanted)
        own = [sha256(b"\x00" + entry).digest() for entry in entries]
        data = read_exact(self._job.log_dir, tile)
        hashes = own if own and self._job.source is Source.ENTRIES else self._tile_hashes(tile, data) or own
        if not hashes:
            hashes = [_UNKNOWN] * width
        agrees = own_file and own == hashes
        if not agrees or wanted.full in self._job.listed:
            self._each_file(wanted, Question.ENTRIES, lambda file, raw: self._compare_bundle(file, raw, hashes))
        if data != b"".join(hashes) or tile.full in self._job.listed:
            expected = b"".join(hashes)
            self._each_file(tile, Question.FILES, lambda file, raw: self._compare_hashes(file, raw, expected))
        if agrees or own == hashes:
            self._records(wanted, bundle * TILE_WIDTH, entries)
        else:
            for position, entry in enumerate(entries):
                if own[position] == hashes[position]:
                    self._records(wanted, bundle * TILE_WIDTH + position, [entry])
        return hashes

    def _entries(self, wanted: TileId) -> tuple[list[bytes], bool]:
        """The bundle's entries (none when it cannot be read), and whether the very file wanted holds exactly them."""
        data = read_exact(self._job.log_dir, wanted)
        try:
            if data is not None:
                return split_bundle(data, wanted.width), True
            found, data = find_file(self._log_dir, wanted)
            return decode_bundle(data, found.width)[: wanted.width], False
        except (LogUnreadable, TileError):
            return [], False

    def _tile_hashes(self, wanted: TileId, data: bytes | None) -> list[bytes]:
        """The leaf hashes as the level-0 tile gives them; none when it does not."""
        if data is None:
            try:
                data = find_file(self._log_dir, wanted)[1]
            except LogUnreadable:
                return []
        hashes = split_hashes(data[: wanted.width * HASH_BYTES])
        return hashes if len(hashes) == wanted.width and len(hashes[-1]) == HASH_BYTES else []

    def _records(self, wanted: TileId, base: int, entries: list[bytes]) -> None:
        for index in self._scan.take(entries, base):
            self._find(Question.ENTRIES, "Expected a JSON object as the record.", wanted.path, index)

    def _each_file(self, wanted: TileId, question: Question, compare: Callable[[TileId, bytes], None]) -> None:
        """Compare the file the checkpoint needs and every other width of it that the listing named."""
        for tile in sorted({wanted, *self._job.listed.get(wanted.full, ())}):
            try:
                found, data = find_file(self._log_dir, tile)
            except LogUnreadable as error:
                if tile == wanted and tile.level == ENTRIES and is_missing(self._log_dir, tile):
                    self._found.missing.append(tile.index)
                else:
                    self._find(question, str(error), tile.path, tile.index * TILE_WIDTH)
                continue
            # a full file that took a partial's place is compared on its own when the listing or the checkpoint has it
            if found == tile:
                compare(tile, data)

    def _compare_hashes(self, tile: TileId, data: bytes, full: bytes) -> None:
        difference = compare_tile(tile, data, full)
        if difference is not None:
            self._add(Question.FILES, difference)

    def _compare_bundle(self, tile: TileId, data: bytes, hashes: list[bytes]) -> None:
        base = tile.index * TILE_WIDTH
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

    def _find(self, question: Question, message: str, file: str, entry: int) -> None:
        self._add(question, Finding(message, file, entry))

    def _add(self, question: Question, finding: Finding) -> None:
        if len(self._found.findings) < MAX_FINDINGS:
            self._found.findings.append((question, finding))
        else:
            self._found.dropped[question] = self._found.dropped.get(question, 0) + 1


def look_again(job: Job, wanted: Mapping[tuple[str, str], Sequence[tuple[int, int]]]) -> list[int]:
    """Indexes in the stretch of the records that carry a wanted number of a writer and start."""
    found: list[int] = []
    for bundle in range(job.first, job.end):
        tile = TileId(ENTRIES, bundle, min(TILE_WIDTH, job.size - bundle * TILE_WIDTH))
        try:
            held, data = find_file(Path(job.log_dir), tile)
            entries = decode_bundle(data, held.width)[: tile.width]
        except (LogUnreadable, TileError):
            continue
        found += find_numbers(entries, bundle * TILE_WIDTH, wanted)
    return found


def split_bundle(data: bytes, width: int) -> list[bytes]:
    """As decode_bundle, in a third less time for a bundle that is in order."""
    entries = []
    at = 0
    try:
        for _ in range(width):
            start = at + 2
            at = start + (data[at] << 8 | data[at + 1])
            entries.append(data[start:at])
    except IndexError:
        at = -1
    return entries if at == len(data) else decode_bundle(data, width)


def read_exact(log_dir: str, tile: TileId) -> bytes | None:
    """The bytes of exactly this file, None when they cannot be read (the slow path then says why)."""
    try:
        with open(os.path.join(log_dir, tile.path), "rb", buffering=0) as file:  # noqa: PTH118, PTH123 - 80,000 files
            return file.readall()
    except OSError:
        return None


def is_missing(log_dir: Path, tile: TileId) -> bool:
    """True when neither this file nor the full one stands there."""
    return not any(os.path.lexists(log_dir / item.path) for item in (tile, tile.full))


def compare_tile(tile: TileId, data: bytes, full: bytes) -> Finding | None:
    """What is wrong with a hash tile that should hold the first hashes of ``full``; None when nothing is."""
    expected = full[: tile.width * HASH_BYTES]
    if data == expected:
        return None
    first = tile.index * TILE_WIDTH << (8 * tile.level)
    if len(data) != len(expected):
        return Finding(f"Expected {len(expected)} bytes, found {len(data)}.", tile.path, first)
    position = next(at for at, pair in enumerate(zip(data, expected, strict=True)) if pair[0] != pair[1])
    covered = first + ((position // HASH_BYTES) << (8 * tile.level))
    return Finding(f"Hash {position // HASH_BYTES} is not that of the tree.", tile.path, covered)


def subtree_hash(hashes: Sequence[bytes]) -> bytes:
    """Hash over a complete subtree; the number of ``hashes`` is a power of two. Level by level, which is fast."""
    row = b"".join(hashes)
    while len(row) > HASH_BYTES:
        row = b"".join([sha256(b"\x01" + row[at : at + 64]).digest() for at in range(0, len(row), 64)])
    return row


def prefix_nodes(hashes: Sequence[bytes]) -> list[tuple[int, bytes]]:
    """The complete subtrees, highest first, that make up fewer than 256 leaves."""
    nodes, at = [], 0
    for height in reversed(range(8)):
        if len(hashes) >> height & 1:
            nodes.append((height, subtree_hash(hashes[at : at + (1 << height)])))
            at += 1 << height
    return nodes


def first_difference(data: bytes, hashes: Sequence[bytes]) -> int | None:
    """In a bundle that does not parse: the first entry whose bytes are not those of the tree."""
    at = 0
    for position, expected in enumerate(hashes):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data) or leaf_hash(data[at + 2 : end]) != expected:
            return position
        at = end
    return None
