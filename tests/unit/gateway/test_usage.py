"""The daily caps of a permit: counted per person, project and day, over restarts of the front."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from enclave.domain.ids import PersonId, ProjectId
from enclave.domain.permits import QueryCaps
from enclave.gateway.usage import DailyCapError, DailyUsage, Sent

HEART, LUNG = ProjectId("heart-study"), ProjectId("lung-study")
ALICE, BOB = PersonId("u-000000000001"), PersonId("u-000000000002")
CAPS = QueryCaps(rows_per_day=100, bytes_per_day=1000)
DAY = date(2026, 11, 22)


def send(usage: DailyUsage, rows: int, size: int = 10, person: PersonId = ALICE, project: ProjectId = HEART) -> None:
    usage.begin(project, person, CAPS)
    try:
        usage.add(project, person, rows, size, CAPS)
    finally:
        usage.end(project, person)


def test_a_query_that_does_not_fit_is_stopped_and_told_what_is_left(tmp_path: Path) -> None:
    usage = DailyUsage(tmp_path, lambda: DAY)
    send(usage, 70)
    with pytest.raises(DailyCapError, match="allows 100 rows per person and day; 30 are left today"):
        send(usage, 31)
    send(usage, 30)
    with pytest.raises(DailyCapError, match="you have been sent 100 today, so none are left"):
        send(usage, 1)


def test_bytes_are_capped_like_rows(tmp_path: Path) -> None:
    usage = DailyUsage(tmp_path, lambda: DAY)
    with pytest.raises(DailyCapError, match="1000 bytes per person and day; 1000 are left"):
        send(usage, 1, size=1001)


def test_people_and_projects_are_counted_apart(tmp_path: Path) -> None:
    usage = DailyUsage(tmp_path, lambda: DAY)
    send(usage, 100)
    send(usage, 100, person=BOB)
    send(usage, 100, project=LUNG)
    assert usage.sent_today(HEART, BOB) == Sent(DAY, 100, 10)


def test_a_restarted_front_goes_on_counting_and_a_new_day_begins_at_nothing(tmp_path: Path) -> None:
    send(DailyUsage(tmp_path, lambda: DAY), 90)
    again = DailyUsage(tmp_path, lambda: DAY)
    with pytest.raises(DailyCapError, match="10 are left"):
        send(again, 11)
    assert DailyUsage(tmp_path, lambda: date(2026, 11, 23)).sent_today(HEART, ALICE) == Sent(date(2026, 11, 23))


def test_a_damaged_file_counts_as_nothing_and_is_replaced(tmp_path: Path) -> None:
    (tmp_path / HEART).mkdir()
    (tmp_path / HEART / f"{ALICE}.json").write_text("{")
    usage = DailyUsage(tmp_path, lambda: DAY)
    send(usage, 5)
    assert DailyUsage(tmp_path, lambda: DAY).sent_today(HEART, ALICE).rows == 5
