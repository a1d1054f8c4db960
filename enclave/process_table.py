"""The processes of this machine as ``/proc`` tells of them (proc(5)): parents, start times, states. Nobody is asked.

A process chooses its own name, at most 15 bytes that need not be text: a researcher's can (prctl(2), PR_SET_NAME), and
any program's is cut in the middle of a letter that takes two. Whoever looks reads everybody's, so nothing of it is
decoded here. A process that is gone has no entry and is no error.
"""

from __future__ import annotations

from pathlib import Path

_STATE, _PARENT, _START = 0, 1, 19
"""Places in what follows the name in ``stat``; proc(5) counts from 3."""


def stat_fields(pid: int) -> list[bytes]:
    """What follows the name in ``/proc/<pid>/stat``; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []


def status_words(pid: int, name: str) -> list[bytes]:
    """The words of the line ``name`` in ``/proc/<pid>/status``; empty when there is none."""
    try:
        lines = Path(f"/proc/{pid}/status").read_bytes().split(b"\n")  # a name may hold any other end of a line
    except OSError:
        return []
    start = f"{name}:".encode()
    return next((line.split()[1:] for line in lines if line.startswith(start)), [])


def start_time(pid: int) -> int | None:
    """In clock ticks since boot: with the number, it tells a process from a later one. None: it is gone."""
    fields = stat_fields(pid)
    return int(fields[_START]) if fields else None


def has_ended(pid: int) -> bool:
    """Gone, or waiting to be collected."""
    return stat_fields(pid)[_STATE : _STATE + 1] in ([], [b"Z"])


def children(parent: int) -> list[int]:
    """Process ids of those whose parent this is."""
    return [pid for pid, fields in _all().items() if int(fields[_PARENT]) == parent]


def processes_below(top: int) -> list[int]:
    """Process ids of all descendants of ``top``."""
    return list(started_below(top))


def started_below(top: int) -> dict[int, int]:
    """The same with their start times: who acts on a number later can see whose it is by then."""
    table = _all()
    by_parent: dict[int, list[int]] = {}
    for pid, fields in table.items():
        by_parent.setdefault(int(fields[_PARENT]), []).append(pid)
    found = [top]
    for one in found:
        found += by_parent.get(one, ())
    return {pid: int(table[pid][_START]) for pid in found[1:]}


def _all() -> dict[int, list[bytes]]:
    numbers = (int(folder.name) for folder in Path("/proc").glob("[0-9]*"))
    return {pid: fields for pid in numbers if (fields := stat_fields(pid))}
