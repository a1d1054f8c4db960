"""A model of a POSIX file system that loses power: what may be on the disk after any prefix of the operations done.

The promises it keeps are only those of fsync(2), fdatasync(2) and rename(2); everything else may be lost or half-kept:

* a file's bytes and size are safe once that file was synced; before, any sector of any pending write may be missing;
* a name (created, moved, removed) is safe once the directory it stands in was synced; before, each may be kept or lost
  on its own, whatever the order; a rename moves the name wholly or not at all;
* what a synced file holds is of no use while its name, or a directory above it, is not safe.

A journalling file system such as ext4 keeps more order than this; a log that survives here survives there.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
ROOT = 0

Tree = dict[str, bytes | None]
"""Path below the root → a file's bytes, or None for a directory."""


@dataclass(frozen=True)
class NewFile:
    """open(2) created a file."""

    node: int
    directory: int
    name: str


@dataclass(frozen=True)
class NewDirectory:
    """mkdir(2)."""

    node: int
    directory: int
    name: str


@dataclass(frozen=True)
class Removed:
    """unlink(2) or rmdir(2)."""

    directory: int
    name: str


@dataclass(frozen=True)
class Moved:
    """rename(2), which replaces what stood at the target."""

    source: int
    source_name: str
    directory: int
    name: str


@dataclass(frozen=True)
class Wrote:
    """write(2) at an offset."""

    node: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Resized:
    """ftruncate(2), O_TRUNC or posix_fallocate(3)."""

    node: int
    size: int


@dataclass(frozen=True)
class Synced:
    """fsync(2) or fdatasync(2) of a file or of a directory."""

    node: int


Operation = NewFile | NewDirectory | Removed | Moved | Wrote | Resized | Synced
Change = Wrote | Resized


def changed(data: bytearray, change: Change) -> None:
    """Carry out one change of a file's bytes."""
    if isinstance(change, Resized):
        del data[change.size :]
        data.extend(bytes(change.size - len(data)))
        return
    data.extend(bytes(max(0, change.offset - len(data))))
    data[change.offset : change.offset + len(change.data)] = change.data


@dataclass
class File:
    """``data``: what a running process reads; ``durable``: what is on the disk for certain; ``pending``: between."""

    data: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    pending: list[Change] = field(default_factory=list)

    def change(self, change: Change) -> None:
        changed(self.data, change)
        self.pending.append(change)

    def sync(self) -> None:
        if self.pending:
            self.durable, self.pending = bytes(self.data), []

    def after(self, changes: int) -> bytearray:
        """The durable bytes and the first ``changes`` pending ones."""
        data = bytearray(self.durable)
        for change in self.pending[:changes]:
            changed(data, change)
        return data


@dataclass
class Directory:
    """Names as a running process sees them, and as they are on the disk for certain."""

    names: dict[str, int] = field(default_factory=dict)
    durable: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class NameChange:
    """``node`` None: the name went. ``source``: directory and name it was moved from."""

    directory: int
    name: str
    node: int | None
    source: tuple[int, str] | None = None


@dataclass(frozen=True)
class Loss:
    """What one power cut takes: which pending names stay, and which bytes a file with pending changes then holds."""

    label: str
    keeps: Callable[[NameChange], bool]
    contents: Callable[[File], bytes]


class Disk:
    """Files and directories by node number; node :data:`ROOT` is the directory everything happens in."""

    def __init__(self) -> None:
        self.files: dict[int, File] = {}
        self.directories: dict[int, Directory] = {ROOT: Directory()}
        self.pending: list[NameChange] = []

    def apply(self, operation: Operation) -> None:
        """Carry out one operation."""
        match operation:
            case NewFile(node, directory, name):
                self.files[node] = File()
                self._rename(NameChange(directory, name, node))
            case NewDirectory(node, directory, name):
                self.directories[node] = Directory()
                self._rename(NameChange(directory, name, node))
            case Removed(directory, name):
                self._rename(NameChange(directory, name, None))
            case Moved(source, source_name, directory, name):
                node = self.directories[source].names[source_name]
                self._rename(NameChange(directory, name, node, (source, source_name)))
            case Wrote(node) | Resized(node):
                self.files[node].change(operation)
            case Synced(node) if node in self.files:
                self.files[node].sync()
            case Synced(node):
                self._sync_directory(node)

    def cached(self) -> Tree:
        """What a process sees now: the state after kill -9, which loses nothing."""
        names = {number: directory.names for number, directory in self.directories.items()}
        return self._tree(names, lambda file: bytes(file.data))

    def after(self, loss: Loss) -> Tree:
        """What is on the disk after a power cut now."""
        names = {number: dict(directory.durable) for number, directory in self.directories.items()}
        for change in self.pending:
            if loss.keeps(change):
                carry_out(names, change)
        return self._tree(names, lambda file: loss.contents(file) if file.pending else file.durable)

    def _rename(self, change: NameChange) -> None:
        carry_out({number: directory.names for number, directory in self.directories.items()}, change)
        self.pending.append(change)

    def _sync_directory(self, node: int) -> None:
        durable = {number: directory.durable for number, directory in self.directories.items()}
        rest: list[NameChange] = []
        for change in self.pending:
            if change.directory == node:
                carry_out(durable, change)
                # a name that was moved away for certain cannot come back under its old name
                rest = [other for other in rest if (other.directory, other.name) != change.source]
            else:
                rest.append(change)
        self.pending = rest

    def _tree(self, names: dict[int, dict[str, int]], contents: Callable[[File], bytes]) -> Tree:
        tree: Tree = {}

        def walk(directory: int, prefix: str) -> None:
            for name, node in names[directory].items():
                if node in self.files:
                    tree[prefix + name] = contents(self.files[node])
                else:
                    tree[prefix + name] = None
                    walk(node, f"{prefix}{name}/")

        walk(ROOT, "")
        return tree


def carry_out(names: dict[int, dict[str, int]], change: NameChange) -> None:
    """Apply one change of names."""
    if change.node is None:
        names[change.directory].pop(change.name, None)
        return
    names[change.directory][change.name] = change.node
    if change.source is not None:
        directory, name = change.source
        if names[directory].get(name) == change.node:
            del names[directory][name]


def replayed(first: Disk, operations: Iterable[Operation]) -> Disk:
    """The disk after some more operations; ``first`` stays as it is."""
    disk = copy.deepcopy(first)
    for operation in operations:
        disk.apply(operation)
    return disk


def write_tree(tree: Tree, root: Path) -> None:
    """Make ``tree`` real below ``root``, which must exist; directories come before what they hold."""
    for path, data in tree.items():
        if data is None:
            (root / path).mkdir(mode=0o700)
        else:
            (root / path).write_bytes(data)


def read_tree(root: Path) -> Tree:
    """The tree below ``root`` as it is."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))
    }
