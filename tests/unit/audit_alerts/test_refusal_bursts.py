"""Refusal bursts: fires / just below does not / what it does not see; the sliding window against plain Python."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_table import NOW, found, record

from audit.alerts.thresholds import load_thresholds

RULE = "refusal-bursts"
PARIS = ZoneInfo("Europe/Paris")


def refusals(number: int, every: timedelta = timedelta(seconds=10), kind: str = "query:refused", actor: str = "u-1"):
    return [record(NOW - every * place, kind, actor, decision="deny", project="p-1") for place in range(number)]


def test_ten_in_ten_minutes(thresholds):
    (alert,) = found(refusals(10), RULE, thresholds)
    assert (alert.actor, alert.facts["refusals"], alert.facts["queries"], alert.facts["minutes"]) == ("u-1", 10, 10, 10)


def test_nine_are_not_a_burst(thresholds):
    assert found(refusals(9), RULE, thresholds) == []


def test_the_window_slides(thresholds):
    assert len(found(refusals(10, timedelta(seconds=66)), RULE, thresholds)) == 1
    assert found(refusals(10, timedelta(seconds=67)), RULE, thresholds) == []


@pytest.mark.parametrize(
    "kind", ["query:refused", "token:refused", "login:refused", "action:refused", "output-request:refused"]
)
def test_every_kind_of_refusal_counts(kind, thresholds):
    assert len(found([*refusals(5, kind=kind), *refusals(5, kind="workspace:refused")], RULE, thresholds)) == 1


def test_a_refusal_without_decision_counts_and_a_denied_record_of_any_kind(thresholds):
    silent = [{**row, "decision": None} for row in refusals(10)]
    assert len(found(silent, RULE, thresholds)) == 1
    assert len(found(refusals(10, kind="application:submitted"), RULE, thresholds)) == 1


def test_persons_are_counted_apart(thresholds):
    assert found([*refusals(9), *refusals(9, actor="u-2")], RULE, thresholds) == []


def test_guessing_has_no_name_but_counts(thresholds):
    alerts = found([*refusals(10, actor="unknown"), *refusals(10, actor="system:portal")], RULE, thresholds)
    assert {alert.actor for alert in alerts} == {"unknown", "system:portal"}


def test_blind_spot_slow_attempts(thresholds):
    assert found(refusals(200, timedelta(minutes=2)), RULE, thresholds) == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3 * 24 * 60), max_size=60))
def test_same_days_as_plain_python(minutes_ago):
    thresholds = load_thresholds()
    times = sorted(NOW - timedelta(minutes=minutes) for minutes in minutes_ago)
    expected = {
        time.astimezone(PARIS).date().isoformat()
        for time in times
        if sum(time - timedelta(minutes=10) <= other <= time for other in times) >= 10
    }
    alerts = found([record(time, "query:refused", decision="deny") for time in times], RULE, thresholds)
    assert {alert.facts["day"] for alert in alerts} == expected
