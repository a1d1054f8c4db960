"""Shifting filters: fires / just below does not / what it does not see."""

from datetime import timedelta

from record_table import NOW, found, record

RULE = "shifting-filters"


def intents(number: int, template: str | None = "t-1", **columns):
    given = {"project": "p-1", "template": template, **columns}
    return [record(NOW - timedelta(minutes=minute), "query:intent", **given) for minute in range(number)]


def test_one_template_over_and_over(thresholds):
    (alert,) = found(intents(51), RULE, thresholds)
    assert (alert.actor, alert.project, alert.facts["template"], alert.facts["repeats"]) == ("u-1", "p-1", "t-1", 51)
    assert len(alert.records) == 20
    assert alert.records[0] == 50, "the newest first"


def test_fifty_are_ordinary(thresholds):
    assert found(intents(50), RULE, thresholds) == []


def test_templates_persons_and_days_are_counted_apart(thresholds):
    assert found([*intents(50), *intents(50, "t-2"), *intents(50, actor="u-2")], RULE, thresholds) == []
    yesterday = [{**row, "at": row["at"] - timedelta(days=1)} for row in intents(50)]
    assert found([*intents(50), *yesterday], RULE, thresholds) == []


def test_each_template_is_an_alert_of_its_own(thresholds):
    alerts = found([*intents(51), *intents(60, "t-2")], RULE, thresholds)
    assert len({alert.key for alert in alerts}) == 2


def test_blind_spot_a_statement_rewritten_each_time(thresholds):
    rows = [row for number in range(80) for row in intents(1, f"t-{number}")]
    assert found([*rows, *intents(60, None)], RULE, thresholds) == []
