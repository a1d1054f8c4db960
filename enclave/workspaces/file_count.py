"""How many files a home may hold: one per 16 KiB of its disk, at most a million, and what happens to who makes more.

No limit of a process counts files, so they are counted (``find``; a million takes about a second), and the answer is
to end who makes them:

* above the limit a sentence lies in ``/run/enclave/files.json``;
* above the limit and a tenth, the kernels end, and none starts until the home is below the limit again. Files can be
  deleted in JupyterLab's file browser;
* when files still come, it is the server that makes them, and the workspace ends.

Between two counts the file system itself is asked each second, which costs nothing: once it holds as many more files
as the home has left, by whomever, the home is counted at once, and again once it has caught breath. So a burst gets
as far as what can be made in two seconds and during three counts. Non-goal: a quota that holds to the file; that is
the file system's (XFS, ext4).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from enclave.workspaces.limit_sentences import Told, sentence, tell
from enclave.workspaces.quota import count_files

LOOK_SECONDS = 1.0
REST_SECONDS = 30.0
"""Without a reason to look, so long from count to count, and ten times as long as the last one took. While the home
is over its limit, no longer than it takes to catch breath: who deletes does not want to wait."""
_REST = 10
_CATCH_BREATH = 1
"""A count is followed by a pause of its own length, whatever the reason for the next one."""
_BYTES_PER_FILE = 16_384
_LEAST, _MOST = 1024, 1_000_000
STILL_GROWING = 500
"""So many more after the kernels have ended are not what they had begun."""
FILE = "files.json"


class FileState(StrEnum):
    """What the workspace's host acts on."""

    FINE = "fine"
    TOO_MANY = "too-many"
    """No kernel may run."""
    RUNAWAY = "runaway"
    """They come all the same: the workspace has to end."""


def most_files(disk_mb: int) -> int:
    """For a home of this size."""
    return min(_MOST, max(_LEAST, (disk_mb << 20) // _BYTES_PER_FILE))


class FileCount:
    """Pure: what one count after the other means. ``limit``: names below the folders, taken together."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.last = 0
        self.state = FileState.FINE
        self._fewest: int | None = None
        """Since the kernels ended; None: not counted since."""

    @property
    def is_over(self) -> bool:
        """Somebody has to be told."""
        return self.last > self.limit

    @property
    def left(self) -> int:
        """How many may come before the next count has to be made."""
        edge = self.limit if self.state is FileState.FINE and not self.is_over else self.last
        return max(STILL_GROWING, edge - self.last)

    def take(self, found: int) -> FileState:
        """The state after a count."""
        self.last = found
        match self.state:
            case FileState.FINE if found > self.limit + self.limit // 10:
                self.state, self._fewest = FileState.TOO_MANY, None
            case FileState.TOO_MANY if found <= self.limit:
                self.state = FileState.FINE
            case FileState.TOO_MANY:
                self._fewest = found if self._fewest is None else min(self._fewest, found)
                if found > self._fewest + STILL_GROWING:
                    self.state = FileState.RUNAWAY
            case _:
                pass
        return self.state


class FileWatch(threading.Thread):
    """Counts until ``end`` is called. ``state`` is for other threads to read."""

    def __init__(
        self,
        folders: tuple[Path, ...],
        inside: Path,
        limit: int,
        *,
        kernels_ended: Callable[[], bool],
        language: str = "en",
        seconds: float = LOOK_SECONDS,
    ) -> None:
        """``kernels_ended``: have they, since ``state`` says that they must? Until then growth is theirs."""
        super().__init__(name="file-watch", daemon=True)
        self._folders, self._inside, self._kernels_ended, self._seconds = folders, inside, kernels_ended, seconds
        self._count, self._language = FileCount(limit), language
        self._ended = threading.Event()
        self._mark = 0
        self._next_at = 0.0
        self._not_before = 0.0

    @property
    def state(self) -> FileState:
        """As of the last count."""
        return self._count.state

    @property
    def found(self) -> int:
        """How many there were at the last count."""
        return self._count.last

    @property
    def sentence(self) -> str:
        """For the researcher, and for a kernel that is not started."""
        return sentence(_told(self._count), self._count.limit, self._language)

    def run(self) -> None:
        """Look, rest."""
        pause = 0.0
        while not self._ended.wait(pause):
            with suppress(OSError):
                self.look(time.monotonic())
            pause = self._seconds

    def look(self, now: float) -> None:
        """Count if it is time to. Raises OSError."""
        if now < self._not_before:
            return
        used = sum(_files_in_use(folder) for folder in self._folders[:1])
        if now < self._next_at and used - self._mark < self._count.left:
            return
        began = time.monotonic()
        self.count()
        took = time.monotonic() - began
        self._mark = used
        self._not_before = now + took * (1 + _CATCH_BREATH)
        rest = 0.0 if self._count.is_over else max(REST_SECONDS, _REST * took)
        self._next_at = self._not_before + rest

    def count(self) -> FileState:
        """Count now. Raises OSError."""
        waiting = self.state is FileState.TOO_MANY and not self._kernels_ended()
        found = sum(count_files(folder) for folder in self._folders)
        state = self._count.state if waiting else self._count.take(found)
        say(self._inside, self._count, self._language)
        return state

    def end(self) -> None:
        """Stop counting."""
        self._ended.set()


def _files_in_use(folder: Path) -> int:
    """Of the whole file system; 0 where it does not count them (btrfs)."""
    found = os.statvfs(folder)
    return found.f_files - found.f_ffree


def say(inside: Path, count: FileCount, language: str = "en") -> None:
    """Write the sentence, or take it away."""
    file = inside / FILE
    if not count.is_over:
        file.unlink(missing_ok=True)
        return
    tell(file, _told(count), count.limit, language, limit_files=count.limit)


def _told(count: FileCount) -> Told:
    return Told.MANY_FILES if count.state is FileState.FINE else Told.NO_KERNEL
