"""Tiles and entry bundles (c2sp.org/tlog-tiles): their paths, their bytes, and the tree cut into tiles. Pure.

A tile holds up to 256 hashes; an entry bundle up to 256 entries, each with a uint16 big-endian length before it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from audit.merkle import HASH_BYTES, Frontier, tree_hash

TILE_WIDTH = 256
TILE_BYTES = TILE_WIDTH * HASH_BYTES
TILE_HEIGHT = 8
ENTRIES = -1
"""The "level" under which bundles are filed: ``tile/entries/<N>``."""

_LENGTH = struct.Struct(">H")
_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)


class TileError(ValueError):
    """The bytes or the path are not those of a tile or an entry bundle. ``entry`` counts within the bundle."""

    def __init__(self, sentence: str, entry: int | None = None) -> None:
        super().__init__(sentence)
        self.entry = entry


@dataclass(frozen=True, order=True)
class TileId:
    """``level`` (or :data:`ENTRIES`), ``index`` within the level, ``width`` 1 to 256 (256 = full)."""

    level: int
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Path below the log directory."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        suffix = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{level}/{index_path(self.index)}{suffix}"

    @property
    def full(self) -> TileId:
        """The same tile once it is full."""
        return TileId(self.level, self.index)

    @property
    def end(self) -> int:
        """The smallest tree size that needs this tile (tlog-tiles, Merkle Tree)."""
        height = 0 if self.level == ENTRIES else self.level * TILE_HEIGHT
        return (self.index * TILE_WIDTH + self.width) << height


@dataclass(frozen=True)
class TileFile:
    """A tile with its bytes."""

    id: TileId
    data: bytes


def index_path(index: int) -> str:
    """1234067 → ``x001/x234/067``."""
    digits = f"{index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])


def parse_path(path: str) -> TileId | None:
    """Read a path below the log directory; None unless it is spelt exactly as the specification spells it."""
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    level = ENTRIES if match["level"] == "entries" else int(match["level"])
    index = int(match["index"].replace("x", "").replace("/", ""))
    width = int(match["width"]) if match["width"] else TILE_WIDTH
    found = TileId(level, index, width)
    return found if found.path == path and level < 64 else None


def tiles_for(size: int) -> list[TileId]:
    """The rightmost tiles and bundle (partial ones only) that a checkpoint of ``size`` needs."""
    found = []
    if size % TILE_WIDTH:
        found.append(TileId(ENTRIES, size // TILE_WIDTH, size % TILE_WIDTH))
    level, count = 0, size
    while count:
        if count % TILE_WIDTH:
            found.append(TileId(level, count // TILE_WIDTH, count % TILE_WIDTH))
        level, count = level + 1, count // TILE_WIDTH
    return found


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Length-prefixed entries, one after the other."""
    return b"".join(_LENGTH.pack(len(entry)) + entry for entry in entries)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """Return exactly ``width`` entries; raise :class:`TileError` on missing or stray bytes."""
    entries: list[bytes] = []
    at = 0
    for position in range(width):
        if at + 2 > len(data):
            raise TileError(f"Expected {width} entries, the bundle ends after {position}.", position)
        (length,) = _LENGTH.unpack_from(data, at)
        at += 2
        if at + length > len(data):
            raise TileError(f"The bundle ends inside entry {position} of {width}.", position)
        entries.append(data[at : at + length])
        at += length
    if at != len(data):
        raise TileError(f"{len(data) - at} stray bytes follow the last entry of the bundle.", width - 1)
    return entries


def split_hashes(data: bytes) -> list[bytes]:
    """Cut a tile into its hashes."""
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


class TileTree:
    """A growing tree kept as the unfinished tile of each level; finished tiles are handed out once."""

    def __init__(self, rows: Sequence[bytes] = (), size: int = 0) -> None:
        self._rows = [bytearray(row) for row in rows]
        self.size = size

    def append(self, leaf: bytes) -> list[TileFile]:
        """Add a leaf hash; return the tiles it completes, lowest level first."""
        self.size += 1
        finished: list[TileFile] = []
        level, item = 0, leaf
        while True:
            if level == len(self._rows):
                self._rows.append(bytearray())
            row = self._rows[level]
            row += item
            if len(row) < TILE_BYTES:
                return finished
            data = bytes(row)
            row.clear()
            index = (self.size >> (TILE_HEIGHT * (level + 1))) - 1
            finished.append(TileFile(TileId(level, index), data))
            level, item = level + 1, tree_hash(split_hashes(data))

    def partials(self) -> list[TileFile]:
        """The unfinished tile of each level, as it stands."""
        return [
            TileFile(TileId(level, self.size >> (TILE_HEIGHT * (level + 1)), len(row) // HASH_BYTES), bytes(row))
            for level, row in enumerate(self._rows)
            if row
        ]

    def root(self) -> bytes:
        """Merkle tree hash of all leaves."""
        return self.frontier().root()

    def frontier(self) -> Frontier:
        """The same tree as a compact range."""
        frontier = Frontier()
        for level in reversed(range(len(self._rows))):
            for item in split_hashes(bytes(self._rows[level])):
                frontier.append_subtree(level * TILE_HEIGHT, item)
        return frontier
