"""c2sp.org/signed-note: its examples, and what it allows and forbids, clause by clause."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.note import NoteError, NoteSignature, NoteSigner, SignedNote, VerifierKey, open_note, parse_note

EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = (
    "This is an example message.\n"
    "\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
POEM = (
    "Ognuno sta solo sul cuor della terra\n"
    "trafitto da un raggio di sole:\n"
    "\n"
    "ed è subito sera.\n"
    "\n"
    "— quasimodo.example/salvatore"
    " NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
)
SIGNER = NoteSigner("log.example/a", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
LINE = SIGNER.sign("text\n").decode().split("\n\n")[1]


def test_the_example_verifies_under_the_example_key():
    key = VerifierKey.parse(EXAMPLE_KEY)
    assert (key.name, key.key_id.hex()) == ("example.com/foo", "530d903a")
    assert str(key) == EXAMPLE_KEY
    assert open_note(EXAMPLE.encode(), key).text == "This is an example message.\n"


def test_the_text_is_parted_from_the_signatures_by_the_last_empty_line():
    note = parse_note(POEM.encode())
    assert note.text.endswith("sole:\n\ned è subito sera.\n")
    assert [line.name for line in note.signatures] == ["quasimodo.example/salvatore"]
    assert note.encode() == POEM.encode()


@pytest.mark.parametrize(
    ("clause", "raw"),
    [
        ("text ending in newline, a blank line", f"text\n{LINE}"),
        ("followed by one or more signature lines", "text\n\n"),
        ("followed by one or more signature lines", "text\n"),
        ("each ending in a newline", f"text\n\n{LINE[:-1]}"),
        ("em dash", f"text\n\n{LINE.replace('—', '-')}"),
        ("em dash, space", f"text\n\n{LINE.replace('— ', '—')}"),
        ("key name, space, base64", "text\n\n— log.example/a\n"),
        ("key names are not empty", f"text\n\n{LINE.replace('log.example/a', '')}"),
        ("no Unicode spaces in key names", f"text\n\n{LINE}".replace("log.", "log\u2003")),
        ("no plus in key names", f"text\n\n{LINE.replace('log.', 'log+')}"),
        ("standard base64", f"text\n\n— log.example/a {'-' * 92}\n"),
        ("standard base64, once", f"text\n\n{LINE.rstrip()} AAAA\n"),
        ("4+n bytes", f"text\n\n— log.example/a {base64.b64encode(bytes(4)).decode()}\n"),
        ("no control characters", f"te\txt\n\n{LINE}"),
        ("no control characters", f"te\rxt\n\n{LINE}"),
        ("no control characters", f"te\0xt\n\n{LINE}"),
    ],
)
def test_it_is_refused_with(clause, raw):
    with pytest.raises(NoteError):
        parse_note(raw.encode())


def test_it_is_refused_with_bytes_that_are_not_utf8():
    with pytest.raises(NoteError):
        parse_note(b"te\xffxt\n\n" + LINE.encode())


def unknown(name="other.example/b", key_id=b"\1\2\3\4"):
    return NoteSignature(name, key_id, b"whatever")


@pytest.mark.parametrize(
    ("clause", "others", "accepted"),
    [
        ("unknown keys are ignored", [unknown()], True),
        ("also when they share the name", [unknown(SIGNER.verifier.name)], True),
        ("also when they share the id", [unknown(key_id=SIGNER.verifier.key_id)], True),
        ("16 signatures are accepted", [unknown(key_id=bytes([n] * 4)) for n in range(15)], True),
        ("16 of post-quantum size, too", [NoteSignature("x", bytes([n] * 4), bytes(4700)) for n in range(15)], True),
        ("a known key that fails spoils it", [unknown(SIGNER.verifier.name, SIGNER.verifier.key_id)], False),
    ],
)
def test_signatures(clause, others, accepted):
    (own,) = parse_note(SIGNER.sign("text\n")).signatures
    for lines in ([own, *others], [*others, own]):
        raw = SignedNote("text\n", tuple(lines)).encode()
        if accepted:
            assert open_note(raw, SIGNER.verifier).text == "text\n"
        else:
            with pytest.raises(NoteError):
                open_note(raw, SIGNER.verifier)


def test_without_a_signature_by_a_known_key_it_is_refused():
    with pytest.raises(NoteError):
        open_note(SignedNote("text\n", (unknown(),)).encode(), SIGNER.verifier)
    with pytest.raises(NoteError):
        open_note(SIGNER.sign("text\n").replace(b"text", b"test"), SIGNER.verifier)


@pytest.mark.parametrize(
    "vkey",
    [
        EXAMPLE_KEY.replace("530d903a", "530d903b"),
        EXAMPLE_KEY.replace("example.com", "example.org"),
        EXAMPLE_KEY.replace("+530d903a", ""),
        EXAMPLE_KEY.replace("example.com/foo", ""),
        EXAMPLE_KEY[:-4],
        EXAMPLE_KEY.replace("Aeky", "Beky"),
        "",
    ],
)
def test_a_verifier_key_is_refused(vkey):
    with pytest.raises(NoteError):
        VerifierKey.parse(vkey)
