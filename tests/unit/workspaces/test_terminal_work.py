"""A silent program in a terminal keeps its workspace; a shell that waits does not."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from enclave.domain.ids import WorkspaceId
from enclave.workspaces import idleness
from enclave.workspaces.idleness import Idleness
from enclave.workspaces.launch import Places
from enclave.workspaces.terminal_work import LOOK_SECONDS, TerminalWork, last_worked

SECOND = 10**9


@pytest.mark.parametrize(
    ("used", "is_at_work"),
    [
        ([5 * SECOND, 5 * SECOND], False),  # before the first look: not since
        ([0, 2 * SECOND], True),
        ([0, SECOND], False),  # a thirtieth: an editor, top
        ([0, SECOND, 4 * SECOND], True),
        ([7 * SECOND], False),
    ],
)
def test_what_counts_as_work(tmp_path: Path, used: list[int], is_at_work: bool) -> None:
    told = iter(used)
    work = TerminalWork(tmp_path, lambda pid: lambda: next(told))
    for number in range(len(used)):
        work.look(number * LOOK_SECONDS, [1])
        work.look(number * LOOK_SECONDS + 1.0, [1])
    assert (last_worked(tmp_path) is not None) == is_at_work


def test_each_terminal_is_compared_with_itself(tmp_path: Path) -> None:
    clocks = {1: 0, 2: 90 * SECOND}
    work = TerminalWork(tmp_path, lambda pid: lambda: clocks[pid])
    work.look(0.0, [1])
    work.look(LOOK_SECONDS, [1, 2])
    work.look(2 * LOOK_SECONDS, [2])
    assert last_worked(tmp_path) is None, "a new terminal's past is not work since the last look"
    clocks[2] += 3 * SECOND
    work.look(3 * LOOK_SECONDS, [2])
    assert last_worked(tmp_path) is not None


def test_a_program_at_work_begins_the_idle_time_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, places = datetime.now(UTC), Places(tmp_path, WorkspaceId("w-0123456789ab"))
    places.create()

    class Partners:
        async def last_seen(self, prefix: str) -> datetime:
            return now - timedelta(minutes=50)

    async def not_computing(*_: object) -> bool:
        return False

    monkeypatch.setattr(idleness, "is_computing", not_computing)
    partners: Any = Partners()

    def is_over() -> bool:
        return asyncio.run(Idleness(partners).is_over(places, "/user/a/b/", now - timedelta(minutes=60), 30))

    assert is_over()
    file = places.host / "at-work"
    file.touch()
    assert not is_over()
    worked = (now - timedelta(minutes=31)).timestamp()
    os.utime(file, (worked, worked))
    assert is_over()
