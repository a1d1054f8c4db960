"""Retention: old entries, payloads and keys go, hashes stay, whatever crashes in between."""

import json
from datetime import UTC, datetime

import pytest
from in_process import NOVEMBER, Clock, opened, own_leaves, put
from running_log import UNSAFE_KEEPS_NO_YEAR, event, wait_until
from typer.testing import CliRunner

from audit.cli import app
from audit.client import AuditRefused
from audit.daemon import pruning, retention
from audit.daemon.housekeeping import Housekeeping
from audit.daemon.sealing import Sealer
from audit.event import EventError
from audit.payloads import PayloadError
from audit.proof import prove, verify_proof
from audit.reader import LogUnreadable, read_entry

DAY = 86_400.0
LATER = datetime(2027, 12, 1, tzinfo=UTC)
"""More than a year after all records of ``old_log``: nothing younger is ever removed."""
PAYLOAD = '{"sql":"SELECT 1"}'


def bundles(home):
    return sorted(path.name for path in (home / "log/tile/entries").iterdir())


@pytest.fixture
def old_log(tmp_path):
    """In September 300 records, in October 300, in November 300; payloads with all of them; small segments."""
    clock = Clock(datetime(2026, 9, 20, tzinfo=UTC))
    log = opened(tmp_path, clock, segment_bytes=40_000)
    for month in range(3):
        clock.now = datetime(2026, 9 + month, 20, tzinfo=UTC)
        for number in range(300):
            put(log, month * 300 + number, payload=PAYLOAD)
    log.publishing.flush()
    clock.now = LATER
    yield log
    log.close()


def test_entries_payloads_and_keys_go_and_proofs_stay(old_log, tmp_path):
    with pytest.raises(EventError, match="no whole bundle"):
        old_log.prune(datetime(2026, 9, 1, tzinfo=UTC), "u-dpo")
    old_log.prune(datetime(2026, 10, 15, tzinfo=UTC), "u-dpo")
    assert old_log.minimum == 256
    assert bundles(tmp_path)[0] == "001"
    stored = old_log.prune(datetime(2026, 11, 15, tzinfo=UTC), "u-dpo")
    old_log.publishing.flush()
    assert old_log.minimum == 512
    assert own_leaves(tmp_path / "log", 900) == [
        ("audit:pruned", {"minimum_index": 256}),
        ("audit:pruned", {"minimum_index": 512}),
    ]
    assert "000" not in bundles(tmp_path)
    assert sorted(path.parent.name for path in tmp_path.glob("state/keys/*/*.key")) == ["2026-11"]
    assert not [path for path in (tmp_path / "state/wal").iterdir() if int(path.stem) < 512]
    assert verify_proof(prove(tmp_path / "log", 7), leaf_hash_at(tmp_path, 7), old_log.vkey).size == stored.index + 1
    with pytest.raises(LogUnreadable):
        read_entry(tmp_path / "log", 7)
    with pytest.raises(PayloadError):
        old_log.erasure.read(7)
    assert old_log.erasure.read(899) == PAYLOAD


def leaf_hash_at(home, index):
    return (home / "log/tile/0/000").read_bytes()[index * 32 : index * 32 + 32].hex()


def test_a_newer_record_in_front_keeps_what_is_behind_it(tmp_path):
    clock = Clock(NOVEMBER)
    log = opened(tmp_path, clock)
    put(log, 0)
    clock.now = datetime(2026, 9, 1, tzinfo=UTC)
    for number in range(600):
        put(log, number)
    clock.now = LATER
    with pytest.raises(EventError, match="Nothing to prune"):
        log.prune(datetime(2026, 10, 1, tzinfo=UTC), "u-dpo")
    with pytest.raises(EventError, match="in the past"):
        log.prune(datetime(2028, 1, 1, tzinfo=UTC), "u-dpo")
    log.close()


def test_an_order_that_would_remove_what_is_younger_than_a_year_is_refused(old_log, tmp_path):
    old_log._clock.now = datetime(2027, 9, 25, 12, tzinfo=UTC)
    before, kept = old_log.size, bundles(tmp_path)
    with pytest.raises(EventError, match=r"365 days ago, found 2026-09-25T12:00:01.*Give 2026-09-25T12:00:00"):
        old_log.prune(datetime(2026, 9, 25, 12, 0, 1, tzinfo=UTC), "u-dpo")
    assert (old_log.size, old_log.minimum, bundles(tmp_path)) == (before, 0, kept)
    old_log.prune(datetime(2026, 9, 25, 12, tzinfo=UTC), "u-dpo")
    assert old_log.minimum == 256


