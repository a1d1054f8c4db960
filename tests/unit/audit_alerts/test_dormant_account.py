"""Dormant account: fires / just below does not / what it does not see."""

from record_table import NOW, days_ago, found, record

RULE = "dormant-account"


def login(days: float, actor: str = "u-1", kind: str = "login:succeeded", **columns):
    return record(days_ago(days), kind, actor, **{"decision": "allow", **columns})


def test_first_activity_after_ninety_days(thresholds):
    (alert,) = found([login(90), login(0), login(0, kind="query:intent", project="p-1")], RULE, thresholds)
    assert (alert.actor, alert.project, alert.facts["idle_days"], alert.facts["activities"]) == ("u-1", "p-1", 90, 2)
    assert sorted(alert.records) == [1, 2]
    assert alert.first_at == NOW


def test_eighty_nine_days_are_a_long_holiday(thresholds):
    assert found([login(89), login(0)], RULE, thresholds) == []


def test_a_new_person_is_not_dormant(thresholds):
    assert found([login(0)], RULE, thresholds) == []


def test_an_account_never_used_since_it_was_made(thresholds):
    made = record(days_ago(100), "person:created", "u-admin", subject="u-1", decision="allow")
    alerts = found([made, login(50, "u-admin"), login(0)], RULE, thresholds)
    assert [(alert.actor, alert.facts["idle_days"]) for alert in alerts] == [("u-1", 100)]


def test_being_made_is_no_activity(thresholds):
    made = record(NOW, "person:created", "u-admin", subject="u-1", decision="allow")
    assert found([login(200), login(0, "u-admin"), made], RULE, thresholds) == []


def test_refusals_neither_wake_an_account_nor_keep_it_awake(thresholds):
    refused = [login(days, kind="login:refused", decision="deny") for days in range(1, 90)]
    assert found([login(90), *refused], RULE, thresholds) == []
    assert len(found([login(90), *refused, login(0)], RULE, thresholds)) == 1


def test_only_the_first_day_wakes(thresholds):
    alerts = found([login(100), login(2), login(1), login(0)], RULE, thresholds)
    assert [alert.facts["day"] for alert in alerts] == ["2026-11-16"]


def test_blind_spot_a_little_activity_now_and_then(thresholds):
    assert found([login(days) for days in range(0, 400, 80)], RULE, thresholds) == []
