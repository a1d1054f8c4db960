"""What the log records about itself: its life, a clock that goes back; and that nobody else can write such records."""

from datetime import UTC, datetime

import pytest
from in_process import Clock, opened, own_leaves, put
from raw_socket import exchange, message
from running_log import event, wait_until

from audit.client import AuditRefused
from audit.reader import read_entries
from audit.verify import verify_log
from audit.wire import encode_message


def types(log):
    return [entry.leaf["type"] for entry in read_entries(log.log_dir)]


def test_start_heartbeat_and_stop_are_recorded(prepared_log):
    prepared_log.start("--heartbeat-seconds", "1")
    wait_until(lambda: types(prepared_log).count("audit:heartbeat") >= 2)
    prepared_log.client().record(event())
    assert prepared_log.stop() == 0
    found = types(prepared_log)
    assert (found[0], found[-1]) == ("audit:started", "audit:stopped")
    assert "query:intent" in found
    first = next(read_entries(prepared_log.log_dir)).leaf
    assert (first["writer"], first["actor"]) == ("audit", "system:audit")
    assert ("audit:heartbeat", {"seconds": 1}) in own_leaves(prepared_log.log_dir)
    report = verify_log(prepared_log.log_dir, prepared_log.vkey)
    assert report.ok, report.lines()


def test_without_heartbeats_the_log_says_nothing_about_its_life(prepared_log):
    prepared_log.start("--heartbeat-seconds", "0")
    assert prepared_log.stop() == 0
    assert types(prepared_log) == []


def test_a_clock_that_jumps_back_is_recorded_before_the_record_it_stamps(tmp_path):
    clock = Clock()
    log = opened(tmp_path, clock)
    put(log, 0)
    clock.go(-1.5)
    put(log, 1)
    clock.go(-90)
    put(log, 2)
    log.close()
    leaves = [entry.leaf for entry in read_entries(tmp_path / "log")]
    assert [leaf["type"] for leaf in leaves] == ["query:intent", "query:intent", "audit:clock-jumped", "query:intent"]
    assert leaves[2]["counts"] == {"seconds": 90}
    # the stamps are the clock's own: nothing is smoothed over
    assert leaves[2]["at"] == leaves[3]["at"] == "2026-11-20T11:58:28.500Z"


def test_a_clock_set_back_while_the_log_was_down_is_recorded(prepared_log):
    """The first records are stamped in 2099 by a log in this process, the next one by the real daemon today."""
    log = opened(prepared_log.home, Clock(datetime(2099, 1, 1, tzinfo=UTC)))
    put(log)
    log.close()
    prepared_log.start("--heartbeat-seconds", "60")
    prepared_log.client().record(event())
    assert prepared_log.stop() == 0
    assert types(prepared_log)[1:3] == ["audit:clock-jumped", "audit:started"]
    assert own_leaves(prepared_log.log_dir)[0][1]["seconds"] > 10**9
    assert types(prepared_log).count("audit:clock-jumped") == 1


@pytest.mark.parametrize("event_type", ["audit:pruned", "audit:redacted", "witness:configured", "anchor:received"])
def test_nobody_else_writes_such_records(running_log, event_type):
    with pytest.raises(AuditRefused, match="only the log itself records"):
        running_log.client().record(event(type=event_type))
    (answer,) = exchange(running_log.socket, encode_message({**message(), "writer": "audit"}))
    assert "is the log itself" in answer["error"]
    assert running_log.client().record(event()).index == 0
