"""The disk a home may use: measured from time to time, and writing stops while it is over its limit.

What stops it: the limit on file sizes (``RLIMIT_FSIZE``) of every process of the workspace becomes zero, so that no
file can grow while files can still be deleted; a sentence lies in ``/run/enclave/disk.json`` (``shared.json`` for the
folder that members share, where it is not a file system of its own). Below the limit again, a host with
CAP_SYS_RESOURCE gives back what they had (no file larger than the home may be, so that a file without content is none
either); without it, the workspace has to be opened anew.

What does not hold: between two measurements a workspace can write what the disk takes in that time. A home with very
many files takes seconds to measure, so it is measured seldom; but soon when the file system itself says that it may be
full, and what is started while it is over its limit may not write either, five seconds later. Who starts and ends
processes faster than they can be reached, or fills the holes of a mapped file, goes on writing: then the home grows all
the same, and its kernels end (``enclave.workspaces.disk_use``). Empty files cost nothing here;
``enclave.workspaces.file_count`` counts them. A real quota is the file system's (XFS or ext4 project quotas): set one
on ``workspaces/``.
"""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from enclave.process_table import start_time, started_below, status_words
from enclave.workspaces.disk_use import DiskState, DiskUse
from enclave.workspaces.limit_sentences import Told, sentence, tell

LOOK_SECONDS = 5.0
HOME, SHARED = Told.HOME_FULL, Told.SHARED_FULL
_FILES = {HOME: "disk.json", SHARED: "shared.json"}
_REST = 100
"""From one measurement to the next, if it took long, at least that many times its length …"""
_BREATH = 10
"""… or that many, when the file system as a whole has come to hold so much more that the home may be full by now, or so
much less that it may not be full any more; at least ``_LEAST_MARGIN``."""
_LEAST_MARGIN = 256 << 20


class DiskWatch(threading.Thread):
    """Looks after the folders a workspace may write to, taken together, until ``end`` is called.

    ``top``: the process above all sandboxes of the workspace; ``tell`` is called with whether
    writing is allowed, for an engine whose sandboxes are nobody's children here; ``note`` with the bytes found and
    allowed, before writing stops.
    """

    def __init__(
        self,
        folders: tuple[Path, ...],
        inside: Path,
        limit_mb: int,
        top: int,
        seconds: float = LOOK_SECONDS,
        *,
        tell: Callable[[bool], None] = lambda allowed: None,
        note: Callable[[int, int], None] = lambda found, allowed: None,
        what: Told = HOME,
        language: str = "en",
    ) -> None:
        super().__init__(name="disk-watch", daemon=True)
        self._folders, self._inside, self._limit_mb, self._top = folders, inside, limit_mb, top
        self._seconds, self._tell, self._note, self._what, self._language = seconds, tell, note, what, language
        self._ended = threading.Event()
        self._use = DiskUse(limit_mb << 20)
        self._said: Told | None = None
        self._size: int | None = None
        self._reached: set[tuple[int, int]] = set()
        """Processes that may write files of that size: number and start time."""
        self._mark = 0
        self._not_before = self._next_at = 0.0

    @property
    def state(self) -> DiskState:
        """As of the last measurement."""
        return self._use.state

    @property
    def found(self) -> int:
        """Bytes at the last measurement."""
        return self._use.last

    @property
    def sentence(self) -> str:
        """For the researcher, and for a kernel that is not started."""
        return sentence(self._told, self._limit_mb, self._language)

    @property
    def _told(self) -> Told:
        grows = self.state in (DiskState.DEFIED, DiskState.RUNAWAY)
        return Told.HOME_GROWS if grows and self._what is HOME else self._what

    def run(self) -> None:
        """Look, act, rest."""
        pause = 0.0
        while not self._ended.wait(pause):
            with suppress(OSError):
                self.turn(time.monotonic())
            pause = self._seconds

    def turn(self, now: float) -> None:
        """Measure if it is time to. In between, who was started since may not write either. Raises OSError."""
        held = _bytes_in_use(self._folders)
        if now < self._next_at and (now < self._not_before or not self._may_have_changed(held - self._mark)):
            if self.state is not DiskState.FINE:
                self._allow(False)
            return
        began = time.monotonic()
        self.look()
        took = time.monotonic() - began
        self._mark, self._not_before, self._next_at = held, now + _BREATH * took, now + _REST * took

    def _may_have_changed(self, more: int) -> bool:
        """The file system as a whole holds ``more`` bytes than when the home was measured, by whomever."""
        left = self._use.most - self._use.last
        return more >= max(_LEAST_MARGIN, left) or (left < 0 and -more >= max(_LEAST_MARGIN, -left))

    def look(self) -> None:
        """Measure once, and stop or allow writing."""
        was_fine = self.state is DiskState.FINE
        used = sum(used_bytes(folder) for folder in self._folders)
        is_fine = self._use.take(used) is DiskState.FINE
        if was_fine and not is_fine:
            self._note(used, self._use.most)
        if not (was_fine and is_fine):
            self._allow(is_fine)

    def _allow(self, writing: bool) -> None:
        size = self._use.most if writing else 0
        self._tell(writing)
        running = set(started_below(self._top).items())
        self._reached = self._reached & running if self._size == size else set()  # nobody raises their own again
        self._size = size
        for pid, began in sorted(running - self._reached):
            with suppress(OSError, ValueError, subprocess.SubprocessError):  # it is gone, or cannot be reached
                if start_time(pid) == began:  # who starts and ends thousands could have another one limited
                    limit_file_sizes(pid, size)
                    self._reached.add((pid, began))
        self._say(None if writing else self._told)

    def _say(self, told: Told | None) -> None:
        """Write the sentence, or take it away."""
        file = self._inside / _FILES[self._what]
        if told is None:
            file.unlink(missing_ok=True)
        elif told is not self._said:
            tell(file, told, self._limit_mb, self._language, limit_mb=self._limit_mb)
        self._said = told

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()


