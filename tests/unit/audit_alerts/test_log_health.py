"""Log health: each trouble fires / just below does not / what it does not see."""

from datetime import timedelta

from record_table import NOW, days_ago, found, record

RULE = "log-health"
AUDIT = "system:audit"


def witness(kind: str, minutes_ago: float, name: str = "w-1"):
    return record(NOW - timedelta(minutes=minutes_ago), f"witness:{kind}", AUDIT, data={"name": name})


def canary(due_minutes_ago: float, template: str = "t-canary"):
    due = NOW - timedelta(minutes=due_minutes_ago)
    data = {"template_sha256": template, "due": due.strftime("%Y-%m-%dT%H:%M:%SZ"), "by": "u-auditor"}
    return record(
        due - timedelta(hours=5), "canary:scheduled", "u-auditor", subject="canary:1", project="p-1", data=data
    )


def ran(minutes_ago: float, **columns):
    given = {"project": "p-1", "template": "t-canary", **columns}
    return record(NOW - timedelta(minutes=minutes_ago), "query:intent", **given)


def kinds(rows, thresholds):
    return [alert.sentence_id.removeprefix("log-health/") for alert in found(rows, RULE, thresholds)]


def test_a_full_log_one_alert_a_day(thresholds):
    full = [record(days_ago(days), "audit:log-full", AUDIT) for days in (0, 0.01, 1)]
    alerts = found(full, RULE, thresholds)
    assert sorted((alert.facts["day"], alert.facts["times"]) for alert in alerts) == [
        ("2026-11-17", 1),
        ("2026-11-18", 2),
    ]
    assert {alert.severity for alert in alerts} == {"critical"}


def test_a_clock_that_jumped(thresholds):
    def jump(seconds):
        return record(NOW, "audit:clock-jumped", AUDIT, counts={"seconds": seconds})

    assert kinds([jump(5)], thresholds) == []
    assert kinds([jump(5), jump(6)], thresholds) == ["clock-jumped"]


def test_a_jump_of_unknown_size_counts(thresholds):
    assert kinds([record(NOW, "audit:clock-jumped", AUDIT)], thresholds) == ["clock-jumped"]


def test_a_witness_away_for_more_than_an_hour(thresholds):
    assert kinds([witness("lost", 60)], thresholds) == []
    (alert,) = found([witness("lost", 61)], RULE, thresholds)
    assert (alert.facts["witness"], alert.facts["minutes"]) == ("w-1", 61)


def test_a_witness_that_came_back(thresholds):
    assert kinds([witness("lost", 300), witness("back", 245)], thresholds) == []
    (alert,) = found([witness("lost", 300), witness("back", 200), witness("lost", 10)], RULE, thresholds)
    assert (alert.facts["minutes"], alert.records) == (100, (0, 1))


def test_witnesses_are_watched_apart(thresholds):
    rows = [witness("lost", 300), witness("back", 290, "w-2")]
    assert [alert.facts["witness"] for alert in found(rows, RULE, thresholds)] == ["w-1"]


def test_lost_twice_without_coming_back_is_one_absence(thresholds):
    assert kinds([witness("lost", 300), witness("lost", 200)], thresholds) == ["witness-lost"]


def test_a_canary_that_never_sang(thresholds):
    (alert,) = found([canary(61)], RULE, thresholds)
    assert (alert.project, alert.facts["canary"], alert.severity) == ("p-1", "canary:1", "critical")
    assert kinds([canary(59)], thresholds) == [], "still within its time"


def test_a_canary_in_the_log(thresholds):
    assert kinds([canary(61), ran(61)], thresholds) == []
    assert kinds([canary(120), ran(60)], thresholds) == [], "late but within its time"


def test_a_canary_too_late_too_early_or_elsewhere_is_missing(thresholds):
    for wrong in (ran(50), ran(61 + 301), ran(61, project="p-2"), ran(61, template="t-other")):
        assert kinds([canary(120) if wrong["at"] > NOW - timedelta(minutes=55) else canary(61), wrong], thresholds) == [
            "canary-missing"
        ]


def test_blind_spot_anybodys_query_with_the_template_is_the_canary(thresholds):
    assert kinds([canary(61), ran(61, actor="u-9")], thresholds) == []


def test_blind_spot_a_log_that_stands_still_says_nothing(thresholds):
    assert kinds([record(days_ago(5), "audit:heartbeat", AUDIT)], thresholds) == []
