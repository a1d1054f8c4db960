"""Signed notes and checkpoints, with the specification's own example."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.checkpoint import Checkpoint, open_checkpoint, read_unverified, sign_checkpoint
from audit.note import NoteError, NoteSigner, VerifierKey, decode_base64, open_note, parse_note

SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
SIGNER = NoteSigner("log.example.test/a", Ed25519PrivateKey.from_private_bytes(bytes(32)))
OTHER = NoteSigner("log.example.test/b", Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32))


def test_the_example_of_the_specification():
    key = VerifierKey.parse(SPEC_KEY)
    assert str(key) == SPEC_KEY
    assert open_note(SPEC_NOTE, key).text == "This is an example message.\n"


@settings(deadline=None)
@given(st.lists(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=20), min_size=1))
def test_what_is_signed_opens(lines):
    text = "\n".join(lines) + "\n"
    note = open_note(SIGNER.sign(text), SIGNER.verifier)
    assert note.text == text
    assert note.encode() == SIGNER.sign(text)


def test_every_flipped_byte_of_a_note_is_noticed():
    for offset in range(len(SPEC_NOTE)):
        changed = bytearray(SPEC_NOTE)
        changed[offset] ^= 1
        with pytest.raises(NoteError):
            open_note(bytes(changed), VerifierKey.parse(SPEC_KEY))


def test_unknown_signatures_are_ignored_but_not_enough():
    own, foreign = SIGNER.sign("text\n"), OTHER.sign("text\n")
    both = own + foreign.split(b"\n\n")[1]
    assert len(open_note(both, SIGNER.verifier).signatures) == 2
    assert len(open_note(own + own.split(b"\n\n")[1] * 20, SIGNER.verifier).signatures) == 21
    with pytest.raises(NoteError, match="found none"):
        open_note(foreign, SIGNER.verifier)


def test_one_bad_signature_by_a_known_key_spoils_the_note():
    other_text = SIGNER.sign("other\n").split(b"\n\n")[1]
    with pytest.raises(NoteError, match="does not hold"):
        open_note(SIGNER.sign("text\n") + other_text, SIGNER.verifier)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\nno dash\n",
        "text\n\n— name\n".encode(),
        "text\n\n— name AAAA\n".encode(),
        "text\n\n— name !!!!!!!!\n".encode(),
        SPEC_NOTE[:-1],
        SPEC_NOTE.replace(b"example message", b"example\tmessage"),
        SPEC_NOTE.replace(b"example message", b"example\xff"),
        SPEC_NOTE + b"\n",
        b"a" * 1_000_001,
    ],
)
def test_malformed_notes_are_refused(raw):
    with pytest.raises(NoteError):
        parse_note(raw)


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "a+b",
        SPEC_KEY.replace("530d903a", "530d903b"),
        SPEC_KEY[:-4],
        SPEC_KEY.replace("Aeky", "Beky"),
        "a b+00+AA==",
    ],
)
def test_malformed_keys_are_refused(vkey):
    with pytest.raises(NoteError):
        VerifierKey.parse(vkey)


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_base64_has_one_spelling(data):
    import base64

    encoded = base64.b64encode(data).decode()
    assert decode_base64(encoded) == data
    for spelling in (encoded + "=", encoded + "\n", " " + encoded):
        with pytest.raises(NoteError):
            decode_base64(spelling)
    with pytest.raises(NoteError):
        decode_base64("QUJDRB==")


@settings(deadline=None)
@given(st.integers(0, 2**62), st.binary(min_size=32, max_size=32))
def test_checkpoints_survive_the_round_trip(size, root):
    checkpoint = Checkpoint(SIGNER.verifier.name, size, root)
    assert open_checkpoint(sign_checkpoint(checkpoint, SIGNER), SIGNER.verifier) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "o\n1\n",
        "o\n01\nAAAA\n",
        "o\n-1\nAAAA\n",
        "o\n1\nAAAA\n",
        "o\n\n1\nAAAA\n",
        "o\n1\nAAAA\n\nextension\n",
        "o\n١\nAAAA\n",
    ],
)
def test_malformed_checkpoints_are_refused(text):
    with pytest.raises(NoteError):
        read_unverified(SIGNER.sign(text))


def test_another_origin_is_another_log():
    note = sign_checkpoint(Checkpoint("elsewhere", 0, bytes(32)), SIGNER)
    with pytest.raises(NoteError, match="another log's checkpoint"):
        open_checkpoint(note, SIGNER.verifier)


def test_the_signer_refuses_text_that_no_reader_would_accept():
    for text in ("no newline", "a\x00b\n"):
        with pytest.raises(NoteError):
            SIGNER.sign(text)
    with pytest.raises(NoteError):
        NoteSigner("with space", Ed25519PrivateKey.generate())
