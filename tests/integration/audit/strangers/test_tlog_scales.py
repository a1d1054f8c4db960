"""tlog-scales, a tlog-tiles reader by other people, reads our log; proofs pass both ways."""

import json
import subprocess
import sys

import pytest
from cryptography.exceptions import InvalidSignature
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tiles import leaf_hash as their_leaf_hash
from tlog_scales.tlog import Checkpoint as TheirCheckpoint
from tlog_scales.tlog import InclusionProof, InclusionProofInvalid
from tlog_scales.utils import b64enc
from written_log import EARLIER_SIZES, changed_entry, flip

from audit.proof import ProofError, parse_proof, prove, verify_proof
from audit.reader import read_entry

INDEXES = [0, 1, 255, 256, 300, 2047, 2048, 3002]


def their_command(*arguments):
    command = [sys.executable, "-m", "tlog_scales.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False)


@pytest.fixture
def reader(written_log):
    return TilesReader(LocalBackend(written_log.directory))


def test_it_finds_the_signature_and_the_root(written_log, reader):
    checkpoint = reader.get_checkpoint()
    checkpoint.verify(Vkey.from_string(written_log.vkey))
    assert checkpoint.size == written_log.size
    assert reader.calculate_root_hash() == checkpoint.root_hash


def test_its_command_prints_and_checks_records(written_log):
    for index in (0, 300, 3002):
        done = their_command("get-leaf", "--check", written_log.directory, index)
        assert done.returncode == 0, done.stderr
        assert done.stdout == read_entry(written_log.directory, index)
        assert json.loads(done.stdout)["v"] == 1


def test_we_accept_its_proofs(written_log):
    for index in INDEXES:
        done = their_command("gen-proof", written_log.directory, index)
        entry = read_entry(written_log.directory, index)
        assert verify_proof(done.stdout.decode(), entry, written_log.vkey).size == written_log.size
        with pytest.raises(ProofError):
            verify_proof(done.stdout.decode(), changed_entry(entry), written_log.vkey)


def test_it_accepts_our_proofs(written_log):
    for index in INDEXES:
        proof = parse_proof(prove(written_log.directory, index))
        checkpoint = TheirCheckpoint.from_text(proof.checkpoint.decode())
        checkpoint.verify(Vkey.from_string(written_log.vkey))
        theirs = InclusionProof(index, checkpoint.size, list(proof.hashes))
        entry = read_entry(written_log.directory, index)
        theirs.check(their_leaf_hash(entry), checkpoint.root_hash)
        with pytest.raises(InclusionProofInvalid):
            theirs.check(their_leaf_hash(changed_entry(entry)), checkpoint.root_hash)


@pytest.mark.parametrize("size", EARLIER_SIZES)
def test_it_proves_the_log_consistent_with_earlier_receipts(written_log, reader, size):
    now = reader.get_checkpoint()
    earlier = TheirCheckpoint.from_text(written_log.earlier[size].read_text())
    reader.get_consistency_proof(earlier.size, now.size).check(earlier.root_hash, now.root_hash)


def test_it_rejects_an_edited_bundle_and_an_edited_tile(broken_log):
    flip(broken_log.directory / "tile/entries/001", 200)
    assert their_command("get-leaf", "--check", broken_log.directory, 256).returncode != 0
    flip(broken_log.directory / "tile/0/002", 40)
    assert their_command("get-leaf", "--check", broken_log.directory, 512).returncode != 0


def test_it_rejects_a_root_the_log_did_not_sign(broken_log):
    path = broken_log.directory / "checkpoint"
    path.write_text(path.read_text().replace(broken_log.root, b64enc(bytes(32))))
    checkpoint = TilesReader(LocalBackend(broken_log.directory)).get_checkpoint()
    with pytest.raises(InvalidSignature):
        checkpoint.verify(Vkey.from_string(broken_log.vkey))


def test_it_reads_and_proves_later_records_of_a_pruned_log(broken_log):
    for bundle in range(4):
        (broken_log.directory / f"tile/entries/00{bundle}").unlink()
    assert their_command("get-leaf", "--check", broken_log.directory, 1023).returncode != 0
    for index in (1024, 3002):
        done = their_command("get-leaf", "--check", broken_log.directory, index)
        assert done.returncode == 0, done.stderr
        proof = their_command("gen-proof", broken_log.directory, index).stdout.decode()
        assert verify_proof(proof, done.stdout, broken_log.vkey).size == broken_log.size
