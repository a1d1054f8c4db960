"""What stands in a log directory, read without checking anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from audit.merkle import Frontier
from audit.reader import LogUnreadable, read_bundle, read_checkpoint, read_hashes
from audit.tiles import TILE_WIDTH, TileId, split_hashes


def widths(log_dir: Path) -> Iterator[tuple[int, int]]:
    """Number and width of the tiles over all records, the last one perhaps partial."""
    _, head = read_checkpoint(log_dir)
    for tile in range(-(-head.size // TILE_WIDTH)):
        yield tile, min(TILE_WIDTH, head.size - tile * TILE_WIDTH)


def published_hashes(log_dir: Path) -> list[bytes]:
    """All leaf hashes, from the level-0 tiles (entries may have been pruned)."""
    return [
        item for tile, width in widths(log_dir) for item in split_hashes(read_hashes(log_dir, TileId(0, tile, width)))
    ]


def published_entries(log_dir: Path) -> dict[int, bytes]:
    """Every entry that was not pruned, by its index."""
    found: dict[int, bytes] = {}
    for tile, width in widths(log_dir):
        try:
            entries = read_bundle(log_dir, tile, width)
        except LogUnreadable:
            continue
        found.update(enumerate(entries, tile * TILE_WIDTH))
    return found


def roots_of(hashes: Sequence[bytes]) -> list[bytes]:
    """The root of the first n records, for each n from 0 on."""
    frontier = Frontier()
    roots = [frontier.root()]
    for hashed in hashes:
        frontier.append(hashed)
        roots.append(frontier.root())
    return roots
