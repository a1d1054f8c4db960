"""Off-hours: fires / just below does not / what it does not see."""

from dataclasses import replace
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from record_table import NOW, found, record

RULE = "off-hours"
PARIS = ZoneInfo("Europe/Paris")


def activities(at: datetime, number: int = 20, kind: str = "query:intent", actor: str = "u-1"):
    return [record(at + timedelta(seconds=second), kind, actor, project="p-1") for second in range(number)]


def paris(*place: int) -> datetime:
    return datetime(*place, tzinfo=PARIS)


def test_a_night_of_work(thresholds):
    (alert,) = found(activities(paris(2026, 11, 17, 23, 30)), RULE, thresholds)
    assert (alert.actor, alert.facts["activities"], alert.facts["queries"]) == ("u-1", 20, 20)
    assert alert.facts["day"] == "2026-11-17"


def test_one_less_is_now_and_then(thresholds):
    assert found(activities(paris(2026, 11, 17, 23, 30), 19), RULE, thresholds) == []


@pytest.mark.parametrize(
    ("at", "fires"),
    [
        (paris(2026, 11, 17, 6, 59), True),
        (paris(2026, 11, 17, 7, 0), False),
        (paris(2026, 11, 17, 19, 59), False),
        (paris(2026, 11, 17, 20, 0), True),
        (paris(2026, 11, 14, 12, 0), True),  # Saturday
        (paris(2026, 11, 15, 12, 0), True),  # Sunday
        (paris(2026, 11, 16, 12, 0), False),  # Monday
        (paris(2026, 10, 23, 19, 30), False),  # summer time: 17:30 UTC
        (paris(2026, 10, 26, 19, 30), False),  # winter time: 18:30 UTC
        (paris(2026, 10, 23, 6, 30), True),  # summer time: 4:30 UTC
        (paris(2026, 10, 26, 6, 30), True),  # winter time: 5:30 UTC
    ],
)
def test_hours_and_days_are_the_sites(at, fires, thresholds):
    assert bool(found(activities(at), RULE, thresholds)) is fires


def test_another_site_another_clock(thresholds):
    there = replace(thresholds, site=replace(thresholds.site, time_zone=ZoneInfo("Indian/Reunion")))
    noon_in_paris = activities(paris(2026, 11, 17, 18, 0))
    assert found(noon_in_paris, RULE, thresholds) == []
    assert len(found(noon_in_paris, RULE, there)) == 1


def test_hours_can_be_set(thresholds):
    wide = replace(thresholds, off_hours=replace(thresholds.off_hours, opens=time(5), closes=time(23, 59)))
    assert found(activities(paris(2026, 11, 17, 23, 30)), RULE, wide) == []


def test_a_result_is_not_a_second_activity(thresholds):
    at = paris(2026, 11, 17, 23)
    assert found([*activities(at, 10), *activities(at, 10, "query:outcome")], RULE, thresholds) == []


def test_the_system_never_sleeps(thresholds):
    assert found(activities(paris(2026, 11, 17, 3), 50, "audit:heartbeat", "system:audit"), RULE, thresholds) == []


def test_blind_spot_a_night_past_midnight_is_two_days(thresholds):
    late, early = activities(paris(2026, 11, 16, 23, 59), 15), activities(paris(2026, 11, 17, 0, 1), 15)
    assert found([*late, *early], RULE, thresholds) == []


def test_blind_spot_a_public_holiday_is_an_ordinary_day(thresholds):
    assert found(activities(paris(2026, 11, 11, 12)), RULE, thresholds) == []


def test_now_is_the_end(thresholds):
    assert found(activities(NOW + timedelta(hours=10)), RULE, thresholds) == []
