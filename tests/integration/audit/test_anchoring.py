"""RFC 3161 time stamps by a real ``openssl ts`` authority: over HTTP, by hand, and refused."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from running_authority import RunningAuthority, openssl
from running_log import RunningLog, event, wait_until

from audit.reader import read_entries
from audit.timestamps import TimestampError, build_request, check_response, verify_timestamp
from audit.verify import verify_log

QUIET = ("--heartbeat-seconds", "0")
CLI = [sys.executable, "-m", "audit.cli", "timestamp"]
NOTE = b"log.example.test/x\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\nsignatures\n"


@pytest.fixture
def authority() -> Iterator[RunningAuthority]:
    made = RunningAuthority()
    yield made
    made.remove()


def anchors(log: RunningLog) -> list[Path]:
    return sorted((log.log_dir / "anchors").glob("*.tsr"))


def received(log: RunningLog) -> list[dict[str, dict[str, object]]]:
    return [entry.leaf for entry in read_entries(log.log_dir) if entry.leaf["type"] == "anchor:received"]


def check_anchor(log: RunningLog, authority: RunningAuthority, tsr: Path) -> None:
    note = tsr.with_suffix(".note")
    at = verify_timestamp(note.read_bytes(), tsr.read_bytes(), authority.root.read_bytes())
    assert abs((datetime.now(UTC) - at).total_seconds()) < 120
    openssl("ts", "-verify", "-in", str(tsr), "-data", str(note), "-CAfile", str(authority.root))
    hashes = {
        "note_sha256": hashlib.sha256(note.read_bytes()).hexdigest(),
        "tsr_sha256": hashlib.sha256(tsr.read_bytes()).hexdigest(),
    }
    assert [leaf["counts"] for leaf in received(log) if leaf["data"] == hashes] == [{"size": int(tsr.stem)}]


@pytest.mark.parametrize("hash_name", ["sha256", "sha512"])
def test_a_stamp_is_checked_against_note_nonce_and_root(authority: RunningAuthority, hash_name: str) -> None:
    query, nonce = build_request(NOTE, hash_name)
    answer = authority.reply(query)
    assert verify_timestamp(NOTE, answer, authority.root.read_bytes()) == check_response(NOTE, answer, nonce)
    with pytest.raises(TimestampError, match="other bytes"):
        verify_timestamp(NOTE + b"x", answer, authority.root.read_bytes())
    with pytest.raises(TimestampError, match="nonce"):
        check_response(NOTE, answer, nonce + 1)
    with pytest.raises(TimestampError, match="root"):
        verify_timestamp(NOTE, answer, (authority.home / "tsa.pem").read_bytes())
    with pytest.raises(TimestampError, match="PEM"):
        verify_timestamp(NOTE, answer, b"no certificate")
    for place in range(30, len(answer), 97):
        changed = bytearray(answer)
        changed[place] ^= 4
        with pytest.raises(TimestampError):
            verify_timestamp(NOTE, bytes(changed), authority.root.read_bytes() + b"")
    with pytest.raises(TimestampError, match="DER"):
        check_response(NOTE, b"\x30\x03\x02\x01\x00")


def test_a_stranger_authority_is_refused(authority: RunningAuthority) -> None:
    stranger = RunningAuthority()
    try:
        query, _ = build_request(NOTE)
        answer = stranger.reply(query)
        with pytest.raises(TimestampError, match="trusted authority"):
            verify_timestamp(NOTE, answer, authority.root.read_bytes())
    finally:
        stranger.remove()


def test_the_daemon_asks_records_and_publishes(prepared_log: RunningLog, authority: RunningAuthority) -> None:
    authority.start()
    options = ("--tsa", authority.url, "--tsa-seconds", "0.2", "--tsa-certificates", str(authority.root))
    log = prepared_log.start(*QUIET, *options)
    client = log.client()
    client.record(event())
    wait_until(lambda: len(anchors(log)) >= 2)
    client.record(event(1))
    before = len(anchors(log))
    wait_until(lambda: len(anchors(log)) > before)
    log.stop()
    for tsr in anchors(log):
        check_anchor(log, authority, tsr)
    assert list((log.state_dir / "anchors").iterdir()) == []
    report = verify_log(log.log_dir, log.vkey)
    assert report.ok, report.lines()


def test_a_hung_authority_delays_nothing_and_an_hour_is_an_hour(
    prepared_log: RunningLog, authority: RunningAuthority
) -> None:
    with socket.socket() as hung:
        hung.bind(("127.0.0.1", 0))
        hung.listen(4)
        url = f"http://127.0.0.1:{hung.getsockname()[1]}/"
        log = prepared_log.start(*QUIET, "--tsa", url)
        client = log.client()
        started = time.monotonic()
        for number in range(50):
            client.record(event(number))
        assert time.monotonic() - started < 60, "not one of them waits for the authority"
        assert log.stop() == 0
    authority.start()
    log.start(*QUIET, "--tsa", authority.url)
    wait_until(lambda: len(anchors(log)) == 1)
    log.stop()
    log.start(*QUIET, "--tsa", authority.url)
    log.client("again").record(event(99))
    log.stop()
    assert authority.requests == 1


def run(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*CLI, *words], capture_output=True, timeout=60, check=False)


def test_by_hand(prepared_log: RunningLog, authority: RunningAuthority) -> None:
    log = prepared_log.start(*QUIET)
    log.client().record(event())
    wait_until(lambda: b"\n1\n" in (log.log_dir / "checkpoint").read_bytes())
    carried = log.home / "carried"
    assert run("request", str(log.log_dir), "--out", str(carried)).returncode == 0
    note, tsr = carried / "1.note", carried / "1.tsr"
    tsr.write_bytes(authority.reply((carried / "1.tsq").read_bytes()))
    checked = run("check", str(note), str(tsr), "--certificates", str(authority.root), "--json")
    assert checked.returncode == 0
    assert b'"ok": true' in checked.stdout
    handed = run("import", str(note), str(tsr), "--state", str(log.state_dir), "--key", log.vkey)
    assert handed.returncode == 0, handed.stderr
    wait_until(lambda: anchors(log) != [])
    wait_until(lambda: received(log) != [])
    check_anchor(log, authority, anchors(log)[0])
    other = carried / "other.note"
    other.write_bytes(note.read_bytes().replace(b"\n1\n", b"\n2\n"))
    assert run("import", str(other), str(tsr), "--state", str(log.state_dir), "--key", log.vkey).returncode == 2
    assert run("check", str(other), str(tsr), "--certificates", str(authority.root)).returncode == 2


def test_a_crash_between_record_and_file_is_mended_and_rubbish_is_refused(
    prepared_log: RunningLog, authority: RunningAuthority
) -> None:
    log = prepared_log.start(*QUIET)
    log.client().record(event())
    log.kill()
    note = (log.log_dir / "checkpoint").read_bytes()
    size = int(note.split(b"\n")[1])
    query, _ = build_request(note)
    waiting = log.state_dir / "anchors"
    waiting.mkdir(exist_ok=True)
    answer = authority.reply(query)
    for name, data in ((f"{size}.note", note), (f"{size}.tsr", answer), ("77.note", note), ("77.tsr", answer)):
        (waiting / name).write_bytes(data)
    (waiting / "78.tsr").write_bytes(os.urandom(100))
    log.start(*QUIET)
    wait_until(lambda: anchors(log) != [] and received(log) != [])
    wait_until(lambda: (waiting / "78.refused").exists() and (waiting / "77.refused").exists())
    log.stop()
    assert [path.name for path in anchors(log)] == [f"{size}.tsr"]
    check_anchor(log, authority, anchors(log)[0])
