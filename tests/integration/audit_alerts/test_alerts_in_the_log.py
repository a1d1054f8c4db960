"""Alerts over a real log: found through the real index, recorded by the real daemon, muted, watched, shown."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from audit.alerts import (
    MuteReason,
    Severity,
    Status,
    evaluate,
    load_thresholds,
    mute,
    raise_new,
    state,
    unmute,
)
from audit.alerts.watch import watch
from audit.client import AuditUnavailable
from audit.event import AuditEvent
from audit.index import LogIndex
from audit.reader import read_entries

DEADLINE_SECONDS = 60
TEMPLATE = "a" * 64


def refusal(actor: str = "u-1") -> AuditEvent:
    return AuditEvent("query:refused", actor, project="p-1", decision="deny", data={"rule": "no-star"})


def query(client, number: int, persons: int, rows: int = 10) -> int:
    """One intent and its outcome."""
    request = f"r-{number}"
    data = {"template_sha256": TEMPLATE, "tables": ["person"], "dataset": "d@v1", "verb": "select"}
    client.record(AuditEvent("query:intent", "u-2", project="p-1", request_id=request, decision="allow", data=data))
    counts = {"rows": rows, "bytes": rows * 10, "persons": persons, "min_cell": 200}
    done = AuditEvent("query:outcome", "u-2", project="p-1", request_id=request, counts=counts, data={"status": "ok"})
    return client.record(done).index


def raised_in(log_dir) -> list[dict]:
    return [entry.leaf for entry in read_entries(log_dir) if entry.leaf["type"] == "alert:raised"]


def wait_until(condition) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.02)


@pytest.fixture
def client(running_log):
    with closing(running_log.client("gateway")) as client:
        yield client


@pytest.fixture
def index(running_log):
    return LogIndex(running_log.log_dir, running_log.home / "index")


def catch_up(running_log, client, index, last: int) -> None:
    client.wait_published(last, running_log.log_dir)
    index.refresh()


def test_found_recorded_once_muted_and_opened_again(running_log, client, index):
    thresholds = load_thresholds()
    for _ in range(9):
        client.record(refusal())
    last = query(client, 1, persons=500)
    catch_up(running_log, client, index, last)
    assert raise_new(index, client, thresholds, datetime.now(UTC)) == []
    client.record(refusal())
    last = query(client, 2, persons=505, rows=600_000)
    catch_up(running_log, client, index, last)
    recorded = raise_new(index, client, thresholds, datetime.now(UTC))
    assert {alert.rule for alert in recorded} == {"refusal-bursts", "differencing", "mass-extraction"}
    catch_up(running_log, client, index, last + 3)
    assert raise_new(index, client, thresholds, datetime.now(UTC)) == []

    burst = next(alert for alert in recorded if alert.rule == "refusal-bursts")
    with closing(index.connection()) as connection:
        found = {alert.key: alert for alert in state(connection, datetime.now(UTC))}
    assert found[burst.key].status is Status.OPEN
    assert found[burst.key].facts == burst.facts
    assert found[burst.key].records == burst.records
    assert (found[burst.key].severity, found[burst.key].actor) == (Severity.MEDIUM, "u-1")

    target, now = f"alert:{burst.key}", datetime.now(UTC)
    words = {"by": "u-auditor", "text": "The person tried the new tool; agreed on the phone."}
    receipt = mute(client, target, reason=MuteReason.KNOWN_ANALYSIS, until=now + timedelta(days=1), now=now, **words)
    catch_up(running_log, client, index, receipt.index)
    assert client.payload(receipt.index, "u-auditor") == {"text": words["text"]}
    assert status_of(index, burst.key) is Status.MUTED
    assert burst.key in {alert.key for alert in evaluate_all(index)}, "a muted alert is evaluated all the same"
    catch_up(running_log, client, index, unmute(client, target, **words).index)
    assert status_of(index, burst.key) is Status.OPEN
    forever = mute(client, "rule:refusal-bursts", reason="other", until=None, now=datetime.now(UTC), **words)
    catch_up(running_log, client, index, forever.index)
    assert status_of(index, burst.key) is Status.MUTED_FOR_EVER
    catch_up(running_log, client, index, [client.record(refusal("u-3")) for _ in range(10)][-1].index)
    assert [alert.actor for alert in raise_new(index, client, thresholds, datetime.now(UTC))] == ["u-3"]


def status_of(index, key: str) -> Status:
    with closing(index.connection()) as connection:
        return {alert.key: alert for alert in state(connection, datetime.now(UTC))}[key].status


def evaluate_all(index):
    with closing(index.connection()) as connection:
        return evaluate(connection, load_thresholds(), datetime.now(UTC))


def test_a_flood_of_alerts_leaves_few_records(running_log, client, index):
    shipped = load_thresholds()
    site = replace(shipped.site, alerts_per_evaluation=4, alerts_per_day=6)
    eager = replace(shipped, site=site, refusal_bursts=replace(shipped.refusal_bursts, refusals=1))
    last = [client.record(refusal(f"u-{number}")) for number in range(40)][-1].index
    for _ in range(4):
        catch_up(running_log, client, index, last)
        last += len(raise_new(index, client, eager, datetime.now(UTC)))
    catch_up(running_log, client, index, last)
    sentences = [leaf["data"]["sentence"] for leaf in raised_in(running_log.log_dir)]
    assert sentences.count("refusal-bursts/refusals") == 6
    assert sentences.count("log-health/alerts-withheld") == 1
    assert len(sentences) == 7


def test_a_log_that_does_not_answer_ends_no_watch(running_log, client, index):
    last = [client.record(refusal()) for _ in range(10)][-1].index
    catch_up(running_log, client, index, last)
    running_log.kill()
    with pytest.raises(AuditUnavailable):
        raise_new(index, running_log.client("alerts"), load_thresholds(), datetime.now(UTC))
    turns = iter([True, True, True, False])
    with closing(running_log.client("alerts")) as watcher:
        pauses = []

        def pause():
            pauses.append(len(raised_in(running_log.log_dir)))
            if len(pauses) == 1:
                running_log.start()

        def published():
            return datetime.now(UTC)

        watch(
            index,
            watcher,
            load_thresholds(),
            keep_going=lambda: next(turns),
            pause=pause,
            clock=published,
        )
    wait_until(lambda: len(raised_in(running_log.log_dir)) == 1)
    assert pauses[0] == 0
    assert len(pauses) == 3


def test_the_watcher_as_a_process(running_log, client):
    home = running_log.home
    own = home / "thresholds.toml"
    own.write_text("[refusal-bursts]\nrefusals = 3\n")
    command = [sys.executable, "-m", "audit.alerts", "--log", str(running_log.log_dir), "--index", str(home / "index")]
    command += ["--socket", str(running_log.socket), "--thresholds", str(own), "--every", "0.2"]
    errors = home / "watch.err"
    with errors.open("wb") as stream:
        process = subprocess.Popen(command, stderr=stream, stdin=subprocess.DEVNULL)
    try:
        for _ in range(3):
            client.record(refusal())
        wait_until(lambda: len(raised_in(running_log.log_dir)) == 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0, errors.read_text()
    finally:
        process.kill()
        process.wait(60)
    lines = [json.loads(line) for line in errors.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["started", "alert-raised", "stopped-cleanly"]
    assert lines[1]["rule"] == "refusal-bursts"
    assert "u-1" not in errors.read_text(), "the operators' log names nobody"
    (leaf,) = raised_in(running_log.log_dir)
    assert (leaf["writer"], leaf["actor"], leaf["data"]["actor"]) == ("alerts", "system:alerts", "u-1")


def test_unusable_thresholds_refuse_the_start(running_log):
    own = running_log.home / "thresholds.toml"
    own.write_text("[refusal-bursts]\nrefusal = 3\n")
    places = ["--log", str(running_log.log_dir), "--index", str(running_log.home / "i"), "--socket", "s"]
    command = [sys.executable, "-m", "audit.alerts", *places, "--thresholds", str(own)]
    done = subprocess.run(command, capture_output=True, timeout=DEADLINE_SECONDS, check=False)
    assert done.returncode == 3
    assert b"refusal-bursts.refusal" in done.stderr


def cli(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "audit.cli", *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_the_command_line_needs_only_the_files(running_log, client, index):
    last = [client.record(refusal()) for _ in range(10)][-1].index
    catch_up(running_log, client, index, last)
    raise_new(index, client, load_thresholds(), datetime.now(UTC))
    client.wait_published(last + 1, running_log.log_dir)
    running_log.stop()
    done = cli("alerts", running_log.log_dir)
    assert done.returncode == 0, done.stderr
    assert "refusal-bursts" in done.stdout
    assert "open" in done.stdout
    shown = json.loads(cli("alerts", running_log.log_dir, "--json").stdout)
    (alert,) = [alert for alert in shown["alerts"] if alert["rule"] == "refusal-bursts"]
    assert (alert["status"], alert["actor"], alert["facts"]["refusals"]) == ("open", "u-1", 10)
    assert alert["sentence"].startswith("10 refusals within 10 minutes")
    early = json.loads(cli("alerts", running_log.log_dir, "--json", "--now", "2020-01-01T00:00:00").stdout)
    assert early["alerts"] == []
    missing = cli("alerts", running_log.home / "nowhere", "--json")
    assert missing.returncode == 2
    assert json.loads(missing.stdout)["ok"] is False


def test_the_table_of_rules(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text("[refusal-bursts]\nrefusals = 3\n")
    done = cli("alerts-rules", "--thresholds", own)
    assert done.returncode == 0, done.stderr
    assert "refusals = 3" in done.stdout
    rules = json.loads(cli("alerts-rules", "--json").stdout)
    assert [row["rule"] for row in rules][:2] == ["site", "mass-extraction"]
    own.write_text("[refusal-bursts]\nrefusals = 'x'\n")
    assert cli("alerts-rules", "--thresholds", own).returncode == 2
