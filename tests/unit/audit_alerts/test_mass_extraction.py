"""Mass extraction: fires / just below does not / what it does not see."""

from datetime import timedelta

from record_table import NOW, days_ago, found, outcome

RULE = "mass-extraction"


def past(rows: int, days: int = 10, actor: str = "u-1", bytes: int = 1000):
    return [outcome(days_ago(day), actor, rows=rows, bytes=bytes) for day in range(1, days + 1)]


def test_more_than_ten_times_the_own_median(thresholds):
    rows = [*past(20_000), outcome(NOW, rows=150_000, bytes=1), outcome(NOW, rows=50_001, bytes=1)]
    (alert,) = found(rows, RULE, thresholds)
    assert (alert.actor, alert.project, alert.sentence_id) == ("u-1", "p-1", "mass-extraction/own-past")
    assert alert.facts["rows"] == 200_001
    assert (alert.facts["usual_rows"], alert.facts["active_days"], alert.facts["day"]) == (20_000, 10, "2026-11-18")
    assert alert.records == (10, 11), "the largest first"
    assert alert.first_at == alert.last_at == NOW


def test_exactly_ten_times_is_not_more(thresholds):
    assert found([*past(20_000), outcome(NOW, rows=200_000, bytes=1)], RULE, thresholds) == []


def test_below_the_floor_nothing_is_a_mass(thresholds):
    assert found([*past(10), outcome(NOW, rows=100_000, bytes=1)], RULE, thresholds) == []
    assert len(found([*past(10), outcome(NOW, rows=100_001, bytes=1)], RULE, thresholds)) == 1


def test_bytes_count_as_rows_do(thresholds):
    wide = [*past(5, bytes=1_000_000), outcome(NOW, rows=5, bytes=50_000_001)]
    (alert,) = found(wide, RULE, thresholds)
    assert alert.facts["bytes"] == 50_000_001
    assert found([*past(5, bytes=6_000_000), outcome(NOW, rows=5, bytes=50_000_001)], RULE, thresholds) == []


def test_one_large_day_before_hides_nothing(thresholds):
    rows = [*past(20_000, 9), outcome(days_ago(10), rows=90_000_000, bytes=1), outcome(NOW, rows=200_001, bytes=1)]
    assert [alert.facts["day"] for alert in found(rows, RULE, thresholds)] == ["2026-11-08", "2026-11-18"]


def test_a_newcomer_has_a_limit_of_their_own(thresholds):
    assert found([*past(10, 4), outcome(NOW, rows=500_000, bytes=1)], RULE, thresholds) == []
    (alert,) = found([*past(10, 4), outcome(NOW, rows=500_001, bytes=1)], RULE, thresholds)
    assert alert.sentence_id == "mass-extraction/newcomer"
    assert alert.facts["active_days"] == 4


def test_the_past_is_thirty_days_long(thresholds):
    old = [outcome(days_ago(day), rows=90_000, bytes=1) for day in range(31, 41)]
    (alert,) = found([*old, outcome(NOW, rows=500_001, bytes=1)], RULE, thresholds)
    assert alert.facts["active_days"] == 0


def test_other_peoples_past_does_not_count(thresholds):
    rows = [*past(10_000_000, actor="u-2"), *past(1000), outcome(NOW, rows=100_001, bytes=1)]
    assert {alert.actor for alert in found(rows, RULE, thresholds) if alert.facts["day"] == "2026-11-18"} == {"u-1"}


def test_two_projects_leave_the_project_open(thresholds):
    rows = [*past(10), outcome(NOW, rows=100_001), outcome(NOW, rows=1, project="p-2")]
    assert found(rows, RULE, thresholds)[0].project is None


def test_system_processes_are_no_persons(thresholds):
    assert (
        found([outcome(NOW, "system:canary", rows=10**9), outcome(NOW, "unknown", rows=10**9)], RULE, thresholds) == []
    )


def test_blind_spot_extraction_spread_evenly_becomes_the_own_past(thresholds):
    assert found([*past(400_000, 29), outcome(NOW, rows=400_000)], RULE, thresholds) == []


def test_evidence_is_bounded(thresholds):
    rows = [outcome(NOW - timedelta(seconds=second), rows=100_000 + second) for second in range(60)]
    (alert,) = found(rows, RULE, thresholds)
    assert len(alert.records) == 20
    assert alert.records[0] == 0, "the largest is the oldest here"
