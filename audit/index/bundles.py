"""Where a log's entry bundles begin: pruning (tlog-tiles, Pruning) takes them away from the beginning on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from audit.reader import CHECKPOINT, read_bundle
from audit.tiles import ENTRIES, TILE_WIDTH, TileId


def checkpoint_exists(log_dir: Path) -> bool:
    """Has the log published anything yet?"""
    return (log_dir / CHECKPOINT).exists()


def first_available(log_dir: Path, size: int) -> int:
    """The first index whose bundle is there: pruning takes bundles from the beginning only."""
    if size == 0 or has_bundle(log_dir, 0, size):
        return 0
    low, high = 1, -(-size // TILE_WIDTH)
    while low < high:
        middle = (low + high) // 2
        if has_bundle(log_dir, middle, size):
            high = middle
        else:
            low = middle + 1
    return min(low * TILE_WIDTH, size)


def has_bundle(log_dir: Path, bundle: int, size: int) -> bool:
    """Is the bundle there, in the width that a log of ``size`` has or already full?"""
    width = min(TILE_WIDTH, size - bundle * TILE_WIDTH)
    return any((log_dir / TileId(ENTRIES, bundle, wide).path).is_file() for wide in {width, TILE_WIDTH})


def read_scattered(log_dir: Path, indexes: Iterable[int], size: int) -> Iterator[tuple[int, bytes]]:
    """The entries with these indexes (each below ``size``), in order; each bundle is read once."""
    for bundle, wanted in groupby(sorted(indexes), lambda index: index // TILE_WIDTH):
        entries = read_bundle(log_dir, bundle, min(TILE_WIDTH, size - bundle * TILE_WIDTH))
        yield from ((index, entries[index % TILE_WIDTH]) for index in wanted)
