"""c2sp.org/tlog-cosignature: its example, the two messages, and what spoils a cosignature."""

import struct
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from audit.checkpoint import parse_checkpoint
from audit.cosignature import (
    ED25519_COSIGNATURE,
    ML_DSA_44_COSIGNATURE,
    Cosigner,
    CosignerKey,
    ed25519_message,
    split_cosignature,
)
from audit.note import NoteError, NoteSignature, VerifierKey, parse_note

TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
EXAMPLE = (
    f"{TEXT}\n"
    "— example.com/behind-the-sofa"
    " Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1"
    " jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)
AT = datetime(2023, 3, 20, 12, 25, 47, tzinfo=UTC)
CHECKPOINT = parse_checkpoint(parse_note(EXAMPLE.encode()))
ED25519 = Cosigner("witness.example.com/w1", Ed25519PrivateKey.generate())
ML_DSA = Cosigner("witness.example.com/w1", MLDSA44PrivateKey.generate())


def test_the_example_carries_the_time_of_its_signed_message():
    _, witness = parse_note(EXAMPLE.encode()).signatures
    assert (witness.name, witness.key_id.hex()) == ("witness.example.com/w1", "8d66cf3f")
    seconds, raw = split_cosignature(ED25519_COSIGNATURE, witness.signature)
    assert (seconds, len(raw)) == (1679315147, 64)
    assert datetime.fromtimestamp(seconds, UTC) == AT


def test_the_ed25519_message_is_the_specifications():
    expected = f"cosignature/v1\ntime 1679315147\n{TEXT}"
    assert ed25519_message(TEXT, 1679315147).decode() == expected
    line = ED25519.cosign(CHECKPOINT, AT)
    assert line.signature[:8] == struct.pack(">Q", 1679315147)
    Ed25519PublicKey.from_public_bytes(ED25519.key.public).verify(line.signature[8:], expected.encode())


def test_the_ml_dsa_message_is_the_specifications():
    """The structure written out by hand: label, cosigner name, time, origin, start 0, end, hash."""
    name, origin = b"witness.example.com/w1", b"example.com/behind-the-sofa"
    message = b"subtree/v1\n\0" + bytes([len(name)]) + name + (1679315147).to_bytes(8, "big")
    message += bytes([len(origin)]) + origin + bytes(8) + (20852163).to_bytes(8, "big") + CHECKPOINT.root
    line = ML_DSA.cosign(CHECKPOINT, AT)
    assert len(line.signature) == 8 + 2420
    MLDSA44PublicKey.from_public_bytes(ML_DSA.key.public).verify(line.signature[8:], message)


@pytest.mark.parametrize(("cosigner", "kind", "size"), [(ED25519, 0x04, 32), (ML_DSA, 0x06, 1312)])
def test_keys_are_written_as_vkeys_of_their_type(cosigner, kind, size):
    key = CosignerKey.parse(str(cosigner.key))
    assert key == cosigner.key
    assert (key.kind, len(key.public)) == (kind, size)
    with pytest.raises(NoteError):
        VerifierKey.parse(str(key))


def test_one_key_under_two_types_has_two_ids():
    private = Ed25519PrivateKey.generate()
    cosigner = Cosigner("same.example/name", private)
    log = VerifierKey("same.example/name", private.public_key().public_bytes_raw())
    assert cosigner.key.key_id != log.key_id
    with pytest.raises(NoteError):
        CosignerKey.parse(str(log))


@pytest.mark.parametrize("cosigner", [ED25519, ML_DSA])
@pytest.mark.parametrize("extension", ["", "an extension line\n"])
def test_a_cosignature_gives_its_time(cosigner, extension):
    checkpoint = parse_checkpoint(parse_note((TEXT + extension + EXAMPLE[len(TEXT) :]).encode()))
    assert cosigner.key.check(TEXT + extension, cosigner.cosign(checkpoint, AT)) == AT


@pytest.mark.parametrize("cosigner", [ED25519, ML_DSA])
def test_another_size_root_origin_or_time_spoils_it(cosigner):
    line = cosigner.cosign(CHECKPOINT, AT)
    changed = [TEXT.replace("2163", "2164"), TEXT.replace("CsUY", "CsUZ"), TEXT.replace("behind", "before")]
    for text in changed:
        with pytest.raises(NoteError):
            cosigner.key.check(text, line)
    for blob in (
        struct.pack(">Q", 1679315148) + line.signature[8:],
        line.signature[:-1] + bytes([line.signature[-1] ^ 1]),
        line.signature[:-1],
        line.signature + b"\0",
        struct.pack(">Q", 2**63) + line.signature[8:],
    ):
        with pytest.raises(NoteError):
            cosigner.key.check(TEXT, NoteSignature(line.name, line.key_id, blob))


def test_only_the_ed25519_kind_covers_extension_lines():
    """tlog-checkpoint: the ML-DSA-44 format does not sign the extension lines."""
    extended = TEXT + "an extension line\n"
    with pytest.raises(NoteError):
        ED25519.key.check(extended, ED25519.cosign(CHECKPOINT, AT))
    assert ML_DSA.key.check(extended, ML_DSA.cosign(CHECKPOINT, AT)) == AT


def test_the_ml_dsa_kind_commits_to_the_cosigners_name():
    line = ML_DSA.cosign(CHECKPOINT, AT)
    other = CosignerKey("witness.example.com/w2", ML_DSA_44_COSIGNATURE, ML_DSA.key.public)
    with pytest.raises(NoteError):
        other.check(TEXT, line)
