"""Processes that come and go while a test looks at them. Imported as ``enclave_test_live_processes``."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from enclave import process_table

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds_below(top: int, part_of_command: bytes) -> float:
    """What the processes below ``top`` with this in their command have used so far; ended ones count nothing."""
    total = 0.0
    for pid in process_table.processes_below(top):
        with contextlib.suppress(OSError):
            if part_of_command in Path(f"/proc/{pid}/cmdline").read_bytes():
                total += sum(map(int, process_table.stat_fields(pid)[11:13])) / _TICKS
    return total


def is_mounted_nowhere(target: str, pids: list[int]) -> bool:
    """Some of these processes are there, and none of them sees a mount at that path."""
    seen = []
    for pid in pids:
        with contextlib.suppress(OSError):
            seen.append(Path(f"/proc/{pid}/mountinfo").read_text())
    return bool(seen) and not [mounts for mounts in seen if f" {target} " in mounts]


def contents_below(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Each file with what is in it, of a folder somebody writes into: what goes meanwhile is left out."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            try:
                yield path, path.read_bytes()
            except FileNotFoundError:
                continue


def processes_below(tops: list[int]) -> list[int]:
    """``tops`` and all their descendants."""
    return list(dict.fromkeys(pid for top in tops for pid in (top, *process_table.processes_below(top))))


def is_alive(pid: int) -> bool:
    """Is it there, and no zombie?"""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False
