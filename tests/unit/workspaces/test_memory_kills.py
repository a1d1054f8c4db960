"""Processes that the machine's kernel killed for their memory, from the counters of both versions of control groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from enclave.workspaces import cgroups
from enclave.workspaces.limit_notes import LimitNotes, read_notes
from enclave.workspaces.memory_kills import MemoryKills


@pytest.fixture
def notes(tmp_path: Path) -> LimitNotes:
    return LimitNotes(tmp_path / "limits", lambda: 0.0)


def noted(folder: Path) -> list[tuple[Any, ...]]:
    return [(n.limit, n.ended, n.found, n.allowed, n.times) for _, n in read_notes(folder / "limits")]


SECOND = {"memory.events": "low 0\noom 3\noom_kill {n}\noom_group_kill 0\n", "memory.peak": "900", "memory.max": "800"}
FIRST = {
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill {n}\n",
    "memory.max_usage_in_bytes": "900",
    "memory.limit_in_bytes": "800",
}


@pytest.mark.parametrize("files", [FIRST, SECOND], ids=["version 1", "version 2"])
def test_processes_that_the_kernel_killed(notes: LimitNotes, tmp_path: Path, files: dict[str, str]) -> None:
    group, below = tmp_path / "group", tmp_path / "group" / "container"
    below.mkdir(parents=True)

    def write(folder: Path, n: int) -> None:
        for name, text in files.items():
            (folder / name).write_text(text.format(n=n))

    groups = [tmp_path / "cpu", group]
    kills = MemoryKills(lambda: groups, notes)
    kills.look()
    write(group, 0)
    write(below, 0)
    kills.look()
    assert noted(tmp_path) == []
    write(group, 1)
    write(below, 2)
    kills.look()
    kills.look()
    times = 3 if files is FIRST else 1  # version 2 counts below as well
    assert noted(tmp_path) == [("memory", "processes", 900, 800, times)]


def test_a_container_that_ended_hides_no_kill_in_the_next_one(notes: LimitNotes, tmp_path: Path) -> None:
    """Version 1 counts in the container's own group, which goes with it."""
    group = tmp_path / "group"
    kills = MemoryKills(lambda: [group], notes)
    for container, killed in (("a", 3), ("b", 2)):
        (group / container).mkdir(parents=True)
        (group / container / "memory.oom_control").write_text(f"oom_kill {killed}\n")
        kills.look()
        kills.look()
        (group / container / "memory.oom_control").unlink()
        kills.look()
    notes.flush()
    assert [said[-1] for said in noted(tmp_path)] == [3, 2]


def test_unlimited_memory_is_no_number(tmp_path: Path) -> None:
    (tmp_path / "memory.peak").write_text("900")
    (tmp_path / "memory.max").write_text("max")
    assert cgroups.memory_peak([tmp_path]) == (0, 0)
