"""Which files stand in a log directory, and which of them a checkpoint covers."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from audit.checkpoint import read_unverified
from audit.note import NoteError
from audit.reader import CHECKPOINT
from audit.tiles import TileId, parse_path

SETTLE_SECONDS = 2.5
"""A file newer than the checkpoint is a fault only when the checkpoint has not moved for this long."""
_POLL_SECONDS = 0.1


@dataclass
class Inventory:
    """One listing: tiles grouped by their full tile, and everything that has no place in a log."""

    tiles: dict[TileId, list[TileId]] = field(default_factory=dict)
    strange: list[str] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The smallest checkpoint size that covers every tile listed."""
        return max((tile.end for group in self.tiles.values() for tile in group), default=0)

    def not_covered(self, size: int) -> list[TileId]:
        """Tiles that no checkpoint up to ``size`` needs."""
        return sorted(tile for group in self.tiles.values() for tile in group if tile.end > size)


def take_inventory(log_dir: Path) -> Inventory:
    """List every file; raise OSError when the directory cannot be read."""
    found = Inventory()
    for folder, folders, names in os.walk(log_dir, onerror=_raise_unless_gone):
        for name in names + [entry for entry in folders if (Path(folder) / entry).is_symlink()]:
            path = Path(folder) / name
            relative = path.relative_to(log_dir).as_posix()
            tile = parse_path(relative)
            if path.is_symlink() or (not path.is_file() and path.exists()):
                found.strange.append(relative)
            elif tile is not None:
                found.tiles.setdefault(tile.full, []).append(tile)
            elif relative != CHECKPOINT:
                found.strange.append(relative)
    found.strange.sort()
    return found


def settle(log_dir: Path, inventory: Inventory) -> bytes:
    """Read the checkpoint; if files run ahead of it, wait while it still moves. Raise OSError when it is not there."""
    path = log_dir / CHECKPOINT
    raw = path.read_bytes()
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline and not _covers(raw, inventory):
        time.sleep(_POLL_SECONDS)
        later = path.read_bytes()
        if later != raw:
            raw, deadline = later, time.monotonic() + SETTLE_SECONDS
        for relative in [name for name in inventory.strange if not os.path.lexists(log_dir / name)]:
            # a writer's temporary file that has become a real one meanwhile
            inventory.strange.remove(relative)
    return raw


def _covers(raw: bytes, inventory: Inventory) -> bool:
    if inventory.strange:
        return False
    try:
        return read_unverified(raw).size >= inventory.end
    except NoteError:
        return True


def _raise_unless_gone(error: OSError) -> None:
    """A folder of partials may disappear between its parent's listing and its own: the full file took its place."""
    if not (isinstance(error, FileNotFoundError) and str(error.filename).endswith(".p")):
        raise error
