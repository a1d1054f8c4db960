"""Our witness, asked by the transparency.dev project's client, answers as the protocol says."""

import base64
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from enclave_test_ports import free_port  # type: ignore[import-not-found]
from running_log import wait_until
from written_log import changed_entry

from audit.checkpoint import parse_checkpoint
from audit.merkle import consistency_proof
from audit.note import parse_note
from audit.reader import TileNodes

pytestmark = pytest.mark.timeout(900)


def witness_command(*arguments):
    return [sys.executable, "-m", "audit.cli", "witness", *map(str, arguments)]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def our_witness(written_log, tmp_path):
    """Our witness running for this log: its verifier keys and its URL."""
    state = tmp_path / "witness"
    init = witness_command("init", "--name", "witness.example.test/ours", "--state", state)
    keys = subprocess.run(init, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    port = free_port()
    run = witness_command("run", "--state", state, "--listen", f"127.0.0.1:{port}", "--log", written_log.vkey)
    with Path(tmp_path / "witness.err").open("wb") as errors:
        process = subprocess.Popen(run, stderr=errors, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(port) or process.poll() is not None)
        yield keys, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def proof_words(log, first):
    hashes = consistency_proof(first, log.size, TileNodes(log.directory, log.size))
    return [base64.b64encode(item).decode() for item in hashes]


def size_of(path):
    return parse_checkpoint(parse_note(path.read_bytes())).size


def test_their_client_gets_cosignatures_that_their_verifier_accepts(strangers, written_log, our_witness, tmp_path):
    keys, url = our_witness
    earlier, now = written_log.earlier[1000], written_log.directory / "checkpoint"
    strangers.accepts("submit", url, 0, earlier)
    assert strangers.accepts("submit", url, 0, now) == {"lines": "", "known": size_of(earlier)}
    proof = proof_words(written_log, size_of(earlier))
    answer = strangers.accepts("submit", url, size_of(earlier), now, *proof)
    cosigned = tmp_path / "cosigned"
    cosigned.write_text(now.read_text() + answer["lines"])
    assert strangers.accepts("cosigned", cosigned, written_log.vkey, *keys)["size"] == written_log.size


def test_their_client_is_refused_a_rewritten_log(strangers, broken_log, our_witness):
    _, url = our_witness
    earlier, now = broken_log.earlier[1000], broken_log.directory / "checkpoint"
    strangers.accepts("submit", url, 0, earlier)
    entries = broken_log.entries()
    broken_log.rewrite([changed_entry(entries[0]), *entries[1:]])
    reason = strangers.rejects("submit", url, size_of(earlier), now, *proof_words(broken_log, size_of(earlier)))
    assert "consistency proof" in reason
    now.write_text(now.read_text().replace(broken_log.root, broken_log.root[::-1]))
    strangers.rejects("submit", url, size_of(earlier), now)
