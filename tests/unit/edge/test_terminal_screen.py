"""A terminal's channel at the edge: counted, slowed, stopped, archived and silenced as the permit says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest

from enclave.edge.archiving import ArchiveError
from enclave.edge.budgets import Terms
from enclave.edge.exposure import Budget, ExposureState
from enclave.edge.kernel_frames import Data
from enclave.edge.meter import Meter
from enclave.edge.terminal_screen import SENTENCES, TerminalScreen
from enclave.shown.sealing import Shown
from enclave.shown.text import as_text

OSC = "\x1b]"


class Room:
    """One terminal's screen; the permit, the archive and the clock are the test's."""

    def __init__(self, folder: Path) -> None:
        self.permit = Terms(Budget(100_000, 1000), terminals=True, is_known=True)
        self.slept: list[float] = []
        self.kept: list[Shown] = []
        self.archive_is_away = False
        self.day = date(2026, 11, 26)
        own: Any = self
        self.meter = Meter(
            folder,
            own,
            lambda _: None,
            archive=own,
            today=lambda: self.day,
            clock=lambda: 1.0,
            sleep=self.sleep,
        )
        self.account = self.meter.account("alice", "study-one")
        self.screen = TerminalScreen(self.meter, self.account, "en")

    def of(self, _project: str) -> Budget:
        return self.permit.budget

    def terms(self, _project: str) -> Terms:
        return self.permit

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def keep(self, _account: object, shown: Shown) -> None:
        if self.archive_is_away:
            raise ArchiveError
        self.kept.append(shown)

    def send(self, data: Data) -> list[Any]:
        return _read(asyncio.run(self.screen.frame(data, None)))

    def show(self, text: str) -> list[Any]:
        return self.send(orjson.dumps(["stdout", text]).decode())

    def type(self, *frame: object) -> list[Any]:
        return _read(asyncio.run(self.screen.typed(orjson.dumps(frame).decode())))


def _read(frames: Sequence[Data]) -> list[Any]:
    return [orjson.loads(frame) for frame in frames]


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def sentence(what: str, language: str = "en") -> list[Any]:
    return [["stdout", f"\r\n{SENTENCES[what][language]}\r\n"]]


def test_what_goes_on_is_cleaned_counted_and_kept(room: Room) -> None:
    assert room.show(f"one\r\n{OSC}52;c;ab") == [["stdout", "one\r\n"]]
    assert room.show("cd\x07\x1b[31mtwo\x1b[0m\r\n") == [["stdout", "\x1b[31mtwo\x1b[0m\r\n"]]
    assert (room.account.shown.rows, room.account.shown.messages) == (2, 2)
    whole = ["stdout", f"one\r\n{OSC}52;c;ab"], ["stdout", "cd\x07\x1b[31mtwo\x1b[0m\r\n"]
    assert room.account.shown.bytes == sum(len(orjson.dumps(frame)) for frame in whole), (
        "what was taken away counts too"
    )
    assert [as_text(shown) for shown in room.kept] == ["one\n", "two\n"]


def test_its_beginning_and_end_pass_and_anything_else_counts_and_does_not(room: Room) -> None:
    assert room.send('["setup", {"secret": 1}]') == [["setup", {}]]
    assert room.send('["disconnect", 1]') == [["disconnect", 1]]
    assert (room.account.shown.bytes, room.kept) == (0, [])
    for hostile in ('["open", "https://example.org"]', b"\x00" * 500, "x" * 500):
        assert room.send(hostile) == []
    assert room.account.shown.bytes > 1000


def test_above_the_budget_it_slows_down_and_then_stops(room: Room) -> None:
    assert room.show("x" * 100_001) != []
    assert room.account.state() is ExposureState.SLOWED
    for _ in range(4):
        room.slept.clear()
        room.show("x" * 10_000)
    assert room.show("x" * 40_000) == sentence("stopped")
    assert room.show("more") == [], "once is enough"
    assert room.account.state() is ExposureState.STOPPED
    assert room.type("stdin", "x") == [["stdin", "x"]], "what runs there can still be ended"


def test_who_is_stopped_on_another_day_is_told_again(room: Room) -> None:
    for day in (26, 27):
        room.day = date(2026, 11, day)
        assert room.show("a new day") == [["stdout", "a new day"]]
        room.show("x" * 149_000)
        assert room.show("x" * 10_000) == sentence("stopped")
        assert room.show("more") == []


def test_slowed_output_waits(room: Room) -> None:
    room.permit = replace(room.permit, budget=Budget(1_000_000, 1000))
    room.show("x" * 1_000_001)
    assert sum(room.slept) > 5


def test_what_cannot_be_kept_is_not_shown(room: Room) -> None:
    room.archive_is_away = True
    assert room.show("secret") == sentence("not-archived")
    assert room.show("secret") == []


def test_a_permit_that_changes_silences_an_open_terminal(room: Room) -> None:
    assert room.show("before") == [["stdout", "before"]]
    room.permit = replace(room.permit, terminals=False)
    assert room.show("after") == sentence("not-allowed")
    assert room.type("stdin", "ls\r") == []


def test_what_is_typed_is_written_anew(room: Room) -> None:
    assert room.type("stdin", "ls\r") == [["stdin", "ls\r"]]
    assert room.type("set_size", 24, 80, 1.5, None) == [["set_size", 24, 80, 0, 0]]
    assert room.type("eval", "x") == []
