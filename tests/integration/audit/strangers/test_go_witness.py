"""A witness by the transparency.dev project judges our log over HTTP: it cosigns what grows, and nothing else."""

import contextlib
import subprocess
from datetime import UTC, datetime

import pytest
from running_log import event, wait_until
from written_log import changed_entry

from audit.checkpoint import parse_checkpoint
from audit.cosignature import CosignerKey
from audit.merkle import consistency_proof, inclusion_proof
from audit.note import SignedNote, parse_note
from audit.proof import Proof
from audit.reader import TileNodes, read_entry
from audit.witness.client import Conflict, Cosigned, WitnessClient, WitnessFailed

pytestmark = pytest.mark.timeout(900)

NAME = "witness.example.test/go"


@contextlib.contextmanager
def running_witness(strangers, vkey):
    """A witness for this log: its cosigner key and its URL."""
    command = [str(strangers.program), "witness", NAME, vkey]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield CosignerKey.parse(process.stdout.readline().strip()), process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.fixture
def witness(strangers, written_log):
    with running_witness(strangers, written_log.vkey) as running:
        yield running


@pytest.fixture
def client(witness):
    asked = WitnessClient(witness[1])
    yield asked
    asked.close()


def grow(log, first, raw):
    """The request that leads from ``first`` records to the checkpoint ``raw``."""
    second = parse_checkpoint(parse_note(raw)).size
    return first, consistency_proof(first, second, TileNodes(log.directory, log.size)), raw


def receipts(log):
    """Signed checkpoints of growing size, the published one last."""
    kept = [path.read_bytes() for _, path in sorted(log.earlier.items())]
    return [*kept, (log.directory / "checkpoint").read_bytes()]


def test_it_cosigns_our_log_as_it_grows(strangers, written_log, witness, client, tmp_path):
    key, _ = witness
    size = 0
    for raw in receipts(written_log):
        answer = client.add_checkpoint(*grow(written_log, size, raw))
        assert isinstance(answer, Cosigned)
        note = parse_note(raw)
        (line,) = answer.signatures
        assert key.owns(line)
        assert abs((key.check(note.text, line) - datetime.now(UTC)).total_seconds()) < 60
        size = parse_checkpoint(note).size
    cosigned = tmp_path / "cosigned"
    cosigned.write_bytes(SignedNote(note.text, (*note.signatures, line)).encode())
    assert strangers.accepts("cosigned", cosigned, written_log.vkey, str(key))["size"] == written_log.size


def test_it_tells_the_size_it_knows(written_log, client):
    first, *_, last = receipts(written_log)
    known = parse_checkpoint(parse_note(last)).size
    client.add_checkpoint(0, [], last)
    assert client.add_checkpoint(0, [], last) == Conflict(known)
    assert client.add_checkpoint(0, [], first) == Conflict(known)


def test_it_refuses_a_rewritten_log_even_with_the_logs_own_key(written_log, broken_log, client):
    client.add_checkpoint(0, [], broken_log.earlier[1000].read_bytes())
    first = parse_checkpoint(parse_note(broken_log.earlier[1000].read_bytes())).size
    entries = broken_log.entries()
    broken_log.rewrite([*entries[:100], changed_entry(entries[100]), *entries[101:]])
    with pytest.raises(WitnessFailed, match="answered 422"):
        client.add_checkpoint(*grow(broken_log, first, (broken_log.directory / "checkpoint").read_bytes()))
    broken_log.rewrite(entries[:900])
    assert client.add_checkpoint(0, [], (broken_log.directory / "checkpoint").read_bytes()) == Conflict(first)


def newest_cosigned(log, least):
    """The newest note in the log's ``cosigned`` folder that covers ``least`` records; None while there is none."""
    folder = log.log_dir / "cosigned"
    sizes = [int(path.name) for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []
    return folder / str(max(sizes)) if sizes and max(sizes) >= least else None


def test_the_daemon_gets_its_cosignatures_and_go_accepts_the_receipts(strangers, prepared_log, tmp_path):
    assert prepared_log.start().stop() == 0
    with running_witness(strangers, prepared_log.vkey) as (key, url):
        policy = tmp_path / "policy"
        policy.write_text(f"log {prepared_log.vkey}\nwitness go {key} {url}\nquorum go\n")
        prepared_log.start("--policy", str(policy), "--witness-seconds", "0.2")
        client = prepared_log.client()
        for number in range(300):
            receipt = client.record(event(number))
        wait_until(lambda: newest_cosigned(prepared_log, receipt.index + 1))
        note = newest_cosigned(prepared_log, receipt.index + 1)
        assert strangers.accepts("cosigned", note, prepared_log.vkey, str(key))["size"] == int(note.name)
        hashes = inclusion_proof(7, int(note.name), TileNodes(prepared_log.log_dir, int(note.name)))
        proof, entry = tmp_path / "receipt.tlog-proof", tmp_path / "entry"
        proof.write_text(Proof(7, tuple(hashes), note.read_bytes()).encode())
        entry.write_bytes(read_entry(prepared_log.log_dir, 7))
        assert strangers.accepts("receipt", proof, entry, policy) == {"index": 7, "size": int(note.name)}
        client.close()
        assert prepared_log.stop() == 0