@pytest.mark.parametrize(
    ("part", "step"),
    [
        (pruning, "remember_minimum"),
        (retention, "erase_keys"),
        (Sealer, "retire_below"),
        (pruning, "remove_bundles"),
        (pruning, "remove_payloads"),
    ],
)
def test_a_crash_after_the_record_is_made_good_at_start(old_log, tmp_path, monkeypatch, part, step):
    with monkeypatch.context() as crash:
        crash.setattr(part, step, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            old_log.prune(datetime(2026, 11, 15, tzinfo=UTC), "u-dpo")
    old_log.close()
    again = opened(tmp_path, Clock(LATER), segment_bytes=40_000)
    assert (again.minimum, again.size) == (512, 901)
    assert bundles(tmp_path)[0] == "002"
    assert sorted(path.parent.name for path in tmp_path.glob("state/keys/*/*.key")) == ["2026-11"]
    assert again.erasure.read(899) == PAYLOAD
    put(again, 1000, payload=PAYLOAD)
    again.close()
    opened(tmp_path, Clock(LATER)).close()
    assert [kind for kind, _ in own_leaves(tmp_path / "log", 512)] == ["audit:pruned"]


def test_a_log_can_be_pruned_up_to_its_end_and_goes_on(tmp_path):
    clock = Clock(datetime(2026, 9, 1, tzinfo=UTC))
    log = opened(tmp_path, clock)
    for number in range(512):
        put(log, number, payload=PAYLOAD)
    clock.now = LATER
    log.prune(datetime(2026, 10, 1, tzinfo=UTC), "u-dpo")
    put(log, 513)
    log.close()
    again = opened(tmp_path, clock)
    assert (again.minimum, again.size) == (512, 514)
    assert bundles(tmp_path) == ["002.p"]
    again.close()


def test_the_daemon_prunes_by_itself_once_a_day(old_log):
    seconds = [0.0]
    house = Housekeeping(old_log, 365, lambda: seconds[0])
    old_log._clock.now = datetime(2027, 10, 15, tzinfo=UTC)
    house.work()
    assert old_log.minimum == 256
    old_log._clock.now = datetime(2027, 11, 15, tzinfo=UTC)
    house.work()
    assert old_log.minimum == 256
    seconds[0] += DAY
    assert house.wait() == 0.0
    house.work()
    assert old_log.minimum == 512
    assert Housekeeping(old_log, 0, lambda: 0.0).wait() is None


def test_less_than_a_year_is_refused(prepared_log):
    said = prepared_log.refuse_start("--keep-days", "90")
    assert "at least 365, found 90" in said
    prepared_log.start("--keep-days", "365")
    assert prepared_log.client().record(event()).index == 0
    wait_until(lambda: "nothing-pruned" in prepared_log.errors.read_text())


def test_pruning_on_the_command_line(running_log):
    client = running_log.client()
    for number in range(300):
        client.record(event(number))
    with pytest.raises(AuditRefused, match="time with zone"):
        client.prune("2026-11-01", by="u-dpo")
    before = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    arguments = ["prune", "--socket", str(running_log.socket), "--by", "u-dpo", "--json", "--before"]
    refused = CliRunner().invoke(app, [*arguments, "2020-01-01"])
    assert (refused.exit_code, "Nothing to prune" in refused.stdout) == (2, True)
    wait_until(lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S") > before)
    later = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    young = CliRunner().invoke(app, [*arguments, later])
    assert (young.exit_code, "at least 365 days ago" in young.stdout) == (2, True)
    assert running_log.stop() == 0
    running_log.program = UNSAFE_KEEPS_NO_YEAR
    running_log.start()
    done = CliRunner().invoke(app, [*arguments, later])
    assert (done.exit_code, json.loads(done.stdout)["index"]) == (0, 300)
    assert [path.name for path in (running_log.log_dir / "tile/entries").iterdir()] == ["001.p"]
