"""The witness over HTTP as the specification tells it, status by status, in a process of its own."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from running_witness import RunningWitness

from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.cosignature import CosignerKey
from audit.merkle import EMPTY_ROOT, consistency_proof, leaf_hash, range_hash, tree_hash
from audit.note import NoteSigner, SignedNote, parse_note
from audit.policy import parse_policy
from audit.witness.messages import encode_request, parse_signatures

ORIGIN = "log.example.test/small"


class SmallLog:
    """A log in memory; ``fork`` is another history from leaf 5 on, signed with the same key."""

    def __init__(self, salt: bytes = b"") -> None:
        self.signer = NoteSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32))
        self.leaves = [leaf_hash((b"" if number < 5 else salt) + str(number).encode()) for number in range(300)]

    @property
    def size(self) -> int:
        return len(self.leaves)

    def node(self, level: int, index: int) -> bytes:
        return tree_hash(self.leaves[index << level : (index + 1) << level])

    def head(self, size: int) -> Checkpoint:
        return Checkpoint(ORIGIN, size, range_hash(0, size, self.node) if size else EMPTY_ROOT)

    def note(self, size: int) -> bytes:
        return sign_checkpoint(self.head(size), self.signer)

    def request(self, old: int, size: int) -> bytes:
        return encode_request(old, consistency_proof(old, size, self.node), self.note(size))


LOG, FORK = SmallLog(), SmallLog(b"other ")
VKEY = str(LOG.signer.verifier)


@pytest.fixture
def witness() -> Iterator[RunningWitness]:
    running = RunningWitness()
    try:
        yield running.start(VKEY)
    finally:
        running.remove()


def path_of(origin: str) -> str:
    return f"/{hashlib.sha256(origin.encode()).hexdigest()}/checkpoint"


def check_cosigned(witness: RunningWitness, note: bytes, answer: bytes) -> None:
    keys = "".join(f"witness w{place} {vkey}\n" for place, vkey in enumerate(witness.vkeys))
    policy = parse_policy(f"log {VKEY}\n{keys}group both all w0 w1\nquorum both\n".encode())
    judged = policy.judge(parse_note(note + answer))
    assert judged.met, judged.problems
    assert all(abs(at.timestamp() - time.time()) < 60 for at in judged.cosigned.values())


def test_it_cosigns_what_continues_and_serves_it(witness: RunningWitness) -> None:
    assert witness.ask("GET", path_of(ORIGIN))[0] == 404
    for old, size in ((0, 0), (0, 3), (3, 3), (3, 256), (256, 300)):
        status, body, _ = witness.add(LOG.request(old, size))
        assert status == 200, body
        check_cosigned(witness, LOG.note(size), body)
        status, served, _ = witness.ask("GET", path_of(ORIGIN))
        assert status == 200
        assert parse_note(served) == SignedNote(
            LOG.head(size).text(), (*parse_note(LOG.note(size)).signatures, *parse_signatures(body))
        )


def test_a_wrong_old_size_is_answered_with_the_right_one(witness: RunningWitness) -> None:
    assert witness.add(LOG.request(2, 8)) == (409, b"0\n", "text/x.tlog.size")
    assert witness.add(LOG.request(0, 8))[0] == 200
    assert witness.add(LOG.request(0, 9)) == (409, b"8\n", "text/x.tlog.size")
    assert witness.add(LOG.request(4, 6)) == (409, b"8\n", "text/x.tlog.size")
    assert witness.add(LOG.request(8, 9))[0] == 200


def test_an_unknown_log(witness: RunningWitness) -> None:
    stranger = NoteSigner("stranger.example.test", Ed25519PrivateKey.generate())
    note = sign_checkpoint(Checkpoint("stranger.example.test", 1, bytes(32)), stranger)
    assert witness.add(encode_request(0, (), note))[0] == 404
    assert witness.ask("GET", path_of("stranger.example.test"))[0] == 404
    assert witness.ask("GET", "/")[0] == 404
    assert witness.ask("POST", "/other", b"x")[0] == 404


def test_signatures_that_are_not_the_logs(witness: RunningWitness) -> None:
    other = NoteSigner(ORIGIN, Ed25519PrivateKey.generate())
    assert witness.add(encode_request(0, (), sign_checkpoint(LOG.head(3), other)))[0] == 403
    forged = parse_note(LOG.note(4))
    bad = SignedNote(LOG.head(3).text(), forged.signatures)
    assert witness.add(encode_request(0, (), bad.encode()))[0] == 403
    good = parse_note(LOG.note(3))
    mixed = SignedNote(good.text, (*good.signatures, *forged.signatures))
    assert witness.add(encode_request(0, (), mixed.encode()))[0] == 403
    unknown = parse_note(sign_checkpoint(LOG.head(3), other)).signatures
    assert witness.add(encode_request(0, (), SignedNote(good.text, (*unknown, *good.signatures)).encode()))[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n" + LOG.note(3),
        b"old 00\n\n" + LOG.note(3),
        b"old -1\n\n" + LOG.note(3),
        b"old 4\n\n" + LOG.note(3),
        b"OLD 0\n\n" + LOG.note(3),
        b"old 0\nnot base64\n\n" + LOG.note(3),
        b"old 0\nAAAA\n\n" + LOG.note(3),
        b"old 0\n\nno note",
        b"old 0\n\nno\ncheckpoint\n\n" + LOG.note(3).split(b"\n\n")[1],
        encode_request(1, [bytes(32)] * 64, LOG.note(3)),
    ],
)
def test_malformed_requests(witness: RunningWitness, body: bytes) -> None:
    assert witness.add(body)[0] == 400


def test_proofs_that_do_not_prove(witness: RunningWitness) -> None:
    assert witness.add(encode_request(0, [bytes(32)], LOG.note(3)))[0] == 422
    wrong_empty = sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), LOG.signer)
    assert witness.add(encode_request(0, (), wrong_empty))[0] == 422
    assert witness.add(LOG.request(0, 6))[0] == 200
    assert witness.add(encode_request(6, (), LOG.note(9)))[0] == 422
    assert witness.add(encode_request(6, [bytes(32)] * 63, LOG.note(9)))[0] == 422
    assert witness.add(encode_request(6, [bytes(32)], LOG.note(6)))[0] == 422
    assert witness.add(LOG.request(6, 9))[0] == 200


def test_a_split_view_is_refused_and_kept_as_evidence(witness: RunningWitness) -> None:
    assert witness.add(LOG.request(0, 8))[0] == 200
    assert witness.add(FORK.request(8, 8))[0] == 422
    assert witness.add(FORK.request(8, 12))[0] == 422
    assert witness.add(FORK.request(0, 8))[0] == 409
    assert witness.add(FORK.request(4, 7))[0] == 409
    kept = {item["reason"]: item for item in witness.evidence}
    assert sorted(kept) == ["not-proven", "older", "other-root"]
    for item in kept.values():
        shown = parse_note(item["request"].partition("\n\n")[2].encode())
        held = parse_note(item["held"].encode())
        # two signatures by one key under two histories: this convicts the log whoever reads it
        LOG.signer.verifier.check(shown.text, shown.signatures[0])
        LOG.signer.verifier.check(held.text, held.signatures[0])
    assert any(line["event"] == "log-suspected" and line["origin"] == ORIGIN for line in witness.lines)
    assert witness.add(LOG.request(8, 12))[0] == 200


def test_killed_between_requests_it_remembers(witness: RunningWitness) -> None:
    assert witness.add(LOG.request(0, 8))[0] == 200
    witness.kill()
    witness.start(VKEY)
    assert witness.add(LOG.request(0, 9)) == (409, b"8\n", "text/x.tlog.size")
    assert witness.add(FORK.request(8, 12))[0] == 422
    assert witness.add(LOG.request(8, 9))[0] == 200
    assert witness.stop() == 0


def test_killed_in_the_middle_it_never_forgets_what_it_answered(witness: RunningWitness) -> None:
    answered, size = 0, 0
    for round_number in range(4):
        killer = threading.Timer(0.15 + 0.1 * round_number, witness.kill)
        killer.start()
        with contextlib.suppress(OSError, http.client.HTTPException):
            while size < 290:
                status, body, _ = witness.add(LOG.request(size, size + 1))
                assert status == 200, body
                size = answered = size + 1
        killer.join()
        witness.start(VKEY)
        assert list((witness.state / "origins").glob(".*.tmp")) == []
        status, body, _ = witness.add(LOG.request(LOG.size, LOG.size))
        assert status == 409
        size = int(body)
        assert size in (answered, answered + 1)
    assert answered > 10


def test_the_same_evidence_is_kept_once(witness: RunningWitness) -> None:
    assert witness.add(LOG.request(0, 8))[0] == 200
    for _ in range(3):
        assert witness.add(FORK.request(8, 8))[0] == 422
    assert [item["reason"] for item in witness.evidence] == ["other-root"]
    assert [line["event"] for line in witness.lines].count("log-suspected") == 1


def test_a_damaged_memory_is_not_used(witness: RunningWitness) -> None:
    assert witness.add(LOG.request(0, 8))[0] == 200
    (kept,) = (witness.state / "origins").iterdir()
    kept.write_bytes(kept.read_bytes().replace(b"\n8\n", b"\n3\n"))
    assert witness.add(LOG.request(3, 9))[0] == 500
    assert witness.add(LOG.request(8, 9))[0] == 500


def test_the_race_of_the_specification(witness: RunningWitness) -> None:
    """Requests for N and N+K at the same time: whatever order wins, the kept size never goes back."""
    assert witness.add(LOG.request(0, 8))[0] == 200
    answers: dict[int, list[tuple[int, bytes, str]]] = {}
    barrier = threading.Barrier(8)

    def submit(number: int) -> None:
        barrier.wait()
        answers[number] = [witness.add(LOG.request(8, 9 + 10 * number)) for _ in range(5)]

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    good = [number for number, tries in answers.items() if any(status == 200 for status, _, _ in tries)]
    assert len(good) == 1
    served = parse_note(witness.ask("GET", path_of(ORIGIN))[1])
    assert served.text == LOG.head(9 + 10 * good[0]).text()
    assert {status for tries in answers.values() for status, _, _ in tries} == {200, 409}


def test_keep_alive_and_no_delay(witness: RunningWitness) -> None:
    connection, took = http.client.HTTPConnection("127.0.0.1", witness.port, timeout=60), []
    for size in range(1, 41):
        started = time.monotonic()
        connection.request("POST", "/add-checkpoint", LOG.request(size - 1, size))
        answer = connection.getresponse()
        answer.read()
        took.append(time.monotonic() - started)
        assert answer.status == 200
        assert not answer.will_close
    connection.close()
    # a delayed acknowledgement costs 40 ms each time; the first dozen of a connection are never delayed
    assert sorted(took[20:])[4] < 0.04


def test_a_slow_client_holds_up_nobody_and_is_dropped(witness: RunningWitness) -> None:
    slow = [socket.create_connection(("127.0.0.1", witness.port)) for _ in range(30)]
    for connection in slow:
        connection.sendall(b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nold")
    assert witness.add(LOG.request(0, 8))[0] == 200
    for place, connection in enumerate(slow):
        connection.settimeout(60)
        if place == 0:
            for _ in range(3):
                connection.sendall(b" ")
        assert connection.recv(1) == b""
        connection.close()


def test_bodies_it_does_not_read(witness: RunningWitness) -> None:
    def status(head: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", witness.port), timeout=60) as connection:
            connection.sendall(b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n")
            return connection.recv(64).split(b" ")[1]

    assert status(b"Content-Length: 999999999\r\n") == b"413"
    assert status(b"Content-Length: -5\r\n") == b"411"
    assert status(b"Content-Length: 5\r\nContent-Length: 6\r\n") == b"411"
    assert status(b"Transfer-Encoding: chunked\r\n") == b"411"
    assert status(b"") == b"411"
    assert witness.ask("PUT", "/add-checkpoint", b"x")[0] == 501


def test_one_kind_of_key_only_and_one_process_per_state(witness: RunningWitness) -> None:
    witness.stop()
    witness.start(VKEY, more=("--key", "ml-dsa-44"))
    status, body, _ = witness.add(LOG.request(0, 8))
    assert status == 200
    (line,) = parse_signatures(body)
    assert CosignerKey.parse(witness.vkeys[1]).owns(line)
    assert "Another witness process" in witness.refuse_start("--log", VKEY)
