"""Writing the public files of the log: bundles and tiles first, the checkpoint last.

Full files are written once and never changed. A partial exists for every published checkpoint until the full file is
there. Files appear by rename, so a reader never meets half of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from audit.durable import fsync_directory, make_directories, write_file, write_once
from audit.reader import CHECKPOINT
from audit.tiles import ENTRIES, TILE_WIDTH, TileFile, TileId, TileTree, encode_bundle

FILE_MODE = 0o644
DIRECTORY_MODE = 0o755


class Publisher:
    """Publishes successive checkpoints. ``tree`` and ``tail`` (entries of the unfinished bundle): where it stands."""

    def __init__(self, log_dir: Path, staging: Path, tree: TileTree, tail: Sequence[bytes]) -> None:
        self._log_dir = log_dir
        self._staging = staging
        self._tree = tree
        self._tail = list(tail)

    @property
    def size(self) -> int:
        """Number of entries published."""
        return self._tree.size

    def publish(self, entries: Sequence[bytes], hashes: Sequence[bytes], checkpoint: bytes) -> None:
        """Publish ``entries`` (with their leaf hashes) and the signed checkpoint that covers exactly them."""
        full: list[TileFile] = []
        for entry, hashed in zip(entries, hashes, strict=True):
            full += self._add(entry, hashed)
        touched = {self._write(item) for item in (*full, *self._partials())}
        for directory in touched:
            fsync_directory(directory)
        write_file(self._log_dir / CHECKPOINT, checkpoint, mode=FILE_MODE, staging=self._staging)
        fsync_directory(self._log_dir)
        for item in full:
            remove_partials(self._log_dir, item.id)

    def _add(self, entry: bytes, hashed: bytes) -> list[TileFile]:
        index = self._tree.size // TILE_WIDTH
        finished = self._tree.append(hashed)
        self._tail.append(entry)
        if len(self._tail) < TILE_WIDTH:
            return finished
        bundle = TileFile(TileId(ENTRIES, index), encode_bundle(self._tail))
        self._tail = []
        return [bundle, *finished]

    def _partials(self) -> list[TileFile]:
        partials = self._tree.partials()
        if self._tail:
            bundle = TileId(ENTRIES, self._tree.size // TILE_WIDTH, len(self._tail))
            partials.append(TileFile(bundle, encode_bundle(self._tail)))
        return partials

    def _write(self, item: TileFile) -> Path:
        path = self._log_dir / item.id.path
        make_directories(path.parent, DIRECTORY_MODE)
        write_once(path, item.data, mode=FILE_MODE, staging=self._staging)
        return path.parent


def remove_partials(log_dir: Path, full: TileId) -> None:
    """Delete the partial files of a tile whose full file exists."""
    path = log_dir / full.path
    directory = path.with_name(path.name + ".p")
    if directory.is_dir():
        for partial in directory.iterdir():
            partial.unlink()
        directory.rmdir()


def sweep(log_dir: Path) -> None:
    """After a crash: delete temporary files, and partials left beside their full file."""
    for path in list(log_dir.rglob(".*.tmp")):
        path.unlink()
    for directory in list(log_dir.rglob("*.p")):
        if directory.with_suffix("").is_file():
            for partial in directory.iterdir():
                partial.unlink()
            directory.rmdir()
