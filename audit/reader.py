"""Reading a published log from its files. Nothing here checks signatures or hashes: that is ``audit.verify``.

A log may grow while it is read: a partial tile can disappear because the full one took its place, so every read of a
partial falls back to the full file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from audit.checkpoint import Checkpoint, read_unverified
from audit.merkle import HASH_BYTES, leaf_hash, tree_hash
from audit.note import NoteError
from audit.tiles import ENTRIES, TILE_HEIGHT, TILE_WIDTH, TileError, TileId, TileTree, decode_bundle, split_hashes

CHECKPOINT = "checkpoint"


class LogUnreadable(RuntimeError):
    """A file that the checkpoint promises is missing or malformed; the sentence names it."""


@dataclass(frozen=True)
class LogEntry:
    """A published record; ``leaf_hash`` in hex."""

    index: int
    leaf: dict[str, Any]
    leaf_hash: str


def read_checkpoint(log_dir: Path) -> tuple[bytes, Checkpoint]:
    """The checkpoint file's bytes and content, signature unchecked; raise :class:`LogUnreadable`."""
    try:
        raw = (Path(log_dir) / CHECKPOINT).read_bytes()
    except OSError as error:
        raise LogUnreadable(f"The log has no readable checkpoint file ({error.strerror}).") from error
    try:
        return raw, read_unverified(raw)
    except NoteError as error:
        raise LogUnreadable(f"The checkpoint file is malformed: {error}") from error


def find_file(log_dir: Path, wanted: TileId) -> tuple[TileId, bytes]:
    """The bytes of a tile, or of the full tile that replaced it, with the id found; raise :class:`LogUnreadable`."""
    for candidate in (wanted, wanted.full, wanted):
        try:
            return candidate, (Path(log_dir) / candidate.path).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise LogUnreadable(f"{candidate.path} cannot be read ({error.strerror}).") from error
    raise LogUnreadable(f"{wanted.path} is missing, nor is there a full one in its place.")


def read_hashes(log_dir: Path, wanted: TileId) -> bytes:
    """The first ``wanted.width`` hashes of a tile."""
    found, data = find_file(log_dir, wanted)
    if len(data) != found.width * HASH_BYTES:
        raise LogUnreadable(f"{found.path} should hold {found.width * HASH_BYTES} bytes, found {len(data)}.")
    return data[: wanted.width * HASH_BYTES]


def read_bundle(log_dir: Path, index: int, width: int) -> list[bytes]:
    """The first ``width`` entries of a bundle."""
    found, data = find_file(log_dir, TileId(ENTRIES, index, width))
    try:
        return decode_bundle(data, found.width)[:width]
    except TileError as error:
        raise LogUnreadable(f"{found.path}: {error}") from error


def read_raw_entries(log_dir: Path, start: int, end: int) -> Iterator[bytes]:
    """The bytes of the entries ``[start, end)``."""
    for bundle in range(start // TILE_WIDTH, -(-end // TILE_WIDTH)):
        base = bundle * TILE_WIDTH
        if base >= end:
            return
        entries = read_bundle(log_dir, bundle, min(TILE_WIDTH, end - base))
        yield from entries[max(0, start - base) :]


def read_entries(log_dir: Path, start: int = 0) -> Iterator[LogEntry]:
    """Published records from index ``start`` on, oldest first; raise :class:`LogUnreadable`."""
    _, checkpoint = read_checkpoint(log_dir)
    for index, entry in enumerate(read_raw_entries(log_dir, start, checkpoint.size), start):
        try:
            leaf = json.loads(entry)
        except ValueError as error:
            raise LogUnreadable(f"Entry {index} is not a JSON record; run 'enclave-audit verify'.") from error
        yield LogEntry(index, leaf, leaf_hash(entry).hex())


def read_entry(log_dir: Path, index: int) -> bytes:
    """One entry's bytes; raise :class:`LogUnreadable` when it is not published."""
    _, checkpoint = read_checkpoint(log_dir)
    if not 0 <= index < checkpoint.size:
        raise LogUnreadable(f"Expected an index below the published size {checkpoint.size}, found {index}.")
    bundle, place = divmod(index, TILE_WIDTH)
    return read_bundle(log_dir, bundle, min(TILE_WIDTH, checkpoint.size - bundle * TILE_WIDTH))[place]


def load_tree(log_dir: Path, size: int) -> TileTree:
    """The tree of the first ``size`` entries, from the tile files alone."""
    rows: list[bytes] = []
    count = size
    while count:
        index, width = divmod(count, TILE_WIDTH)
        rows.append(read_hashes(log_dir, TileId(len(rows), index, width)) if width else b"")
        count = index
    return TileTree(rows, size)


class TileNodes:
    """A :data:`audit.merkle.NodeReader` over the tile files of a log of ``size`` entries."""

    def __init__(self, log_dir: Path, size: int) -> None:
        self._log_dir = log_dir
        self._size = size
        self._tile = lru_cache(maxsize=64)(self._read)

    def __call__(self, level: int, index: int) -> bytes:
        tile_level, within = divmod(level, TILE_HEIGHT)
        first = index << within
        tile, place = divmod(first, TILE_WIDTH)
        hashes = self._tile(tile_level, tile)[place : place + (1 << within)]
        if len(hashes) != 1 << within:
            raise LogUnreadable(f"The subtree {index} of level {level} lies beyond the published tree.")
        return tree_hash(hashes)

    def _read(self, level: int, tile: int) -> list[bytes]:
        width = min(TILE_WIDTH, (self._size >> (TILE_HEIGHT * level)) - tile * TILE_WIDTH)
        if width < 1:
            raise LogUnreadable(f"Tile {tile} of level {level} lies beyond the published tree.")
        return split_hashes(read_hashes(self._log_dir, TileId(level, tile, width)))
