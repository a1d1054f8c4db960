"""Which files stand in a log directory, and which of them a checkpoint covers.

A healthy log of ten million records has 80,000 files, nearly all of them full tiles that the rebuild will miss by
itself when they are not there: of those only the numbers are kept. Partials, and what stands beside the tiles, are
listed by name.
"""

from __future__ import annotations

import os
import re
import time
from array import array
from dataclasses import dataclass, field
from pathlib import Path

from audit.checkpoint import read_unverified
from audit.note import NoteError
from audit.reader import CHECKPOINT
from audit.tiles import TILE_WIDTH, TileId, parse_path

SETTLE_SECONDS = 2.5
"""A file newer than the checkpoint is a fault only when the checkpoint has not moved for this long."""
_POLL_SECONDS = 0.1
_COSIGNED = re.compile(r"cosigned/(0|[1-9][0-9]{0,18})", re.ASCII)
_ANCHOR = re.compile(r"anchors/(0|[1-9][0-9]{0,18})\.(?:note|tsr)", re.ASCII)


@dataclass
class Inventory:
    """One listing. ``cosigned`` and ``anchors``: the sizes named by the files there; ``strange``: no place in a log."""

    full: dict[int, array[int]] = field(default_factory=dict)
    partials: dict[TileId, list[TileId]] = field(default_factory=dict)
    cosigned: set[int] = field(default_factory=set)
    anchors: set[int] = field(default_factory=set)
    strange: list[str] = field(default_factory=list)

    def add(self, path: str) -> None:
        """Take a regular file, named by its path below the log directory."""
        tile = parse_path(path)
        if tile is not None:
            if tile.width == TILE_WIDTH:
                self.full.setdefault(tile.level, array("Q")).append(tile.index)
            else:
                self.partials.setdefault(tile.full, []).append(tile)
        elif match := _COSIGNED.fullmatch(path):
            self.cosigned.add(int(match[1]))
        elif match := _ANCHOR.fullmatch(path):
            self.anchors.add(int(match[1]))
        elif path != CHECKPOINT:
            self.strange.append(path)

    @property
    def end(self) -> int:
        """The smallest checkpoint size that covers every tile and every cosigned or stamped checkpoint listed."""
        tiles = [TileId(level, max(indexes)).end for level, indexes in self.full.items()]
        tiles += [tile.end for group in self.partials.values() for tile in group]
        return max([*tiles, *self.cosigned, *self.anchors], default=0)

    def not_covered(self, size: int) -> list[TileId]:
        """Tiles that no checkpoint up to ``size`` needs."""
        found = [tile for group in self.partials.values() for tile in group if tile.end > size]
        for level, indexes in self.full.items():
            found += [TileId(level, index) for index in indexes if TileId(level, index).end > size]
        return sorted(found)

    def widths(self, wanted: TileId, size: int) -> list[TileId]:
        """``wanted`` and every partial of the same tile listed that a checkpoint of ``size`` covers, ascending."""
        listed = self.partials.get(wanted.full, ())
        return sorted({wanted, *(tile for tile in listed if tile.end <= size)})


def take_inventory(log_dir: Path) -> Inventory:
    """List every file; raise OSError when the directory cannot be read."""
    found = Inventory()
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(Path(log_dir) / folder))
        except FileNotFoundError:
            # a folder of partials disappears when the full file takes its place
            if not folder.endswith(".p"):
                raise
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif entry.is_file(follow_symlinks=False):
                found.add(path)
            else:
                found.strange.append(path)
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
