"""What is in an image, file by file, so that two builds can be compared by anybody.

Covered: every path, its kind, its permission bits, its bytes or the target of its link. Not covered, and said so where
a comparison is printed: owners and times (a build sets all times to one date), and the record ``enclave-image.json``
itself, which holds the hash over the rest and is compared field by field.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RECORD = "enclave-image.json"


class UnreadableImageError(Exception):
    """Something in the folder is neither file, folder nor link; says which."""


@dataclass(frozen=True, order=True)
class Entry:
    """One path of an image. ``sha256`` is of the bytes, or of a link's target; empty for a folder."""

    path: str
    kind: str
    mode: int
    sha256: str

    def line(self) -> bytes:
        """The entry in the form that is hashed; a NUL ends the path, so no name can pretend to be two entries."""
        return os.fsencode(self.path) + f"\0{self.kind} {self.mode:o} {self.sha256}\n".encode()


def read_entries(root: Path) -> list[Entry]:
    """All paths below ``root`` but the record, sorted. Raises UnreadableImageError, OSError."""
    return sorted(_walk(root, root))


def _walk(root: Path, folder: Path) -> Iterator[Entry]:
    with os.scandir(folder) as found:
        for item in found:
            path = Path(item.path)
            name = str(path.relative_to(root))
            status = item.stat(follow_symlinks=False)
            mode = stat.S_IMODE(status.st_mode)
            if item.is_symlink():
                yield Entry(name, "link", 0, hashlib.sha256(os.fsencode(path.readlink())).hexdigest())
            elif item.is_dir():
                yield Entry(name, "folder", mode, "")
                yield from _walk(root, path)
            elif not item.is_file():
                raise UnreadableImageError(f"Expected files, folders and links in an image, found another at {name}.")
            elif name != RECORD:
                with path.open("rb") as file:
                    yield Entry(name, "file", mode, hashlib.file_digest(file, "sha256").hexdigest())


def content_sha256(entries: list[Entry]) -> str:
    """One hash over all entries."""
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(entry.line())
    return digest.hexdigest()


@dataclass(frozen=True, order=True)
class Difference:
    """One path that is not the same in both images."""

    path: str
    what: str


def find_differences(first: list[Entry], second: list[Entry]) -> list[Difference]:
    """Everything in which they differ, by path."""
    ours, theirs = ({entry.path: entry for entry in entries} for entries in (first, second))
    found = [Difference(path, "only in the first") for path in ours.keys() - theirs.keys()]
    found += [Difference(path, "only in the second") for path in theirs.keys() - ours.keys()]
    for path in ours.keys() & theirs.keys():
        words = [
            name
            for name, before, after in (
                ("kind", ours[path].kind, theirs[path].kind),
                ("permissions", ours[path].mode, theirs[path].mode),
                ("content", ours[path].sha256, theirs[path].sha256),
            )
            if before != after
        ]
        if words:
            found.append(Difference(path, "other " + " and ".join(words)))
    return sorted(found)


def set_times(root: Path, epoch: int) -> None:
    """Give every path below ``root``, and ``root``, the same time, so that archives of two builds are the same."""
    for folder, names, files in os.walk(root, topdown=False):
        for name in (*names, *files):
            os.utime(Path(folder) / name, (epoch, epoch), follow_symlinks=False)
    os.utime(root, (epoch, epoch))
