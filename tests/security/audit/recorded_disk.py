"""What was done below one directory: every file operation in its order, and the model of the disk after all of it.

:mod:`recorded_calls` puts the recording between the real code and the operating system. The operations really happen,
but for the syncs, which only cost time: nobody cuts the power.
"""

from __future__ import annotations

import copy
import errno
import os
import threading
from pathlib import Path
from typing import Any

from lossy_disk import (
    ROOT,
    Disk,
    NewDirectory,
    NewFile,
    Operation,
    Synced,
    Tree,
    Wrote,
    read_tree,
    write_tree,
)


class RecordedDisk:
    """``root`` is a real directory; ``operations`` what was done below it; ``disk`` the model after all of it.

    ``start``: what ``root`` holds already, on the disk for certain; or a model whose unsynced part is still unsynced
    (``inherited``, for a process that follows one that was killed). ``full_beside``: while this file exists the disk
    is full.
    """

    def __init__(self, root: Path, start: Tree | None = None, inherited: Disk | None = None) -> None:
        self.root = root
        self.lock = threading.RLock()
        self.full_beside: Path | None = None
        self._crammed = False
        self.operations: list[Operation] = []
        self.disk = copy.deepcopy(inherited) if inherited is not None else Disk()
        self._nodes = {_identity(root.stat()): ROOT}
        self._next = max((*self.disk.files, *self.disk.directories)) + 1
        if inherited is not None:
            write_tree(inherited.cached(), root)
            self._meet_present(ROOT, root)
        elif start is not None:
            self._begin_with(start)
        self.first = copy.deepcopy(self.disk)

    def check_complete(self) -> None:
        """Raise AssertionError when the directory is not what the recorded operations make of it."""
        seen, real = self.disk.cached(), read_tree(self.root)
        assert seen.keys() == real.keys(), f"operations went unrecorded: {seen.keys() ^ real.keys()}"
        wrong = [path for path in real if seen[path] != real[path]]
        assert not wrong, f"writes went unrecorded: {wrong}"

    def _begin_with(self, start: Tree) -> None:
        write_tree(start, self.root)
        numbers = {"": ROOT}
        for path, data in start.items():
            parent, _, name = path.rpartition("/")
            numbers[path] = self._number((self.root / path).stat())
            kind = NewDirectory if data is None else NewFile
            self.disk.apply(kind(numbers[path], numbers[parent], name))
            if data:
                self.disk.apply(Wrote(numbers[path], 0, data))
        for number in numbers.values():
            self.disk.apply(Synced(number))

    def _meet_present(self, node: int, path: Path) -> None:
        for name, number in self.disk.directories[node].names.items():
            self._nodes[_identity((path / name).stat())] = number
            if number in self.disk.directories:
                self._meet_present(number, path / name)

    def fitting(self, count: int) -> int:
        """How many of so many bytes the disk takes: all; on a full one half of them, and none when asked again."""
        if self.full_beside is None or not self.full_beside.exists():
            return count
        self._crammed = not self._crammed and count > 1
        if not self._crammed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return count // 2

    def note(self, operation: Operation) -> None:
        """Write down what was done; the caller holds the lock."""
        self.operations.append(operation)
        self.disk.apply(operation)

    def node(self, found: os.stat_result) -> int | None:
        """The node of an open file or directory; None when it is not ours."""
        return self._nodes.get(_identity(found))

    def place(self, path: Any) -> tuple[int, str] | None:
        """Directory node and name of a path; None when it does not lie below the root."""
        absolute = Path(path).absolute()
        if not absolute.is_relative_to(self.root) or absolute == self.root:
            return None
        directory = self.node(absolute.parent.stat())
        assert directory is not None, f"{absolute.parent} was made without being recorded"
        return directory, absolute.name

    def created(self, kind: type[NewFile] | type[NewDirectory], at: tuple[int, str], found: os.stat_result) -> None:
        """Write down a new file or directory."""
        self.note(kind(self._number(found), *at))

    def _number(self, found: os.stat_result) -> int:
        number, self._next = self._next, self._next + 1
        self._nodes[_identity(found)] = number
        return number


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
