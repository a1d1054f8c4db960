"""The daemon and its witnesses: real processes, dead ones, hung ones, lying ones, and what a start finds out."""

from __future__ import annotations

import http.server
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from enclave_test_ports import free_port  # type: ignore[import-not-found]
from running_log import RunningLog, event, wait_until
from running_witness import RunningWitness
from witnessed_log import FAST, initialised, is_witnessed, judged, policy_file, policy_of, recorded, sizes

from audit.checkpoint import parse_checkpoint
from audit.cosignature import Cosigner
from audit.daemon.cosigned import CosignedNotes
from audit.daemon.witness_states import WitnessStates
from audit.daemon.witnessing import Witnessing
from audit.note import parse_note
from audit.policy import parse_policy
from audit.verify import verify_log


@pytest.fixture
def witnesses() -> Iterator[list[RunningWitness]]:
    made = [RunningWitness(f"witness.example.test/w{number}") for number in (1, 2)]
    yield made
    for witness in made:
        witness.remove()


@contextmanager
def served(handler: type[socketserver.BaseRequestHandler]) -> Iterator[str]:
    """The URL of a server of ours that misbehaves in some way."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_two_witnesses_cosign_and_the_log_still_verifies(
    prepared_log: RunningLog, witnesses: list[RunningWitness]
) -> None:
    log = initialised(prepared_log)
    for witness in witnesses:
        witness.start(log.vkey)
    policy = policy_of(log, witnesses)
    log.start(*FAST, "--policy", str(policy))
    client = log.client()
    for number in range(300):
        client.record(event(number))
    wait_until(lambda: is_witnessed(log, policy) and sizes(log)[-1] >= 300)
    found = judged(log, policy, sizes(log)[-1])
    assert set(found.cosigned) == {"w0-0", "w0-1", "w1-0", "w1-1"}
    assert all(abs(time.time() - at.timestamp()) < 60 for at in found.cosigned.values())
    configured = recorded(log, "witness:configured", "witness:lost")
    assert configured == [("witness:configured", f"w{a}-{b}") for a in (0, 1) for b in (0, 1)]
    log.stop()
    assert is_witnessed(log, policy), "the last records are witnessed before the daemon ends"
    newest = (log.state_dir / "witness" / "newest").read_bytes()
    assert newest == (log.log_dir / "cosigned" / str(sizes(log)[-1])).read_bytes()
    parsed = parse_policy(policy.read_bytes())
    report = verify_log(log.log_dir, None, policy=parsed, max_age=timedelta(minutes=5))
    assert report.ok, report.lines()
    log.start(*FAST, "--policy", str(policy))
    log.client("second").record(event(301))
    log.stop()
    assert len(recorded(log, "witness:configured")) == 4, "the same set is recorded once"


def test_a_dead_and_a_hung_witness_delay_nothing(prepared_log: RunningLog, witnesses: list[RunningWitness]) -> None:
    log = initialised(prepared_log)
    witnesses[0].start(log.vkey)
    witnesses[1].port = free_port()

    class Hung(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(120)
            while self.request.recv(65536):
                pass

    hung = Cosigner("hung.example.test", Ed25519PrivateKey.generate()).key
    with served(Hung) as url:
        policy = policy_of(log, witnesses, "any")
        policy.write_text(policy.read_text() + f"witness hung {hung} {url}\n")
        started = time.monotonic()
        log.start(*FAST, "--policy", str(policy))
        assert time.monotonic() - started < 60, "asking at start ends after 3 s, the hung one's silence after 120"
        client, started = log.client(), time.monotonic()
        for number in range(100):
            client.record(event(number))
        assert time.monotonic() - started < 60, "100 records that wait for a witness, 3 s each, take 300 s"
        wait_until(lambda: is_witnessed(log, policy))
        wait_until(lambda: {"w1-0", "w1-1", "hung"} <= {name for _, name in recorded(log, "witness:lost")})
        witnesses[1].start(log.vkey)
        wait_until(lambda: {"w1-0", "w1-1"} <= {name for _, name in recorded(log, "witness:back")})
        stopping = time.monotonic()
        assert log.stop() == 0
        assert time.monotonic() - stopping < 60
    assert sorted(recorded(log, "witness:lost")) == [("witness:lost", name) for name in ("hung", "w1-0", "w1-1")]


class Liar(http.server.BaseHTTPRequestHandler):
    """Answers as told, whatever it is asked."""

    answers: tuple[tuple[int, bytes], ...] = ()
    count = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        kind = type(self)
        status, body = kind.answers[kind.count % len(kind.answers)]
        kind.count += 1
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Silent."""


