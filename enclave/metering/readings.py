"""How much processor time a workspace has used and how much memory it holds now: asked of the kernel.

From the workspace's control group where there is one: it counts every process that was ever in it, whichever engine
started it. Otherwise the sum over the host's processes, which misses what a process does that nobody waits for, and
counts a page that several processes changed after a fork once for each: a measure, not proof against somebody who hides
short processes on purpose. Memory is what cannot be dropped (no page cache that the kernel would give back).
Containers that Docker keeps in groups of systemd's are read there; their counters go with them, so of one that ends the
time since the last look is not counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from enclave.metering.process_groups import groups_apart
from enclave.process_table import processes_below, stat_fields, status_words

_TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
_MEMORY_FILES = (("memory.usage_in_bytes", "total_inactive_file"), ("memory.current", "inactive_file"))
"""Version 1 and 2: the file with what is used, and the line of ``memory.stat`` with what may be dropped of it."""
_USER_TIME = 11
"""Place of ``utime`` in what follows the name in ``/proc/<pid>/stat`` (proc(5)); then stime, cutime, cstime."""


@dataclass(frozen=True)
class Reading:
    """Processor time since the workspace began, and memory now."""

    cpu_ns: int
    memory_bytes: int


class Meter:
    """Reads one workspace: its control groups, and what they do not tell from the processes below ``top``."""

    def __init__(
        self, groups: Callable[[], Iterable[Path]], top: int, containers: Callable[[], Iterable[int]] = tuple
    ) -> None:
        """``groups`` says which are there now: Docker makes one when the first container starts.

        ``containers``: a process of each that may lie in a group of its own, apart from those.
        """
        self._groups, self._containers = groups, containers
        self._processes = ProcessTimes(top)
        self._apart = GroupTimes()

    def read(self) -> Reading:
        """Raises OSError."""
        groups = tuple(self._groups())
        cpu, memory = group_cpu_ns(groups), group_memory_bytes(groups)
        if cpu is None:
            cpu = self._processes.cpu_ns()
        if memory is None:
            memory = self._processes.memory_bytes()
        apart = groups_apart(self._containers(), groups)
        return Reading(cpu + self._apart.cpu_ns(apart), memory + _memory_apart(apart))


def group_cpu_ns(groups: Iterable[Path]) -> int | None:
    """Processor time of all that ever ran in these groups, which lie side by side; None: no group that counts it."""
    found = [used for folder in groups if (used := _cpu_ns(folder)) is not None]
    return sum(found) if found else None


def _cpu_ns(folder: Path) -> int | None:
    if (folder / "cpuacct.usage").exists():
        return int((folder / "cpuacct.usage").read_text())
    used = _statistics(folder / "cpu.stat").get("usage_usec")
    return None if used is None else used * 1000


def group_memory_bytes(groups: Iterable[Path]) -> int | None:
    """Memory of these groups without the page cache that is inactive; None: no group that counts it."""
    found = [used for folder in groups if (used := _memory_bytes(folder)) is not None]
    return sum(found) if found else None


def _memory_apart(groups: Iterable[Path]) -> int:
    """Of containers that may end between two looks."""
    held = 0
    for folder in groups:
        with suppress(OSError):
            held += _memory_bytes(folder) or 0
    return held


def _memory_bytes(folder: Path) -> int | None:
    for current, inactive in _MEMORY_FILES:
        if (folder / current).exists():
            used = int((folder / current).read_text())
            return max(0, used - _statistics(folder / "memory.stat").get(inactive, 0))
    return None


def _statistics(file: Path) -> dict[str, int]:
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
    except FileNotFoundError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) == 2}


class GroupTimes:
    """Processor time of groups that come and go, as last seen: it never falls."""

    def __init__(self) -> None:
        self._seen: dict[Path, int] = {}

    def cpu_ns(self, groups: Iterable[Path]) -> int:
        """Of these and of all that were seen before."""
        for folder in groups:
            try:
                used = _cpu_ns(folder)
            except OSError:  # it went between two looks
                continue
            if used is not None:
                self._seen[folder] = max(used, self._seen.get(folder, 0))
        return sum(self._seen.values())


class ProcessTimes:
    """Processor time of a tree of processes, from looks at it: grows, and keeps what ended processes used.

    A process hands its time on to the one that waits for it, so the sum over the tree stays when one ends; it falls
    only when a whole branch is killed with its parent. A fall starts the next difference and takes nothing away.
    """

    def __init__(self, top: int) -> None:
        self._top = top
        self._sum = self._total = 0

    def cpu_ns(self) -> int:
        """Since the first process."""
        found = sum(_process_ns(pid) for pid in (self._top, *processes_below(self._top)))
        self._total += max(0, found - self._sum)
        self._sum = found
        return self._total

    def memory_bytes(self) -> int:
        """Anonymous and shared memory that the processes hold now."""
        return sum(_held_bytes(pid) for pid in (self._top, *processes_below(self._top)))


def _process_ns(pid: int) -> int:
    return sum(map(int, stat_fields(pid)[_USER_TIME : _USER_TIME + 4])) * _TICK_NS


def _held_bytes(pid: int) -> int:
    held = (status_words(pid, name)[:1] for name in ("RssAnon", "RssShmem"))
    return sum(int(word) << 10 for words in held for word in words)
