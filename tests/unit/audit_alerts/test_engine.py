"""Evaluation as a whole: keys that stay, order, bounded evidence, failing rules, texts."""

import re
import string
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st
from record_table import NOW, days_ago, outcome, record, table

from audit.alerts import RULES, Severity, evaluate, evaluate_rules, load_thresholds
from audit.alerts.describe import alert_sentence, rule_title, rules_markdown
from audit.alerts.model import MAX_EVIDENCE, alert_key

SMALL = load_thresholds()
SMALL = replace(
    SMALL,
    site=replace(SMALL.site, lookback_days=5),
    mass_extraction=replace(
        SMALL.mass_extraction, floor_rows=10, newcomer_rows=50, factor=2, history_days=4, history_active_days=2
    ),
    off_hours=replace(SMALL.off_hours, records=2),
    near_threshold=replace(SMALL.near_threshold, results=2),
    shifting_filters=replace(SMALL.shifting_filters, repeats=2),
    refusal_bursts=replace(SMALL.refusal_bursts, refusals=2, minutes=120),
    dormant_account=replace(SMALL.dormant_account, days=2),
    screen_volume=replace(SMALL.screen_volume, bytes=30),
    log_health=replace(SMALL.log_health, witness_minutes=30),
)
KINDS = [
    "query:intent",
    "query:outcome",
    "query:outcome",
    "query:refused",
    "screen:shown",
    "audit:log-full",
    "audit:clock-jumped",
    "witness:lost",
    "witness:back",
    "canary:scheduled",
]


@st.composite
def events(draw):
    """A record of any kind, up to ten days old; only numbers and times that make something happen."""
    at = NOW - timedelta(minutes=draw(st.integers(0, 10 * 24 * 60)))
    number = draw(st.integers(0, 60))
    due = (at + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return record(
        at,
        draw(st.sampled_from(KINDS)),
        draw(st.sampled_from(["u-1", "u-2"])),
        counts={"seconds": number},
        data={"name": "w", "due": due, "template_sha256": "t"},
        project=draw(st.sampled_from(["p-1", None])),
        template="t",
        dataset="d@v1",
        subject="canary:1",
        rows=number,
        bytes=number,
        persons=number,
    )


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(events(), max_size=40), hours=st.lists(st.integers(0, 5 * 24), min_size=1, max_size=3))
def test_keys_stay_as_time_passes(rows, hours):
    """What was found is found again under its key, until its day leaves the span; a key names one fact at a time."""
    with table(rows) as connection:
        times = sorted({NOW - timedelta(hours=hour) for hour in hours} | {NOW})
        seen = {}
        for now in times:
            evaluation = evaluate_rules(connection, SMALL, now)
            assert not evaluation.failed, evaluation.failed
            keys = Counter(alert.key for alert in evaluation.alerts)
            assert not [key for key, times in keys.items() if times > 1]
            left = {key for key, alert in seen.items() if alert.last_at >= now - timedelta(days=4)}
            assert left <= set(keys)
            assert all(len(alert.records) <= MAX_EVIDENCE and alert.last_at <= now for alert in evaluation.alerts)
            seen = {alert.key: alert for alert in evaluation.alerts}


def test_the_same_minute_gives_the_same_alerts(thresholds):
    rows = [outcome(days_ago(day / 10), rows=10**6, persons=500 + day) for day in range(30)]
    with table(rows) as connection:
        assert evaluate(connection, thresholds, NOW) == evaluate(connection, thresholds, NOW)


def test_a_growing_fact_keeps_its_key(thresholds):
    rows = [outcome(NOW - timedelta(hours=hour), rows=300_000) for hour in range(6)]
    with table(rows) as connection:
        times = [NOW - timedelta(hours=hour) for hour in range(4, -1, -1)]
        found = [evaluate(connection, thresholds, now) for now in times]
    grown = [[alert.facts["rows"] for alert in alerts if alert.rule == "mass-extraction"] for alerts in found]
    assert grown == [[600_000], [900_000], [1_200_000], [1_500_000], [1_800_000]]
    assert len({alert.key for alerts in found for alert in alerts if alert.rule == "mass-extraction"}) == 1


def test_nothing_in_an_empty_log(thresholds):
    with table([]) as connection:
        evaluation = evaluate_rules(connection, thresholds, NOW)
    assert (evaluation.alerts, dict(evaluation.failed)) == ((), {})


def test_most_severe_first(thresholds):
    rows = [record(days_ago(3), "audit:log-full", "system:audit"), outcome(NOW, rows=10**6)]
    rows += [record(NOW, "query:refused", decision="deny") for _ in range(10)]
    with table(rows) as connection:
        assert [alert.rule for alert in evaluate(connection, thresholds, NOW)] == [
            "log-health",
            "mass-extraction",
            "refusal-bursts",
        ]


