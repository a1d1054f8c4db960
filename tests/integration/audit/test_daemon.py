"""The running daemon: receipts, publication, payloads, duplicates, restarts, refusals."""

import json
import os
import socket
import subprocess
import threading
import time

import pytest
from running_log import RunningLog, event, wait_until

from audit.canonical import CanonicalError
from audit.checkpoint import open_checkpoint
from audit.client import AuditClient, AuditRefused, AuditUnavailable
from audit.event import EventError
from audit.note import VerifierKey
from audit.proof import ProofError, prove, verify_proof
from audit.reader import LogUnreadable, read_entries, read_entry
from audit.verify import verify_log
from audit.wire import encode_message, take_messages


def exchange(path, *messages):
    """Speak to the daemon without the client; return the answers."""
    answers, buffer = [], bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(10)
        link.connect(str(path))
        link.sendall(b"".join(messages))
        while len(answers) < len(messages):
            chunk = link.recv(65536)
            if not chunk:
                return answers
            buffer += chunk
            answers += take_messages(buffer)
    return answers


def message(event_id="e-1", seq=1, **more):
    fields = {"type": "query:intent", "actor": "u-1"}
    envelope = {"event_id": event_id, "writer": "raw", "boot": "b", "seq": seq}
    return {"op": "record", "event": fields, **envelope, **more}


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


def test_publication_is_at_most_a_second_behind(running_log):
    client = running_log.client()
    for number in range(3):
        receipt = client.record(event(number))
        begun = time.monotonic()
        client.wait_published(receipt.index, running_log.log_dir, 5)
        assert time.monotonic() - begun < 1.0


def test_proofs_lead_from_the_record_to_the_key(running_log):
    client = running_log.client()
    for number in range(20):
        receipt = client.record(event(number))
    client.wait_published(receipt.index, running_log.log_dir)
    proof = prove(running_log.log_dir, 7)
    leaf = read_entry(running_log.log_dir, 7)
    assert verify_proof(proof, leaf, running_log.vkey).size == 20
    for wrong in (leaf + b" ", "00" * 32, "zz"):
        with pytest.raises(ProofError):
            verify_proof(proof, wrong, running_log.vkey)
    for text in (
        "",
        proof.replace("index 7", "index 8"),
        proof.replace("index 7", "index 07"),
        proof.replace("\n\n", "\n"),
    ):
        with pytest.raises(ProofError):
            verify_proof(text, leaf, running_log.vkey)
    with_extra = proof.replace("@v1\n", "@v1\nextra QUJD\n")
    assert verify_proof(with_extra, leaf, running_log.vkey).size == 20
    for outside in (20, -1):
        with pytest.raises(LogUnreadable):
            prove(running_log.log_dir, outside)


def test_payloads_are_not_in_the_log_and_reading_one_is_recorded(running_log):
    client = running_log.client()
    secret = {"sql": "SELECT 'Marguerite'", "limit": 1.5}
    receipt = client.record(event(payload=secret))
    assert client.payload(receipt.index, "u-auditor") == secret
    client.wait_published(receipt.index + 1, running_log.log_dir)
    for path in [*running_log.log_dir.rglob("*"), *running_log.state_dir.rglob("*")]:
        assert path.is_dir() or b"Marguerite" not in path.read_bytes()
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


def test_the_client_refuses_what_the_log_would_refuse(running_log):
    client = running_log.client()
    with pytest.raises(CanonicalError, match="move long text"):
        client.record(event(data={"x": "y" * 61_000}))
    with pytest.raises(EventError):
        client.record(event(type="nonsense"))
    with pytest.raises(EventError):
        client.record(event(payload={"x": object()}))
    with pytest.raises(EventError):
        AuditClient(running_log.socket, "bad writer")


def test_many_threads_share_one_client(running_log):
    client = running_log.client()
    indexes = []

    def work():
        indexes.extend(client.record(event(number)).index for number in range(50))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(indexes) == list(range(400))
    client.wait_published(399, running_log.log_dir)
    report = verify_log(running_log.log_dir, running_log.vkey)
    assert report.ok
    assert not any(verdict.notices for verdict in report.verdicts.values())


