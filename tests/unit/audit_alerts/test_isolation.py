"""Isolation: open, not run, without an end / nothing to say."""

from datetime import timedelta

from record_table import NOW, days_ago, found, record

RULE = "isolation"


def finished(subject="selftest:1", opened=(), errors=0, good=None, days=1):
    good = not opened and not errors if good is None else good
    counts = {"open": len(opened), "error": errors, "closed": 600}
    data = {"engine": "bubblewrap", "open": list(opened)}
    decision = "allow" if good else "deny"
    return record(
        days_ago(days),
        "selftest:finished",
        "system:selftest",
        subject=subject,
        decision=decision,
        counts=counts,
        data=data,
    )


def started(minutes_ago, subject="selftest:1"):
    at = NOW - timedelta(minutes=minutes_ago)
    return record(at, "selftest:started", "system:selftest", subject=subject, data={"engine": "docker"})


def test_a_good_one_says_nothing(thresholds):
    assert found([started(1500), finished()], RULE, thresholds) == []


def test_an_open_probe_is_critical_and_named(thresholds):
    (alert,) = found([finished(opened=["call-mount", "tcp4-host"])], RULE, thresholds)
    assert (alert.sentence_id, alert.severity, alert.facts["open"]) == ("isolation/open", "critical", 2)
    assert alert.facts["probes"] == "call-mount, tcp4-host"


def test_a_probe_that_did_not_run_proves_nothing(thresholds):
    (alert,) = found([finished(errors=1)], RULE, thresholds)
    assert (alert.sentence_id, alert.severity) == ("isolation/not-run", "high")


def test_a_self_test_that_could_not_be_carried_out(thresholds):
    (alert,) = found([finished(good=False)], RULE, thresholds)
    assert alert.sentence_id == "isolation/not-run"


def test_each_run_is_an_alert_of_its_own(thresholds):
    rows = [finished(f"selftest:{day}", ["call-mount"], days=day) for day in (1, 2)]
    assert len({alert.key for alert in found(rows, RULE, thresholds)}) == 2


def test_one_that_never_ended(thresholds):
    assert found([started(59)], RULE, thresholds) == []
    (alert,) = found([started(61)], RULE, thresholds)
    assert alert.sentence_id == "isolation/no-end"
    assert found([started(61), finished(days=0.01)], RULE, thresholds) == []
