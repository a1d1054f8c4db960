"""Cosignatures and receipts made here are accepted, and broken ones refused, by other people's code."""

import base64
import subprocess
from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tlog_scales.signing import Vkey
from tlog_scales.tlog import Checkpoint as TheirCheckpoint
from written_log import changed_entry

from audit.checkpoint import parse_checkpoint
from audit.cosignature import Cosigner
from audit.note import SignedNote, parse_note
from audit.proof import Proof, parse_proof, prove
from audit.reader import read_entry

pytestmark = pytest.mark.timeout(900)

AT = datetime(2026, 11, 22, 2, 30, tzinfo=UTC)
COSIGNERS = [
    Cosigner("witness.example.test/one", Ed25519PrivateKey.generate()),
    Cosigner("witness.example.test/two", MLDSA44PrivateKey.generate()),
    Cosigner("witness.example.test/three", Ed25519PrivateKey.generate()),
]
KEYS = [str(cosigner.key) for cosigner in COSIGNERS]


def cosign(raw, *cosigners):
    note = parse_note(raw)
    lines = [cosigner.cosign(parse_checkpoint(note), AT) for cosigner in cosigners]
    return SignedNote(note.text, (*note.signatures, *lines)).encode()


@pytest.fixture
def note(written_log, tmp_path):
    """The checkpoint with all three cosignatures."""
    path = tmp_path / "cosigned"
    path.write_bytes(cosign((written_log.directory / "checkpoint").read_bytes(), *COSIGNERS))
    return path


@pytest.fixture
def policy(written_log, tmp_path):
    path = tmp_path / "policy"
    names = ["one", "two", "three"]
    witnesses = [f"witness {n} {key} https://{n}.example.test/" for n, key in zip(names, KEYS, strict=True)]
    lines = [f"log {written_log.vkey}", *witnesses, "group most 2 one two three", "quorum most", ""]
    path.write_text("\n".join(lines))
    return path


def test_go_accepts_cosignatures_of_both_kinds(strangers, written_log, note):
    verdict = strangers.accepts("cosigned", note, written_log.vkey, *KEYS)
    assert verdict["size"] == written_log.size
    assert verdict["times"] == {"+".join(key.split("+")[:2]): int(AT.timestamp()) for key in KEYS}


def test_go_refuses_a_cosignature_of_another_time_tree_or_key(strangers, written_log, note):
    good = note.read_bytes()
    for place in (0, 1):
        signed = parse_note(good)
        line = signed.signatures[1 + place]
        later = int.from_bytes(line.signature[:8]) + 1
        forged = type(line)(line.name, line.key_id, later.to_bytes(8) + line.signature[8:])
        note.write_bytes(SignedNote(signed.text, (signed.signatures[0], forged)).encode())
        strangers.rejects("cosigned", note, written_log.vkey, KEYS[place])
    earlier = written_log.earlier[1000].read_bytes()
    mixed = SignedNote(parse_note(earlier).text, (*parse_note(earlier).signatures, *parse_note(good).signatures[1:]))
    note.write_bytes(mixed.encode())
    strangers.rejects("cosigned", note, written_log.vkey, *KEYS)
    note.write_bytes(good)
    stranger = Cosigner("witness.example.test/else", Ed25519PrivateKey.generate())
    strangers.rejects("cosigned", note, written_log.vkey, str(stranger.key))


def test_tlog_scales_accepts_cosignatures_of_both_kinds(note):
    checkpoint = TheirCheckpoint.from_text(note.read_text())
    for key in KEYS:
        checkpoint.verify(Vkey.from_string(key))
    other = TheirCheckpoint(checkpoint.origin, checkpoint.size + 1, checkpoint.root_hash, checkpoint.signatures)
    for key in KEYS:
        with pytest.raises(InvalidSignature):
            other.verify(Vkey.from_string(key))


def openssl_verifies(folder, message, signature, public):
    pem = Ed25519PublicKey.from_public_bytes(public).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for name, content in (("key.pem", pem), ("message", message), ("signature", signature)):
        (folder / name).write_bytes(content)
    files = ["-inkey", folder / "key.pem", "-in", folder / "message", "-sigfile", folder / "signature"]
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin", *files]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


def test_openssl_accepts_an_ed25519_cosignature(note, tmp_path):
    # read by hand, not with our parsers: "— name base64(4 bytes key id, 8 bytes time, signature)"
    text, lines = note.read_bytes().split(b"\n\n")
    blob = base64.b64decode(lines.split(b"\n")[1].split()[2])
    seconds = int.from_bytes(blob[4:12])
    public = base64.b64decode(KEYS[0].split("+", 2)[2])[1:]
    message = f"cosignature/v1\ntime {seconds}\n".encode() + text + b"\n"
    assert openssl_verifies(tmp_path, message, blob[12:], public)
    assert not openssl_verifies(tmp_path, message.replace(b"time 1", b"time 2"), blob[12:], public)


def test_go_accepts_our_receipts_under_our_policy(strangers, written_log, note, policy, tmp_path):
    for index in (0, 256, 3002):
        proof = parse_proof(prove(written_log.directory, index))
        receipt = tmp_path / "receipt.tlog-proof"
        receipt.write_text(Proof(index, proof.hashes, note.read_bytes()).encode())
        entry = tmp_path / "entry"
        entry.write_bytes(read_entry(written_log.directory, index))
        assert strangers.accepts("receipt", receipt, entry, policy) == {"index": index, "size": written_log.size}
        entry.write_bytes(changed_entry(entry.read_bytes()))
        strangers.rejects("receipt", receipt, entry, policy)


def test_go_refuses_a_receipt_below_the_quorum_or_of_another_log(strangers, written_log, policy, tmp_path):
    raw = (written_log.directory / "checkpoint").read_bytes()
    proof = parse_proof(prove(written_log.directory, 7))
    receipt, entry = tmp_path / "receipt.tlog-proof", tmp_path / "entry"
    entry.write_bytes(read_entry(written_log.directory, 7))
    for count, enough in ((0, False), (1, False), (2, True)):
        receipt.write_text(Proof(7, proof.hashes, cosign(raw, *COSIGNERS[:count])).encode())
        judge = strangers.accepts if enough else strangers.rejects
        judge("receipt", receipt, entry, policy)
    lines = policy.read_text().split("\n")
    policy.write_text("\n".join([lines[0].replace("enclave+", "else+"), *lines[1:]]))
    strangers.rejects("receipt", receipt, entry, policy)