def test_a_forked_child_gets_a_counter_of_its_own(running_log):
    client = running_log.client()
    client.record(event())
    script = (
        "import os, sys, pathlib\n"
        "from audit.client import AuditClient\n"
        "from audit.event import AuditEvent\n"
        f"client = AuditClient(pathlib.Path({str(running_log.socket)!r}), 'forker')\n"
        "client.record(AuditEvent('a:b', 'u'))\n"
        "child = os.fork()\n"
        "client.record(AuditEvent('a:b', 'u'))\n"
        "os.waitpid(child, 0) if child else os._exit(0)\n"
    )
    import sys

    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
    client.wait_published(3, running_log.log_dir)
    senders = [(entry.leaf["boot"], entry.leaf["seq"]) for entry in read_entries(running_log.log_dir)]
    assert len(set(senders)) == 4
    assert verify_log(running_log.log_dir, running_log.vkey).ok


def test_a_client_waits_for_a_daemon_that_comes_back(prepared_log):
    prepared_log.start()
    client = prepared_log.client()
    client.record(event())
    prepared_log.kill()
    results = []
    waiting = threading.Thread(target=lambda: results.append(client.record(event(1), timeout=15)))
    waiting.start()
    prepared_log.start()
    waiting.join(20)
    assert results[0].index == 1


def test_without_a_daemon_there_is_no_receipt(prepared_log):
    with pytest.raises(AuditUnavailable, match="the action is refused"):
        prepared_log.client().record(event(), timeout=0.3)
    with pytest.raises(AuditUnavailable, match="was not published"):
        prepared_log.client().wait_published(0, prepared_log.log_dir, 0.1)


def test_a_second_daemon_is_refused_and_the_first_one_keeps_its_socket(running_log):
    assert "Another audit daemon is writing" in running_log.refuse_start()
    other = RunningLog()
    try:
        other.log_dir = running_log.log_dir
        assert "Another audit daemon is writing to log" in other.refuse_start()
    finally:
        other.remove()
    assert running_log.client().record(event()).index == 0


def test_a_clean_stop_publishes_everything_and_leaves_nothing_else(prepared_log):
    prepared_log.start()
    client = prepared_log.client()
    for number in range(300):
        client.record(event(number))
    assert prepared_log.stop() == 0
    assert not prepared_log.socket.exists()
    report = verify_log(prepared_log.log_dir, prepared_log.vkey)
    assert report.ok, report.lines()
    assert report.size == 300
    assert not list((prepared_log.state_dir / "staging").iterdir())
    assert not list((prepared_log.log_dir / "tile").rglob("000.p/[2-9]*"))


def test_an_empty_log_verifies(running_log):
    report = verify_log(running_log.log_dir, running_log.vkey)
    assert report.ok
    assert (report.size, report.root) == (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


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


def test_verification_of_a_log_that_is_being_written(running_log):
    client = running_log.client()
    going = True

    def write():
        number = 0
        while going:
            client.record(event(number))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        sizes = []
        while len(sizes) < 4 or sizes[-1] < 600:  # past two full bundles, whose partials go while we read
            wait_until(lambda: published_size(running_log) > (sizes[-1] if sizes else 0))
            report = verify_log(running_log.log_dir, running_log.vkey)
            assert report.ok, report.lines()
            sizes.append(report.size)
    finally:
        going = False
        writer.join(20)
    assert sizes == sorted(sizes)


def published_size(log):
    return int((log.log_dir / "checkpoint").read_text().split("\n")[1])


def test_answers_are_json_a_stranger_can_read(running_log):
    (answer,) = exchange(running_log.socket, encode_message(message()))
    assert json.loads(json.dumps(answer)) == answer
    assert set(answer) == {"ok", "index", "leaf_hash", "checkpoint"}


def test_a_folder_of_partials_that_goes_while_the_log_is_listed(running_log, monkeypatch):
    client = running_log.client()
    client.wait_published(client.record(event()).index, running_log.log_dir)
    gone = running_log.log_dir / "tile" / "entries" / "000.p"
    real_scandir = os.scandir

    def scandir(path):
        if str(path) == str(gone):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return real_scandir(path)

    with monkeypatch.context() as race:
        race.setattr(os, "scandir", scandir)
        assert verify_log(running_log.log_dir, running_log.vkey).ok
