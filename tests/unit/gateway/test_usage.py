"""The daily caps of a permit: counted per person, project and day, over restarts of the front."""

from __future__ import annotations

import os
import subprocess
import sys
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


def test_fronts_over_one_folder_count_together(tmp_path: Path) -> None:
    first, second = DailyUsage(tmp_path, lambda: DAY), DailyUsage(tmp_path, lambda: DAY)
    send(first, 40)
    send(second, 50)
    assert first.sent_today(HEART, ALICE).rows == 90
    with pytest.raises(DailyCapError, match="10 are left"):
        send(first, 11)
    send(second, 10)
    with pytest.raises(DailyCapError, match="none are left"):
        first.begin(HEART, ALICE, CAPS)


_HAMMER = """
import sys
from datetime import date
from pathlib import Path
from enclave.domain.permits import QueryCaps
from enclave.gateway.usage import DailyCapError, DailyUsage
usage, sent = DailyUsage(Path(sys.argv[1]), lambda: date(2026, 11, 22)), 0
try:
    while True:
        usage.add("heart-study", "u-000000000001", 3, 1, QueryCaps(rows_per_day=2000, bytes_per_day=10**9))
        sent += 3
except DailyCapError:
    print(sent)
"""


def test_processes_that_send_at_the_same_time_never_exceed_the_cap_together(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HAMMER, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    sent = [int(process.communicate(timeout=120)[0]) for process in running]
    assert sum(sent) == 1998, "as many threes as fit into 2000"
    assert DailyUsage(tmp_path, lambda: DAY).sent_today(HEART, ALICE).rows == 1998


def test_while_the_file_cannot_be_reached_a_front_counts_for_itself_and_writes_it_later(tmp_path: Path) -> None:
    usage = DailyUsage(tmp_path, lambda: DAY)
    send(usage, 30)
    file = tmp_path / HEART / f"{ALICE}.json"
    kept = file.rename(tmp_path / "kept")
    file.mkdir()
    usage.add(HEART, ALICE, 40, 10, CAPS)
    with pytest.raises(DailyCapError, match="30 are left"):
        usage.add(HEART, ALICE, 31, 10, CAPS)
    with pytest.raises(OSError, match="directory"):
        usage.end(HEART, ALICE)
    file.rmdir()
    kept.rename(file)
    usage.end(HEART, ALICE)
    assert DailyUsage(tmp_path, lambda: DAY).sent_today(HEART, ALICE) == Sent(DAY, 70, 20)


def test_a_damaged_file_counts_as_nothing_and_is_replaced(tmp_path: Path) -> None:
    (tmp_path / HEART).mkdir()
    (tmp_path / HEART / f"{ALICE}.json").write_text("{")
    usage = DailyUsage(tmp_path, lambda: DAY)
    send(usage, 5)
    assert DailyUsage(tmp_path, lambda: DAY).sent_today(HEART, ALICE).rows == 5


def test_a_count_that_hides_behind_the_kernel_s_clock_is_seen_before_anything_leaves(tmp_path: Path) -> None:
    first, second = DailyUsage(tmp_path, lambda: DAY), DailyUsage(tmp_path, lambda: DAY)
    send(first, 40)
    file = tmp_path / HEART / f"{ALICE}.json"
    before = file.stat().st_mtime_ns
    send(second, 59, size=9)
    assert len(f"{40}{10}") == len(f"{99}{19}"), "the file keeps its length"
    os.utime(file, ns=(before, before))
    first.begin(HEART, ALICE, CAPS)
    with pytest.raises(DailyCapError, match="1 are left"):
        first.add(HEART, ALICE, 2, 1, CAPS)
    first.add(HEART, ALICE, 1, 1, CAPS)
    with pytest.raises(DailyCapError, match="none are left"):
        first.begin(HEART, ALICE, CAPS)


def test_a_file_that_has_not_changed_is_not_read_for_a_new_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = DailyUsage(tmp_path, lambda: DAY)
    send(usage, 40)
    monkeypatch.setattr("enclave.gateway.usage.locked", None)
    usage.begin(HEART, ALICE, CAPS)
