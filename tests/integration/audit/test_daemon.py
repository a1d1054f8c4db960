"""The running daemon: receipts, payloads, duplicates, restarts, refusals."""

import json
import os

import pytest
from enclave_test_live_processes import contents_below  # type: ignore[import-not-found]
from raw_socket import exchange, message
from running_log import RunningLog, event

from audit.checkpoint import open_checkpoint
from audit.client import AuditRefused
from audit.note import VerifierKey
from audit.reader import read_entries
from audit.verify import verify_log
from audit.wire import encode_message


def test_a_receipt_names_the_place_and_is_signed(running_log):
    client = running_log.client()
    receipts = [client.record(event(number)) for number in range(3)]
    assert [receipt.index for receipt in receipts] == [0, 1, 2]
    head = open_checkpoint(receipts[2].checkpoint.encode(), VerifierKey.parse(running_log.vkey))
    assert head.size == 3
    client.wait_published(2, running_log.log_dir, 2.0)
    entries = list(read_entries(running_log.log_dir))
    assert [entry.leaf_hash for entry in entries] == [receipt.leaf_hash for receipt in receipts]
    assert [entry.leaf["seq"] for entry in entries] == [1, 2, 3]
    assert entries[0].leaf["peer"] == {"uid": os.getuid(), "pid": os.getpid()}
    assert [entry.index for entry in read_entries(running_log.log_dir, 2)] == [2]


def test_payloads_are_not_in_the_log_and_reading_one_is_recorded(running_log):
    client = running_log.client()
    secret = {"sql": "SELECT 'Marguerite'", "limit": 1.5}
    receipt = client.record(event(payload=secret))
    assert client.payload(receipt.index, "u-auditor") == secret
    client.wait_published(receipt.index + 1, running_log.log_dir)
    for folder in (running_log.log_dir, running_log.state_dir):
        assert not [path for path, content in contents_below(folder) if b"Marguerite" in content]
    first, second = read_entries(running_log.log_dir)
    assert len(first.leaf["payload"]) == 64
    assert (second.leaf["type"], second.leaf["actor"], second.leaf["subject"]) == ("audit:read", "u-auditor", "entry:0")
    with pytest.raises(AuditRefused, match="no payload"):
        client.payload(1, "u-auditor")
    with pytest.raises(AuditRefused, match="index of a record"):
        client.payload(99, "u-auditor")


def test_payloads_survive_a_restart_and_rotation(prepared_log):
    prepared_log.start("--segment-bytes", "20000")
    client = prepared_log.client()
    for number in range(200):
        client.record(event(number, payload={"n": number}))
    assert len(prepared_log.segments) > 3
    assert prepared_log.stop() == 0
    prepared_log.start("--segment-bytes", "20000")
    assert [client.payload(number, "u")["n"] for number in (0, 50, 199)] == [0, 50, 199]
    client.wait_published(202, prepared_log.log_dir)
    assert verify_log(prepared_log.log_dir, prepared_log.vkey).ok


def test_the_same_record_sent_twice_is_kept_once_even_across_a_restart(prepared_log):
    prepared_log.start()
    first = exchange(prepared_log.socket, encode_message(message()), encode_message(message()))
    assert [answer["index"] for answer in first] == [0, 0]
    prepared_log.kill()
    prepared_log.start()
    (again,) = exchange(prepared_log.socket, encode_message(message()))
    assert (again["index"], again["leaf_hash"]) == (0, first[0]["leaf_hash"])
    (other,) = exchange(prepared_log.socket, encode_message(message(seq=2)))
    assert not other["ok"]
    assert "another record has this id" in other["error"]


@pytest.mark.parametrize(
    "bad",
    [
        {"op": "delete"},
        {"op": "record"},
        message(event_id=""),
        message(event={"type": "x", "actor": "u"}),
        message(event="text"),
        message(payload={"not": "text"}),
        message(event={"type": "a:b", "actor": "u", "data": {"x": "y" * 61_000}}),
        message(payload="x" * 900_001),
        message(seq="1"),
        {"op": "payload", "index": True, "reader": "u"},
        {"op": "payload", "index": -1, "reader": "u"},
    ],
)
def test_malformed_requests_get_a_sentence_and_the_log_lives_on(running_log, bad):
    (refused, taken) = exchange(running_log.socket, encode_message(bad), encode_message(message("good")))
    assert not refused["ok"]
    assert refused["error"]
    assert taken["ok"]


@pytest.mark.parametrize("raw", [b"\xff\xff\xff\xff", b"\0\0\0\x02[]", b"\0\0\0\x03{{{", b"\0\0\0\x01\xff"])
def test_rubbish_ends_only_its_own_connection(running_log, raw):
    (answer,) = exchange(running_log.socket, raw)
    assert not answer["ok"]
    assert running_log.client().record(event()).index == 0


def test_a_second_daemon_is_refused_and_the_first_one_keeps_its_socket(running_log):
    assert "Another audit daemon is writing" in running_log.refuse_start()
    other = RunningLog()
    try:
        other.log_dir = running_log.log_dir
        assert "Another audit daemon is writing to log" in other.refuse_start()
    finally:
        other.remove()
    assert running_log.client().record(event()).index == 0


def test_modes(running_log):
    assert running_log.socket.stat().st_mode & 0o777 == 0o666
    assert running_log.state_dir.stat().st_mode & 0o777 == 0o700
    assert (running_log.state_dir / "signing.key").stat().st_mode & 0o777 == 0o600
    assert running_log.log_dir.stat().st_mode & 0o777 == 0o755
    assert (running_log.log_dir / "checkpoint").stat().st_mode & 0o777 == 0o644


def test_a_log_keeps_its_name_and_its_key(prepared_log):
    prepared_log.start()
    assert prepared_log.stop() == 0
    assert "log.vkey was written for another name" in prepared_log.refuse_start("--origin", "other.example.test")
    (prepared_log.state_dir / "signing.key").unlink()
    assert "no signing key" in prepared_log.refuse_start()


def test_answers_are_json_a_stranger_can_read(running_log):
    (answer,) = exchange(running_log.socket, encode_message(message()))
    assert json.loads(json.dumps(answer)) == answer
    assert set(answer) == {"ok", "index", "leaf_hash", "checkpoint"}