def _bytes_in_use(folders: tuple[Path, ...]) -> int:
    """Of the file systems they lie on, by whomever."""
    found = {folder.stat().st_dev: os.statvfs(folder) for folder in folders}
    return sum((each.f_blocks - each.f_bfree) * each.f_frsize for each in found.values())


def limit_file_sizes(pid: int, size: int) -> None:
    """No file of this process may be larger than ``size``. Raises OSError, ValueError, SubprocessError.

    Root without CAP_SYS_RESOURCE (in many containers) may limit only its own account's processes: then the account
    of the process does it, which may lower a limit and not raise it.
    """
    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, size))
    except PermissionError:
        uid = _account_of(pid)
        if os.geteuid() != 0 or uid == 0:
            raise
        become = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        command = [*become, "prlimit", f"--pid={pid}", f"--fsize={size}:{size}"]
        subprocess.run(command, check=True, capture_output=True, timeout=10)


def _account_of(pid: int) -> int:
    """Raises ProcessLookupError when it is gone."""
    numbers = status_words(pid, "Uid")
    if not numbers:
        raise ProcessLookupError
    return int(numbers[0])


def used_bytes(folder: Path) -> int:
    """Blocks of all files below ``folder``, links not followed, a file with several names once. Raises OSError.

    ``du`` walks trees of any depth; ``os.fwalk`` gives up at 1,000 folders, so a deep one would escape the count.
    """
    command = ["du", "--summarize", "--block-size=1", "--one-file-system", "--", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)  # 1: a file went away meanwhile
    counted = done.stdout.split(b"\t")[0]
    if not counted.isdigit():
        raise OSError(f"Expected the size of {folder.name}, found none: {done.stderr.decode(errors='replace')[:200]}")
    return int(counted)


def count_files(folder: Path) -> int:
    """Names of all files and folders below ``folder`` and itself, links not followed. Raises OSError.

    Names and not inodes: ``find`` need not ask for each (half the time of ``du``), and a name costs disk as well.
    """
    command = ["find", "-P", str(folder), "-xdev", "-printf", "x"]
    done = subprocess.run(command, capture_output=True, check=False)  # 1: a file went away meanwhile
    if not done.stdout:
        raise OSError(f"Expected the number of files of {folder.name}, found none.")
    return len(done.stdout)
