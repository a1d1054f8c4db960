"""Where a log's entry bundles begin: pruning (tlog-tiles, Pruning) takes them away from the beginning on."""

from __future__ import annotations

from pathlib import Path

from audit.reader import CHECKPOINT
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