def test_a_lying_witness_is_ignored_and_logged(prepared_log: RunningLog) -> None:
    log = initialised(prepared_log)
    cosigner = Cosigner("liar.example.test", Ed25519PrivateKey.generate())
    other = parse_checkpoint(parse_note((log.log_dir / "checkpoint").read_bytes()))
    wrong = cosigner.cosign(type(other)(other.origin, 999, bytes(32)), datetime.now(UTC)).line().encode()

    class Lies(Liar):
        answers = (
            (200, wrong), (409, b"999999\n"), (409, b"no size"), (200, b"no lines"), (200, b""), (500, b"x"),
            (409, b"0\n"), (302, b""), (200, b"x" * 400_000), (422, b"no"),
        )  # fmt: skip

    with served(Lies) as url:
        policy = policy_file(log, [f"witness liar {cosigner.key} {url}", "quorum none"])
        log.start(*FAST, "--policy", str(policy))
        log.client().record(event())
        wait_until(lambda: Lies.count >= 25, 30)
        wait_until(lambda: "cosignature-ignored" in log.errors.read_text())
        log.client("b").record(event(1))
        assert log.stop() == 0
    assert sizes(log) == []
    assert recorded(log, "witness:lost", "witness:back") == [("witness:lost", "liar")]


def test_an_unchanged_checkpoint_is_cosigned_again(prepared_log: RunningLog, witnesses: list[RunningWitness]) -> None:
    """After the witness was away, and at every restart: the times in the file move on while the size stays."""
    log = initialised(prepared_log)
    witnesses[0].start(log.vkey)
    policy = policy_of(log, witnesses[:1])
    log.start(*FAST, "--policy", str(policy))
    log.client().record(event())
    wait_until(lambda: is_witnessed(log, policy))
    log.stop()
    size = sizes(log)[-1]
    before = judged(log, policy, size).cosigned
    wait_until(lambda: time.time() > max(at.timestamp() for at in before.values()) + 1)
    log.start(*FAST, "--policy", str(policy))
    wait_until(lambda: all(judged(log, policy, size).cosigned[name] > at for name, at in before.items()))
    log.stop()
    assert sizes(log)[-1] == size


def test_stale_cosignatures_are_renewed_while_nothing_happens(
    prepared_log: RunningLog, witnesses: list[RunningWitness], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = initialised(prepared_log)
    log.start(*FAST)
    log.client().record(event())
    log.stop()
    witnesses[0].start(log.vkey)
    policy = parse_policy(policy_of(log, witnesses[:1]).read_bytes())
    monkeypatch.setattr("audit.daemon.witnessing.RENEW_SECONDS", 0.3)
    states = WitnessStates(log.state_dir, policy.witnesses, lambda *_: None)
    notes = CosignedNotes(log.log_dir, log.state_dir, log.state_dir / "staging")
    witnessing = Witnessing(log.log_dir, notes, policy.witnesses, states, 0.1)
    witnessing.start()
    wait_until(lambda: sizes(log) != [])
    (size,) = sizes(log)
    path = log.home / "policy"
    first = judged(log, path, size).cosigned
    wait_until(lambda: all(judged(log, path, size).cosigned[name] > at for name, at in first.items()))
    witnessing.finish()
