"""c2sp.org/tlog-policy: its example with keys filled in, and every rule of its syntax."""

import hashlib
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.cosignature import Cosigner
from audit.note import NoteSigner, SignedNote, parse_note
from audit.policy import PolicyError, parse_policy


def fixed_key(name: str) -> Ed25519PrivateKey:
    """The same key in every run: the keys stand in the names of the tests."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


LOG = NoteSigner("log.example/a", fixed_key("a"))
OTHER_LOG = NoteSigner("log.example/b", fixed_key("b"))
NAMES = ("X1", "X2", "X3", "Y1", "Y2", "Y3")
WITNESSES = {name: Cosigner(f"witness.example/{name}", fixed_key(name)) for name in NAMES}
KEYS = {name: str(cosigner.key) for name, cosigner in WITNESSES.items()}

EXAMPLE = f"""log {LOG.verifier}

witness X1 {KEYS["X1"]}
witness X2 {KEYS["X2"]}
witness X3 {KEYS["X3"]}
group X-witnesses 2 X1 X2 X3

witness Y1 {KEYS["Y1"]}
witness Y2 {KEYS["Y2"]}
witness Y3 {KEYS["Y3"]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def checkpoint(cosigners, signer=LOG):
    head = Checkpoint(signer.verifier.name, 7, bytes(32))
    note = parse_note(sign_checkpoint(head, signer))
    lines = [WITNESSES[name].cosign(head, datetime.now(UTC)) for name in cosigners]
    return SignedNote(note.text, (*note.signatures, *lines))


@pytest.mark.parametrize(
    ("cosigners", "met"),
    [
        ("X1 X2 Y1", True),
        ("X2 X3 Y3", True),
        ("X1 X2 X3 Y1 Y2 Y3", True),
        ("X1 X2 X3", False),
        ("X1 Y1 Y2 Y3", False),
        ("Y1", False),
        ("", False),
    ],
)
def test_the_example_asks_for_two_x_and_one_y(cosigners, met):
    assert parse_policy(EXAMPLE.encode()).judge(checkpoint(cosigners.split())).met is met


def test_the_example_accepts_its_log_only():
    policy = parse_policy(EXAMPLE.encode())
    assert not policy.judge(checkpoint(NAMES, OTHER_LOG)).met


W1, W2 = f"witness w1 {KEYS['X1']}\n", f"witness w2 {KEYS['X2']}\n"
LOG_LINE = f"log {LOG.verifier}\n"


@pytest.mark.parametrize(
    ("clause", "text"),
    [
        ("only the quorum is mandatory", "quorum none\n"),
        ("logs without witnesses", f"{LOG_LINE}quorum none\n"),
        ("URLs are optional", f"log {LOG.verifier} https://log.example/\nwitness w1 {KEYS['X1']} u\nquorum w1\n"),
        ("a witness as the quorum", f"{W1}quorum w1\n"),
        ("spaces and tabs part the words", f" \t{W1}\tquorum \t w1 \n"),
        ("empty and comment lines", f"\n  \n# comment\n\t # é\n{W1}quorum w1\n"),
        ("order of logs and witnesses is free", f"{W1}{LOG_LINE}{W2}quorum w2\n"),
        ("several logs", f"{LOG_LINE}log {OTHER_LOG.verifier}\nquorum none\n"),
        ("group all", f"{W1}{W2}group g all w1 w2\nquorum g\n"),
        ("group any", f"{W1}{W2}group g any w1 w2\nquorum g\n"),
        ("group k", f"{W1}{W2}group g 2 w1 w2\nquorum g\n"),
        ("group of one", f"{W1}group g 1 w1\nquorum g\n"),
        ("groups of groups", f"{W1}{W2}group g any w1\ngroup h all g w2\nquorum h\n"),
        ("non-ASCII names", f"witness wé {KEYS['X1']}\nquorum wé\n"),
        ("a witness defined after the quorum line", f"{W1}quorum w1\n{W2}"),
    ],
)
def test_it_is_accepted(clause, text):
    parse_policy(text.encode())


def test_names_are_opaque_octets():
    """The name 0x4B differs from the Kelvin sign; octets that are no UTF-8 are names, too."""
    policy = parse_policy(f"witness K {KEYS['X1']}\nwitness \u212a {KEYS['X2']}\nquorum K\n".encode())
    assert len({witness.name for witness in policy.witnesses}) == 2
    octets = f"witness NAME {KEYS['X1']}\nwitness OTHER {KEYS['X2']}\nquorum NAME\n".encode()
    parse_policy(octets.replace(b"NAME", b"\xff").replace(b"OTHER", b"\xfe"))


@pytest.mark.parametrize(
    ("clause", "text"),
    [
        ("exactly one quorum line", f"{LOG_LINE}{W1}"),
        ("exactly one quorum line", f"{W1}quorum w1\nquorum w1\n"),
        ("the quorum is defined before", f"quorum w1\n{W1}"),
        ("the quorum is defined", "quorum w1\n"),
        ("the quorum is one name", f"{W1}quorum w1 w1\n"),
        ("the quorum names something", "quorum\n"),
        ("no duplicate logs", f"{LOG_LINE}{LOG_LINE}quorum none\n"),
        ("no duplicate witness keys", f"{W1}witness w2 {KEYS['X1']}\nquorum w1\n"),
        ("one namespace", f"{W1}witness w1 {KEYS['X2']}\nquorum w1\n"),
        ("one namespace, groups too", f"{W1}{W2}group w1 any w2\nquorum w1\n"),
        ("none is predefined", f"witness none {KEYS['X1']}\nquorum none\n"),
        ("none is no member", f"{W1}group g any none\nquorum g\n"),
        ("none is no group", f"{W1}group none any w1\nquorum none\n"),
        ("members are defined before", f"group g any w1\n{W1}quorum g\n"),
        ("no circular groups", f"{W1}group g any g w1\nquorum g\n"),
        ("a name is a member once", f"{W1}group g any w1 w1\nquorum g\n"),
        ("a name is a member once, in all groups", f"{W1}{W2}group g any w1\ngroup h any w1 w2\nquorum h\n"),
        ("at least one member", f"{W1}group g all\nquorum g\n"),
        ("k is at least 1", f"{W1}group g 0 w1\nquorum g\n"),
        ("k is at most n", f"{W1}group g 2 w1\nquorum g\n"),
        ("k is decimal", f"{W1}group g 0x1 w1\nquorum g\n"),
        ("keys are vkeys", "log example.com/foo\nquorum none\n"),
        ("a log's key is of a log's type", f"log {KEYS['X1']}\nquorum none\n"),
        ("a witness's key is of a cosigner's type", f"witness w1 {LOG.verifier}\nquorum w1\n"),
        ("a log takes two words at most", f"log {LOG.verifier} url more\nquorum none\n"),
        ("a witness takes three words at most", f"witness w1 {KEYS['X1']} url more\nquorum w1\n"),
        ("unknown lines", "logs\nquorum none\n"),
        ("keywords are lower case", "QUORUM none\n"),
        ("each line ends in a newline", "quorum none"),
        ("no carriage return", "quorum none\r\n"),
        ("no form feed", "\fquorum none\n"),
        ("no delete character", "# \x7f\nquorum none\n"),
        ("no null", "# \0\nquorum none\n"),
    ],
)
def test_it_is_refused(clause, text):
    with pytest.raises(PolicyError):
        parse_policy(text.encode())


def test_32_logs_witnesses_and_groups_are_supported():
    lines = [f"log {NoteSigner(f'l{n}', Ed25519PrivateKey.generate()).verifier}" for n in range(32)]
    keys = [Cosigner(f"w{n}", Ed25519PrivateKey.generate()).key for n in range(32)]
    lines += [f"witness w{n} {key}" for n, key in enumerate(keys)]
    lines += [f"group g{n} any w{n}" for n in range(32)]
    policy = parse_policy(("\n".join([*lines, "quorum g31", ""])).encode())
    assert (len(policy.logs), len(policy.witnesses), len(policy.groups)) == (32, 32, 32)
