"""Cosignatures of both kinds, and the example printed in the specification."""

from __future__ import annotations

import base64
import hashlib
import struct
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit.checkpoint import Checkpoint
from audit.cosignature import Cosigner, CosignerKey, split_cosignature
from audit.note import NoteError, NoteSignature, parse_note

SPEC_EXAMPLE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+"
    "zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+"
    "mbIUBkBIfZ+qnA==\n"
)
HEAD = Checkpoint("example.com/log", 7, bytes(range(32)))
AT = datetime(2026, 11, 22, 2, 30, 7, tzinfo=UTC)
ED25519 = Cosigner("witness.example/w1", Ed25519PrivateKey.from_private_bytes(bytes(32)))
ML_DSA = Cosigner("witness.example/w1", MLDSA44PrivateKey.from_seed_bytes(bytes(32)))
BOTH = pytest.mark.parametrize("cosigner", [ED25519, ML_DSA], ids=["ed25519", "ml-dsa-44"])


def test_the_time_in_the_specification_example() -> None:
    note = parse_note(SPEC_EXAMPLE.encode())
    seconds, raw = split_cosignature(0x04, note.signatures[1].signature)
    assert (seconds, len(raw)) == (1679315147, 64)


@BOTH
def test_a_cosignature_gives_its_time(cosigner: Cosigner) -> None:
    signature = cosigner.cosign(HEAD, AT)
    key = CosignerKey.parse(str(cosigner.key))
    assert key == cosigner.key
    assert key.owns(signature)
    assert key.check(HEAD.text(), signature) == AT


@BOTH
def test_a_cosignature_holds_for_one_checkpoint_only(cosigner: Cosigner) -> None:
    signature = cosigner.cosign(HEAD, AT)
    for other in (
        Checkpoint("example.com/other", HEAD.size, HEAD.root),
        Checkpoint(HEAD.origin, HEAD.size + 1, HEAD.root),
        Checkpoint(HEAD.origin, HEAD.size, bytes(32)),
    ):
        with pytest.raises(NoteError, match="does not hold"):
            cosigner.key.check(other.text(), signature)


@BOTH
def test_every_flipped_bit_of_time_or_signature_is_noticed(cosigner: Cosigner) -> None:
    signature = cosigner.cosign(HEAD, AT)
    for place in (4, 7, 8, 40, len(signature.signature) - 1):
        changed = bytearray(signature.signature)
        changed[place] ^= 1
        with pytest.raises(NoteError):
            cosigner.key.check(HEAD.text(), NoteSignature(signature.name, signature.key_id, bytes(changed)))


@BOTH
def test_the_wrong_length_is_named(cosigner: Cosigner) -> None:
    signature = cosigner.cosign(HEAD, AT)
    short = NoteSignature(signature.name, signature.key_id, signature.signature[:-1])
    with pytest.raises(NoteError, match="Expected a cosignature of"):
        cosigner.key.check(HEAD.text(), short)


def test_extension_lines_are_signed_by_ed25519_only() -> None:
    extended = Checkpoint(HEAD.origin, HEAD.size, HEAD.root, ("extension",))
    assert ML_DSA.key.check(extended.text(), ML_DSA.cosign(HEAD, AT)) == AT
    with pytest.raises(NoteError):
        ED25519.key.check(extended.text(), ED25519.cosign(HEAD, AT))


def test_the_messages_are_the_ones_of_the_specification() -> None:
    seconds = int(AT.timestamp())
    text = b"cosignature/v1\ntime " + str(seconds).encode() + b"\n" + HEAD.text().encode()
    Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().verify(ED25519.cosign(HEAD, AT).signature[8:], text)
    name, origin = b"witness.example/w1", b"example.com/log"
    binary = b"subtree/v1\n\x00" + bytes([len(name)]) + name + struct.pack(">Q", seconds)
    binary += bytes([len(origin)]) + origin + struct.pack(">QQ", 0, 7) + HEAD.root
    MLDSA44PrivateKey.from_seed_bytes(bytes(32)).public_key().verify(ML_DSA.cosign(HEAD, AT).signature[8:], binary)


@BOTH
def test_the_key_id_follows_the_recommended_hash(cosigner: Cosigner) -> None:
    name, key_id, encoded = str(cosigner.key).split("+", 2)
    digest = hashlib.sha256(name.encode() + b"\n" + base64.b64decode(encoded)).hexdigest()
    assert key_id == digest[:8]


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        "name+00000000+AA==",
        "name+00000000+",
        "name+zz+BAAA",
        "w+00000000+" + base64.b64encode(bytes([1]) + bytes(32)).decode(),
        "w+00000000+" + base64.b64encode(bytes([4]) + bytes(32)).decode(),
        "w+00000000+" + base64.b64encode(bytes([6]) + bytes(32)).decode(),
        "a b+00000000+" + base64.b64encode(bytes([4]) + bytes(32)).decode(),
        str(ED25519.key).upper(),
    ],
)
def test_what_is_no_cosigner_key_is_refused(vkey: str) -> None:
    with pytest.raises(NoteError):
        CosignerKey.parse(vkey)


def test_times_outside_the_range_are_refused() -> None:
    with pytest.raises(NoteError, match="clock"):
        ED25519.cosign(HEAD, datetime(1970, 1, 1, tzinfo=UTC))
    beyond = struct.pack(">Q", 2**63) + bytes(64)
    with pytest.raises(NoteError, match="before the year 10000"):
        ED25519.key.check(HEAD.text(), NoteSignature(ED25519.key.name, ED25519.key.key_id, beyond))


def test_names_beyond_255_bytes_cannot_use_ml_dsa() -> None:
    with pytest.raises(NoteError, match="255"):
        ML_DSA.cosign(Checkpoint("x" * 256, 1, bytes(32)), AT)


@given(st.binary(max_size=100))
def test_random_bytes_never_verify(blob: bytes) -> None:
    with pytest.raises(NoteError):
        ED25519.key.check(HEAD.text(), NoteSignature(ED25519.key.name, ED25519.key.key_id, blob))
