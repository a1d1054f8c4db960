"""The archive over midnight: every line that is kept is committed to by the log, and no descriptor stays open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.event import AuditEvent
from enclave.edge import archiving
from enclave.edge.archiving import ShownArchive
from enclave.edge.budgets import Terms
from enclave.edge.exposure import Budget, Volume
from enclave.edge.meter import RECORD_SECONDS, Meter
from enclave.shown.lines import Head
from enclave.shown.reader import compare
from enclave.shown.sealing import Place, Shown, make_key

TODAY, TOMORROW = date(2026, 11, 26), date(2026, 11, 27)


class Night:
    """An edge whose day, clock and log are the test's; ``on_seal`` happens while a message is being sealed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.day, self.now = folder, TODAY, 1000.0
        self.records: list[AuditEvent] = []
        self.on_seal: Callable[[], None] = lambda: None
        key = folder / "archive.pub"
        key.write_bytes(make_key(None)[1])
        budgets: Any = self
        self.archive = ShownArchive(folder / "shown", key, budgets)
        self.meter = Meter(
            folder / "exposure",
            budgets,
            self.records.append,
            archive=self.archive,
            today=lambda: self.day,
            clock=lambda: self.now,
        )
        self.account = self.meter.account("alice", "study-one")

    def of(self, _project: str) -> Budget:
        return Budget(10**9, 10**9)

    def terms(self, _project: str) -> Terms:
        return Terms(self.of(""), 30, 30, is_known=True)

    def person(self, _username: str) -> str:
        return "u-0123456789ab"

    def place(self, day: date) -> Place:
        return Place("study-one", "alice", day.isoformat())

    def count(self) -> None:
        """Before a message goes on, it is counted."""
        self.account.add(Volume(100, 1, 1), "x")

    def keep(self, text: str = "shown") -> None:
        asyncio.run(self.archive.keep(self.account, Shown("message", text)))

    def turn(self) -> None:
        self.now += RECORD_SECONDS
        asyncio.run(self.meter.turn())

    def midnight(self) -> None:
        self.day = TODAY + timedelta(days=1)

    def is_proven(self, day: date) -> bool:
        """Does the log commit to the last line of that day's file?"""
        heads = [
            Head(event.counts["archived"], str(event.data["archive"]))
            for event in self.records
            if event.data["day"] == day.isoformat() and "archive" in event.data
        ]
        found = compare(self.place(day).path(self.folder / "shown"), heads)
        return found.is_proven and found.kept > 0 and found.uncommitted == 0

    def open_files(self) -> list[str]:
        found = []
        for link in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                found.append(str(link.readlink()))
        return [path for path in found if path.startswith(str(self.folder)) and path.endswith(".jsonl")]


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Night]:
    found = Night(tmp_path)
    seal = archiving.seal

    def sealing(*given: Any) -> bytes:
        found.on_seal()
        return seal(*given)

    monkeypatch.setattr(archiving, "seal", sealing)
    yield found
    found.archive.close_before(date.max)


def test_a_message_sealed_across_midnight_is_committed_to(night: Night) -> None:
    night.count()
    night.keep()
    night.count()

    async def keep_a_large_one() -> None:
        """It is sealed in a thread; meanwhile midnight comes, and with it the day's last record."""
        loop = asyncio.get_running_loop()

        def meanwhile() -> None:
            night.midnight()
            night.now += RECORD_SECONDS
            asyncio.run_coroutine_threadsafe(night.meter.turn(), loop).result(60)

        night.on_seal = meanwhile
        await night.archive.keep(night.account, Shown("message", "x" * 100_000))

    asyncio.run(keep_a_large_one())
    assert not night.is_proven(TODAY), "the record came before the line"
    night.turn()
    assert night.is_proven(TODAY)
    late = night.records[-1]
    assert (late.counts["messages"], late.data["day"]) == (0, "2026-11-26")
    night.turn()
    assert night.open_files() == []


def test_a_message_counted_today_and_kept_tomorrow(night: Night) -> None:
    """It waited for its turn (a slowed screen) until after midnight, and nothing else was shown that day."""
    night.count()
    night.midnight()
    night.keep()
    night.turn()
    assert night.is_proven(TOMORROW)
    assert [event.data["day"] for event in night.records] == ["2026-11-26", "2026-11-27"]


def test_a_quiet_evening_leaves_no_file_open(night: Night) -> None:
    night.count()
    night.keep()
    night.turn()
    assert len(night.open_files()) == 1
    night.midnight()
    night.turn()
    assert night.open_files() == []
    assert night.is_proven(TODAY)


def test_what_is_owed_survives_the_edge(night: Night) -> None:
    night.count()
    night.turn()
    night.keep()
    asyncio.run(night.meter.turn())  # saved, not due yet
    owed = night.account.pending
    budgets: Any = night
    again = Meter(night.folder / "exposure", budgets, night.records.append, archive=night.archive, today=lambda: TODAY)
    again.load_pending()
    assert again.account("alice", "study-one").pending == owed
    asyncio.run(again.turn(last=True))
    assert night.is_proven(TODAY)
