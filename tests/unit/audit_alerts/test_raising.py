"""Which alerts are recorded: each once, most severe first, fairly, and never a flood."""

from dataclasses import replace
from datetime import timedelta

import pytest
from record_table import NOW, days_ago, outcome, record, table

from audit.alerts import Alert, Severity, evaluate, load_thresholds
from audit.alerts.model import alert_key
from audit.alerts.raising import choose, raised_event, raised_keys
from audit.event import check_event

SITE = load_thresholds().site
FEW = replace(load_thresholds(), site=replace(SITE, alerts_per_evaluation=5, alerts_per_day=8))


def alert(number: int, actor: str = "u-1", severity: Severity = Severity.MEDIUM, minutes: int = 0) -> Alert:
    at = NOW - timedelta(minutes=minutes)
    key = alert_key("off-hours", [actor, str(number)])
    return Alert(
        "off-hours", key, actor, "p-1", severity, at, at, (number,), {"day": "2026-11-18"}, "off-hours/activity"
    )


def test_few_alerts_are_all_recorded():
    new = [alert(number) for number in range(5)]
    assert {found.key for found in choose(new, 0, FEW, NOW)} == {found.key for found in new}


def test_many_alerts_are_cut_with_one_that_says_so():
    chosen = choose([alert(number) for number in range(1000)], 0, FEW, NOW)
    assert len(chosen) == 6
    assert chosen[-1].sentence_id == "log-health/alerts-withheld"
    assert chosen[-1].facts == {"day": "2026-11-18", "withheld": 995, "recorded": 5}


def test_the_day_has_a_limit_too():
    assert len(choose([alert(number) for number in range(1000)], 6, FEW, NOW)) == 3
    (only,) = choose([alert(number) for number in range(1000)], 8, FEW, NOW)
    assert only.facts["withheld"] == 1000


def test_the_summary_has_one_key_a_day():
    keys = {choose([alert(1), alert(2)], 8, FEW, NOW + timedelta(minutes=minute))[-1].key for minute in range(60)}
    assert len(keys) == 1
    assert choose([alert(1)], 8, FEW, NOW + timedelta(days=1))[-1].key not in keys


def test_critical_alerts_have_no_daily_limit_and_come_first():
    new = [alert(number) for number in range(50)] + [alert(99, severity=Severity.CRITICAL)]
    chosen = choose(new, 8, FEW, NOW)
    assert [found.severity for found in chosen] == ["critical", "critical"]
    assert chosen[0].records == (99,)


def test_nobody_hides_one_alert_behind_many_of_their_own():
    flood = [alert(number, "u-flood") for number in range(100)]
    quiet = [alert(1, "u-quiet", minutes=500), alert(2, "u-other", minutes=600)]
    assert {"u-quiet", "u-other", "u-flood"} == {found.actor for found in choose(flood + quiet, 0, FEW, NOW)[:3]}


def test_the_record_of_an_alert():
    with table([outcome(NOW, rows=10**6, bytes=5) for _ in range(3)]) as connection:
        (found,) = evaluate(connection, load_thresholds(), NOW)
    event = raised_event(found)
    check_event(event)
    assert (event.type, event.actor, event.subject, event.project) == (
        "alert:raised",
        "system:alerts",
        f"alert:{found.key}",
        "p-1",
    )
    assert event.counts["rows"] == 3_000_000
    assert event.data["rule"] == "mass-extraction"
    assert event.data["actor"] == "u-1"
    assert event.data["severity"] == "high"
    assert sorted(event.data["records"]) == ["0", "1", "2"]
    assert event.data["day"] == "2026-11-18"


def test_what_was_raised_is_read_back(thresholds):
    rows = [
        record(days_ago(days), "alert:raised", "system:alerts", subject=f"alert:k-{days}", data={"severity": severity})
        for days, severity in ((3, "high"), (0.5, "high"), (0.2, "low"), (0.1, "critical"))
    ]
    with table(rows) as connection:
        assert raised_keys(connection, NOW) == ({"k-3", "k-0.5", "k-0.2", "k-0.1"}, 2)


@pytest.mark.parametrize("name", ["rule", "actor", "records"])
def test_a_textual_fact_never_takes_the_place_of_a_field(name):
    found = replace(alert(1), facts={name: "x", "day": "2026-11-18"})
    assert raised_event(found).data[name] == raised_event(alert(1)).data[name]
