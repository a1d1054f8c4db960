"""Writing the public files of the log: bundles and tiles first, the checkpoint last.

Full files are written once and never changed. A partial exists for every published checkpoint until the full file is
there. Files appear by rename, so a reader never meets half of one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from audit.durable import fsync_directory, make_directories, write_file, write_once
from audit.reader import CHECKPOINT
from audit.tiles import ENTRIES, TILE_WIDTH, TileFile, TileId, TileTree, encode_bundle

FILE_MODE = 0o644
DIRECTORY_MODE = 0o755


class Publisher:
    """Publishes successive checkpoints. ``tree`` and ``tail`` (entries of the unfinished bundle): where it stands.

    ``minimum``: entries below it were pruned; their bundles are not written again.
    """

    def __init__(self, log_dir: Path, staging: Path, tree: TileTree, tail: Sequence[bytes], minimum: int = 0) -> None:
        self._log_dir = log_dir
        self._staging = staging
        self._tree = tree
        self._tail = list(tail)
        self._minimum = minimum
        self._waiting: list[TileFile] = []
        self._checkpoint = b""

    @property
    def size(self) -> int:
        """Number of entries handed over."""
        return self._tree.size

    def publish(self, entries: Sequence[bytes], hashes: Sequence[bytes], checkpoint: bytes) -> None:
        """Publish ``entries`` (with their leaf hashes) and the signed checkpoint that covers exactly them.

        On OSError nothing of it is visible, and ``retry`` does the same again.
        """
        for entry, hashed in zip(entries, hashes, strict=True):
            self._waiting += self._add(entry, hashed)
        self._checkpoint = checkpoint
        self.retry()

    def retry(self) -> None:
        """Write what was handed over last and could not be written."""
        written: list[Path] = []
        try:
            for item in (*self._waiting, *self._partials()):
                self._write(item, written)
            for directory in {path.parent for path in written}:
                fsync_directory(directory)
            write_file(self._log_dir / CHECKPOINT, self._checkpoint, mode=FILE_MODE, staging=self._staging)
        except OSError:
            # files ahead of the checkpoint would look like tampering for as long as the disk stays full
            for path in written:
                with contextlib.suppress(OSError):
                    path.unlink()
            raise
        fsync_directory(self._log_dir)
        full, self._waiting = self._waiting, []
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
        return finished if bundle.id.end <= self._minimum else [bundle, *finished]

    def _partials(self) -> list[TileFile]:
        partials = self._tree.partials()
        if self._tail:
            bundle = TileId(ENTRIES, self._tree.size // TILE_WIDTH, len(self._tail))
            partials.append(TileFile(bundle, encode_bundle(self._tail)))
        return partials

    def _write(self, item: TileFile, written: list[Path]) -> None:
        path = self._log_dir / item.id.path
        make_directories(path.parent, DIRECTORY_MODE)
        if write_once(path, item.data, mode=FILE_MODE, staging=self._staging):
            written.append(path)


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
