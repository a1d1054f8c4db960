"""Open or muted, as the log's own records say."""

from datetime import timedelta

import pytest
from record_table import NOW, days_ago, record, table

from audit.alerts import MuteReason, MuteRefused, Status, muted_rules, state
from audit.alerts.muting import check_target, check_text, mute
from audit.event import timestamp

KEY = "off-hours-0123456789abcdef0123"


def raised(days: float = 5, key: str = KEY, actor: str = "u-1", rule: str = "off-hours", severity: str = "low"):
    data = {
        "rule": rule,
        "actor": actor,
        "severity": severity,
        "records": ["4", "7"],
        "sentence": "off-hours/activity",
        "first_at": "2026-11-13T12:00:00.000Z",
        "last_at": "2026-11-13T13:00:00.000Z",
        "day": "2026-11-13",
    }
    subject, counts = f"alert:{key}", {"activities": 30}
    return record(
        days_ago(days), "alert:raised", "system:alerts", subject=subject, project="p-1", data=data, counts=counts
    )


def muted(days: float, target: str = f"alert:{KEY}", by: str = "u-auditor", until=None, reason: str = "other"):
    data = {"reason": reason, "by": by, "until": timestamp(until) if until else ""}
    return record(days_ago(days), "alert:muted", by, subject=target, data=data)


def unmuted(days: float, target: str = f"alert:{KEY}"):
    return record(days_ago(days), "alert:unmuted", "u-auditor", subject=target, data={"by": "u-auditor"})


def states(*rows, now=NOW):
    with table(list(rows)) as connection:
        return state(connection, now)


def test_a_raised_alert_is_open():
    (found,) = states(raised())
    assert (found.key, found.rule, found.actor, found.project, found.status) == (
        KEY,
        "off-hours",
        "u-1",
        "p-1",
        Status.OPEN,
    )
    assert (found.records, found.facts) == ((4, 7), {"day": "2026-11-13", "activities": 30})
    assert found.first_at < found.last_at
    assert found.raised_at == days_ago(5)
    assert found.mute is None


def test_newest_first_and_each_once():
    found = states(raised(5), raised(4, "off-hours-b"), raised(3))
    assert [alert.key for alert in found] == ["off-hours-b", KEY]
    assert found[1].raised_at == days_ago(5)


def test_muted_until_a_time_and_then_open_again():
    until = NOW + timedelta(days=1)
    rows = (raised(), muted(2, until=until, reason="known-analysis"))
    (found,) = states(*rows)
    assert found.status is Status.MUTED
    assert (found.mute.by, found.mute.reason, found.mute.until) == ("u-auditor", MuteReason.KNOWN_ANALYSIS, until)
    assert states(*rows, now=until)[0].status is Status.OPEN


def test_muted_for_ever_until_unmuted():
    assert states(raised(), muted(2))[0].status is Status.MUTED_FOR_EVER
    assert states(raised(), muted(2), unmuted(1))[0].status is Status.OPEN
    assert states(raised(), muted(2), unmuted(1), muted(0.5))[0].status is Status.MUTED_FOR_EVER


def test_a_muted_rule_mutes_its_alerts_before_and_after():
    target = "rule:off-hours"
    rows = (raised(5), muted(3, target), raised(1, "off-hours-b"), raised(1, "differencing-c", rule="differencing"))
    assert [found.status for found in states(*rows)] == [Status.OPEN, Status.MUTED_FOR_EVER, Status.MUTED_FOR_EVER]
    with table(list(rows)) as connection:
        assert muted_rules(connection, NOW)["off-hours"].by == "u-auditor"
        assert muted_rules(connection, days_ago(4)) == {}


def test_unmuting_the_alert_leaves_the_rule_muted():
    assert states(raised(), muted(3, "rule:off-hours"), unmuted(1))[0].status is Status.MUTED_FOR_EVER


def test_the_longer_of_two_mutes_holds():
    soon, later = NOW + timedelta(days=1), NOW + timedelta(days=9)
    (found,) = states(raised(), muted(3, "rule:off-hours", until=later), muted(2, until=soon))
    assert found.mute.until == later


def test_nobody_mutes_in_advance():
    assert states(muted(6), raised(5))[0].status is Status.OPEN


def test_nobody_mutes_an_alert_about_themselves():
    assert states(raised(), muted(2, by="u-1"))[0].status is Status.OPEN
    assert states(raised(), muted(2, "rule:off-hours", by="u-1"))[0].status is Status.OPEN


def test_a_mute_without_a_reason_does_not_count():
    assert states(raised(), muted(2, reason=""))[0].status is Status.OPEN


def test_records_of_another_form_harm_nothing():
    odd = record(days_ago(1), "alert:raised", "system:alerts", subject="alert:odd", data={"records": ["x"]})
    (found,) = states({**odd, "leaf": '{"data": [], "counts": 3}'})
    assert (found.key, found.rule, found.severity, found.first_at) == ("odd", "", "low", None)
    bad_until = muted(1)
    bad_until["leaf"] = bad_until["leaf"].replace('"until": ""', '"until": "tomorrow"')
    assert states(raised(), bad_until)[0].status is Status.OPEN


class Nobody:
    """A log that must not be written to."""

    def record(self, event, *, timeout=5.0):
        raise AssertionError("recorded although refused")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"reason": ""}, "reason"),
        ({"reason": "because"}, "reason"),
        ({"text": "  "}, "words"),
        ({"text": "x" * 2001}, "words"),
        ({"until": NOW}, "ahead"),
        ({"target": "off-hours"}, "alert:"),
        ({"target": "alert:"}, "alert:"),
        ({"target": "alert:off-hours-"}, "alert:"),
        ({"target": "alert:off-hours-a/b"}, "alert:"),
        ({"target": "rule:all"}, "rule"),
    ],
)
def test_a_mute_needs_target_reason_words_and_an_end_ahead(changed, named):
    given = {"target": f"alert:{KEY}", "by": "u-2", "reason": "other", "text": "seen", "until": None, "now": NOW}
    with pytest.raises(MuteRefused, match=named):
        mute(Nobody(), **{**given, **changed})


def test_targets_and_texts_that_are_fine():
    check_target(f"alert:{KEY}")
    check_target("rule:mass-extraction")
    assert check_text(" seen ") == "seen"