def test_one_bad_rule_stops_no_other_and_is_an_alert(thresholds):
    bad = replace(RULES[0], queries=("SELECT nonsense FROM records",))
    with table([record(NOW, "audit:log-full", "system:audit")]) as connection:
        evaluation = evaluate_rules(connection, thresholds, NOW, [bad, *RULES[1:]])
    assert isinstance(evaluation.failed["mass-extraction"], duckdb.Error)
    assert {alert.sentence_id for alert in evaluation.alerts} == {"log-health/rule-failed", "log-health/log-full"}
    failed = next(alert for alert in evaluation.alerts if alert.sentence_id == "log-health/rule-failed")
    assert failed.facts == {"failed_rule": "mass-extraction", "error": "BinderException", "day": "2026-11-18"}


def test_a_record_without_time_or_names_harms_nothing(thresholds):
    rows = [{**outcome(NOW, rows=10**9, persons=5), "actor": None}, outcome(NOW, rows=5)]
    with table(rows) as connection:
        connection.execute("INSERT INTO records (\"index\", type, actor) VALUES (99, 'query:outcome', 'u-1')")
        evaluation = evaluate_rules(connection, thresholds, NOW)
    assert not evaluation.failed
    assert evaluation.alerts == ()


def test_keys_tell_apart_what_is_written_alike():
    assert alert_key("r", ["a", "b"]) != alert_key("r", ["a,b"])
    assert alert_key("r", ["a", None]) != alert_key("r", ["a", "None"])
    assert re.fullmatch(r"off-hours-[0-9a-f]{20}", alert_key("off-hours", ["u\n1"]))


def test_every_rule_says_everything_in_both_languages():
    assert len({rule.id for rule in RULES}) == len(RULES) == 10
    for rule in RULES:
        texts = [rule.title, rule.title_fr, rule.meaning, rule.meaning_fr, rule.action, rule.action_fr]
        assert all(text.strip() for text in (*texts, *rule.reads, *rule.blind_spots))
        assert len(rule.blind_spots) == len(rule.blind_spots_fr) >= 3
        for sentence_id, sentence in rule.sentences.items():
            assert sentence_id.startswith(f"{rule.id}/")
            places = [
                {name for _, name, _, _ in string.Formatter().parse(text) if name}
                for text in (sentence.english, sentence.french)
            ]
            assert places[0] == places[1]


def test_sentences_have_all_their_facts(thresholds):
    rows = [outcome(NOW, rows=10**6, persons=500 + day, min_cell=11) for day in range(30)]
    rows += [record(NOW, "query:intent", template="t", project="p") for _ in range(60)]
    rows += [record(NOW, "query:refused", decision="deny") for _ in range(10)]
    rows += [record(NOW, "screen:shown", bytes=10**9), record(NOW, "audit:log-full", "system:audit")]
    rows += [record(NOW, "audit:clock-jumped", "system:audit", counts={"seconds": 9})]
    rows += [record(days_ago(200), "login:succeeded"), record(days_ago(2), "witness:lost", data={"name": "w-1"})]
    rows += [record(datetime(2026, 11, 15, 3, tzinfo=UTC), "login:succeeded", "u-2") for _ in range(20)]
    canary = {"template_sha256": "c", "due": "2026-11-18T01:00:00Z"}
    rows += [record(days_ago(2), "canary:scheduled", subject="canary:1", data=canary)]
    opened = {"counts": {"open": 1, "error": 0}, "data": {"engine": "docker", "open": ["call-mount"]}}
    rows += [record(days_ago(1), "selftest:finished", "system:selftest", decision="deny", subject="s:1", **opened)]
    with table(rows) as connection:
        alerts = evaluate(connection, thresholds, NOW)
    assert {alert.rule for alert in alerts} == {rule.id for rule in RULES}
    for alert in alerts:
        for french in (False, True):
            text = alert_sentence(alert.sentence_id, alert.facts, french=french)
            assert text and "?" not in text and "{" not in text, text
    assert alert_sentence("gone/rule", {}) == ""
    assert "?" in alert_sentence("off-hours/activity", {})


def test_the_page_of_rules(thresholds):
    page, french = rules_markdown(thresholds), rules_markdown(thresholds, french=True)
    for rule in RULES:
        assert f"## {rule.title} (`{rule.id}`)" in page
        assert f"## {rule.title_fr} (`{rule.id}`)" in french
        assert str(rule.severity) in [str(severity) for severity in Severity]
    assert "Gravité\u202f: critique." in french
    assert "| `factor` | 10 | Times the median of the person's own active days |" in page
    assert "| `weekdays` | mon, tue, wed, thu, fri |" in page
    assert rule_title("off-hours", french=True) == "Activité en dehors des heures ouvrées"
    assert rule_title("gone") == "gone"


def test_the_rules_need_neither_duckdb_nor_structlog_to_be_imported():
    program = "import sys, audit.alerts, audit.cli; print({'duckdb', 'pyarrow', 'structlog'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
