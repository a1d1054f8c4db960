"""The meter's state machine over a day, with clock, sleep and audit log in the test's hands."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from kernel_messages import frame, message  # type: ignore[import-not-found]

from audit.client import AuditUnavailable
from audit.event import AuditEvent, check_event
from enclave.edge.exposure import Budget, ExposureState, Volume
from enclave.edge.kernel_frames import Data, parse_frame
from enclave.edge.meter import RECORD_SECONDS, Meter
from enclave.edge.shown import SENTENCES, STOPPED_FILE, Screen

PERSON = "u-0123456789ab"


class House:
    """One meter with everything around it played by the test."""

    def __init__(self, folder: Path, budget: Budget) -> None:
        self.folder = folder
        self.budget = budget
        self.day = date(2026, 11, 26)
        self.now = 1000.0
        self.slept: list[float] = []
        self.records: list[AuditEvent] = []
        self.log_is_away = False
        self.restart()

    def of(self, _project: str) -> Budget:
        return self.budget

    def person(self, _username: str) -> str:
        return PERSON

    def record(self, event: AuditEvent) -> None:
        check_event(event)
        if self.log_is_away:
            raise AuditUnavailable("away")
        self.records.append(event)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def restart(self) -> None:
        budgets: Any = self
        self.meter = Meter(
            self.folder, budgets, self.record, today=lambda: self.day, clock=lambda: self.now, sleep=self.sleep
        )
        self.meter.load_pending()
        self.account = self.meter.account("alice", "study-one")
        self.screen = Screen(self.meter, self.account, "en")

    def show(self, size: int, kind: str = "stream", parent: str = "request-1") -> list[Data]:
        content = {"name": "stdout", "text": "x"} if kind == "stream" else {}
        short = frame(message(kind, {**content, "filler": ""}, parent), "text")
        data = frame(message(kind, {**content, "filler": "f" * max(0, size - len(short))}, parent), "text")
        return list(asyncio.run(self.screen.frame(data, None)))

    def turn(self, seconds: float = 1.0, *, last: bool = False) -> None:
        self.now += seconds
        asyncio.run(self.meter.turn(last=last))

    def types(self) -> list[str]:
        return [event.type for event in self.records]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "exposure", Budget(1_000_000, 10_000))


def said(frames: list[Data]) -> str:
    (data,) = frames
    read = parse_frame(data, None)
    assert read is not None
    return str(read.content["text"]).strip()


def test_a_day_from_ok_to_stopped(house: House) -> None:
    states = []
    for _ in range(15):
        house.show(100_000)
        states.append(str(house.account.state()))
    assert states == ["ok"] * 7 + ["warned"] * 3 + ["slowed"] * 4 + ["stopped"]
    house.turn(10)
    assert house.types()[:3] == [
        "workspace:exposure-warned",
        "workspace:exposure-slowed",
        "workspace:exposure-stopped",
    ]
    assert house.records[2].decision == "deny" and house.records[2].actor == PERSON


def test_slowed_output_waits_for_its_turn(house: House) -> None:
    house.show(1_000_001)
    assert house.account.state() is ExposureState.SLOWED
    house.slept.clear()
    house.show(400_000)
    assert sum(house.slept) >= 4.0


def test_a_large_output_while_slowed_is_a_sentence(house: House) -> None:
    house.budget = Budget(10_000_000, 10_000)
    house.show(10_000_001)
    assert said(house.show(2_100_000, parent="request-2")) == SENTENCES["slowed"]["en"]


def test_stopped_output_is_a_sentence_once_per_cell(house: House) -> None:
    before = house.account.shown.bytes
    assert said(house.show(1_600_000)) == SENTENCES["stopped"]["en"]
    assert house.account.shown.bytes == before, "what is not shown does not count"
    assert house.show(100) == []
    assert said(house.show(100, parent="request-2")) == SENTENCES["stopped"]["en"]
    assert len(house.show(600, kind="status")) == 1, "the notebook stays usable"
    assert len(house.show(600, kind="execute_reply")) == 1


def test_status_messages_are_no_way_out_once_stopped(house: House) -> None:
    house.show(1_600_000)
    house.slept.clear()
    for _ in range(200):
        house.show(2000, kind="status")
    assert sum(house.slept) > 60


def test_a_stopped_notebook_does_not_open_but_a_small_one_does(house: House) -> None:
    from enclave.edge.forward import NotShownError

    house.show(1_600_000)
    small = b'{"type": "file", "content": "' + b"x" * 1000 + b'"}'
    assert asyncio.run(house.screen.contents(small))
    large = b'{"type": "file", "content": "' + b"x" * STOPPED_FILE + b'"}'
    with pytest.raises(NotShownError, match="limit"):
        asyncio.run(house.screen.contents(large))


def test_rows_alone_can_stop(house: House) -> None:
    house.budget = Budget(1_000_000, 100)
    lines = frame(message("stream", {"name": "stdout", "text": "1\n" * 150}), "text")
    (answer,) = asyncio.run(house.screen.frame(lines, None))
    assert SENTENCES["stopped"]["en"][:20] in str(answer)


def test_what_cannot_be_read_counts_wholly_even_when_it_does_not_go_on(house: House) -> None:
    assert list(asyncio.run(house.screen.frame("x" * 5000, None))) == []
    assert house.account.shown.bytes == 5000
    assert list(asyncio.run(house.screen.frame("x" * 2_000_000, None))) == []
    assert house.account.state() is ExposureState.STOPPED


def test_other_bodies_count_once_the_days_overhead_is_used(house: House) -> None:
    asyncio.run(house.screen.other(64_000_000))
    assert house.account.state() is ExposureState.OK
    asyncio.run(house.screen.other(1_000_001))
    assert house.account.state() is ExposureState.SLOWED
    assert house.slept


def test_a_restart_goes_on_counting_and_records_what_was_due(house: House) -> None:
    house.show(900_000)
    house.turn()
    assert house.types() == []
    house.restart()
    assert (house.account.shown.bytes, house.account.state()) == (900_000, ExposureState.WARNED)
    house.turn(RECORD_SECONDS + 1)
    assert house.types() == ["workspace:exposure-warned", "screen:shown"]


def test_a_stop_survives_a_restart_and_a_wider_permit_lifts_it(house: House) -> None:
    house.show(1_600_000)
    house.turn()
    house.restart()
    assert house.account.state() is ExposureState.STOPPED
    house.budget = Budget(10_000_000, 10_000)
    assert house.account.state() is ExposureState.OK
    assert "Not shown" not in str(house.show(1000))


def test_a_new_day_begins_with_nothing(house: House) -> None:
    house.show(1_400_000)
    house.day += timedelta(days=1)
    assert house.account.state() is ExposureState.OK
    house.show(1000)
    assert house.account.shown.bytes == 1000
    house.turn(last=True)
    shown = [event for event in house.records if event.type == "screen:shown"]
    assert [(event.data["day"], event.counts["bytes"]) for event in shown] == [
        ("2026-11-26", 1_400_000),
        ("2026-11-27", 1000),
    ]


def test_a_clock_set_back_over_midnight_has_every_byte_recorded_once(house: House) -> None:
    for days, size in ((0, 1000), (1, 2000), (-1, 4000)):
        house.day += timedelta(days=days)
        house.show(size)
    house.turn(last=True)
    house.turn(last=True)
    assert [(event.data["day"], event.counts["bytes"]) for event in house.records] == [
        ("2026-11-26", 5000),
        ("2026-11-27", 2000),
    ]


def test_volumes_are_recorded_every_five_minutes_and_after_a_session(house: House) -> None:
    house.account.sockets = 1
    house.show(5000)
    house.turn(100)
    assert house.types() == []
    house.turn(RECORD_SECONDS)
    house.show(7000)
    house.account.sockets = 0
    house.turn(61)
    first, second = house.records
    assert first.counts == {"bytes": 5000, "rows": 1, "messages": 1, "overhead": 0}
    assert second.counts["bytes"] == 7000
    assert first.data["digest"] != second.data["digest"]
    assert "xxxx" not in str(house.records), "volumes and digests, never contents"
    house.turn(1000)
    assert len(house.records) == 2


def test_a_record_that_nobody_takes_stays_due(house: House) -> None:
    house.show(1_200_000)
    house.log_is_away = True
    house.turn(1000)
    house.restart()
    assert house.records == []
    house.log_is_away = False
    house.turn(1000)
    assert house.types() == ["workspace:exposure-slowed", "screen:shown"]
    assert house.records[1].counts["bytes"] == 1_200_000


def test_an_account_whose_record_nobody_foresaw_keeps_no_other_one_waiting(house: House) -> None:
    record = house.record

    def never_alices(event: AuditEvent) -> None:
        if event.counts["bytes"] == 1000:
            raise ValueError("no record has this form")
        record(event)

    house.record = never_alices  # type: ignore[method-assign]
    house.restart()
    house.show(1000)
    house.meter.account("bob", "study-one").add(Volume(5000, 1, 1), "x")
    house.turn(last=True)
    assert [event.counts["bytes"] for event in house.records] == [5000]
    house.turn()
    assert house.account.path.exists(), "and hers is kept"


def test_a_damaged_file_counts_as_nothing(house: House) -> None:
    house.show(1000)
    house.turn()
    house.account.path.write_text("{")
    house.restart()
    assert house.account.shown.bytes == 0


def test_names_that_no_workspace_has_are_refused(house: House) -> None:
    for user, project in (("../x", "study-one"), ("alice", "../../x"), ("", ""), ("alice", "")):
        with pytest.raises(ValueError, match="names"):
            house.meter.account(user, project)
