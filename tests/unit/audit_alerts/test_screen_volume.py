"""Screen volume: fires / just below does not / what it does not see."""

from record_table import NOW, days_ago, found, record

RULE = "screen-volume"


def shown(bytes: int | None, days: float = 0, actor: str = "u-1", rows: int = 7):
    return record(days_ago(days), "screen:shown", actor, project="p-1", bytes=bytes, rows=rows)


def test_more_than_twenty_megabytes_in_a_day(thresholds):
    (alert,) = found([shown(10_000_000), shown(10_000_001)], RULE, thresholds)
    assert (alert.actor, alert.project, alert.facts["bytes"], alert.facts["rows"]) == ("u-1", "p-1", 20_000_001, 14)
    assert (alert.facts["showings"], alert.records) == (2, (1, 0))


def test_twenty_megabytes_are_allowed(thresholds):
    assert found([shown(10_000_000), shown(10_000_000), shown(None)], RULE, thresholds) == []


def test_persons_and_days_are_counted_apart(thresholds):
    assert found([shown(15_000_000), shown(15_000_000, 1), shown(15_000_000, actor="u-2")], RULE, thresholds) == []


def test_only_what_was_shown(thresholds):
    assert found([record(NOW, "query:outcome", bytes=10**9)], RULE, thresholds) == []


def test_blind_spot_slow_reading(thresholds):
    assert found([shown(19_000_000, days) for days in range(20)], RULE, thresholds) == []
