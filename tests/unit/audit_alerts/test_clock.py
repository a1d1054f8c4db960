"""Local days: the arithmetic in SQL against zoneinfo."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.alerts.clock import day_date, naive, span_of
from audit.alerts.thresholds import load_thresholds

NOW = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)
EPOCH, SPRING, AUTUMN = (
    naive(datetime(*day, tzinfo=UTC)) for day in ((1970, 1, 1), (2026, 3, 29, 1), (2026, 10, 25, 1))
)
ZONES = ["Europe/Paris", "America/St_Johns", "Australia/Lord_Howe", "Indian/Reunion", "UTC", "Pacific/Apia"]


def span(zone: str, now: datetime = NOW, days: int = 300):
    shipped = load_thresholds()
    return span_of(replace(shipped, site=replace(shipped.site, time_zone=ZoneInfo(zone), lookback_days=days)), now)


@settings(max_examples=80, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    moments=st.lists(
        st.integers(0, 620 * 86_400).map(lambda seconds: naive(NOW) - timedelta(seconds=seconds)),
        min_size=1,
        max_size=20,
    ),
)
def test_the_local_day_is_that_of_zoneinfo(zone, moments):
    with duckdb.connect() as connection:
        connection.execute('CREATE TABLE times ("at" TIMESTAMP)')
        connection.executemany("INSERT INTO times VALUES (?)", [[moment] for moment in moments])
        days = connection.execute(f'SELECT "at", {span(zone).day} FROM times').fetchall()
    for moment, day in days:
        assert day_date(day) == moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).date()


@pytest.mark.parametrize("zone", ZONES)
def test_the_change_of_clocks_to_the_second(zone):
    moments = [SPRING + timedelta(seconds=second) for second in range(-2, 3)]
    moments += [AUTUMN + timedelta(seconds=second) for second in range(-2, 3)]
    with duckdb.connect() as connection:
        for moment in moments:
            local = connection.execute(f'SELECT {span(zone).local_us} FROM (SELECT ? AS "at")', [moment]).fetchall()[0][
                0
            ]
            offset = moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).utcoffset()
            assert EPOCH + timedelta(microseconds=local) == moment + offset


def test_the_span_begins_at_a_local_midnight():
    found = span("Europe/Paris", days=30)
    assert found.start == datetime(2026, 10, 18, 22, 0, tzinfo=UTC), "summer time"
    assert day_date(found.start_day).isoformat() == "2026-10-19"
    assert found.midnight(200) == naive(datetime(2026, 4, 2, 0, 0, tzinfo=ZoneInfo("Europe/Paris")))


def test_a_time_without_zone_is_refused():
    with pytest.raises(ValueError, match="aware"):
        span("UTC", NOW.replace(tzinfo=None))
