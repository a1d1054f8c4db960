"""The policy file's syntax, line by line, and the quorum."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit.checkpoint import Checkpoint
from audit.cosignature import Cosigner
from audit.note import NoteSignature, NoteSigner, SignedNote, parse_note
from audit.policy import Policy, PolicyError, parse_policy

ORIGIN = "example.com/log"
LOG = NoteSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32))
AT = datetime(2026, 11, 22, 2, 30, tzinfo=UTC)
NAMES = ["X1", "X2", "X3", "Y1", "Y2", "Y3"]
COSIGNERS = {
    name: Cosigner(f"{name}.example", Ed25519PrivateKey.from_private_bytes(bytes([10 + place]) * 32))
    for place, name in enumerate(NAMES)
}
WITNESS_LINES = "".join(f"witness {name} {COSIGNERS[name].key}\n" for name in NAMES)
SPEC_POLICY = f"""# the example of the specification
log {LOG.verifier}

{WITNESS_LINES}
group X-witnesses 2 X1 X2 X3
\t group Y-witnesses any Y1\tY2  Y3 \t
group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
""".encode()
HEAD = Checkpoint(ORIGIN, 3, bytes(32))


def signed(*extra: NoteSignature, head: Checkpoint = HEAD) -> SignedNote:
    note = parse_note(LOG.sign(head.text()))
    return SignedNote(note.text, note.signatures + extra)


def cosigned(*names: str) -> SignedNote:
    return signed(*(COSIGNERS[name].cosign(HEAD, AT) for name in names))


def met_as_written(names: set[str]) -> bool:
    return len(names & {"X1", "X2", "X3"}) >= 2 and bool(names & {"Y1", "Y2", "Y3"})


def test_the_specification_example_for_every_set_of_witnesses() -> None:
    policy = parse_policy(SPEC_POLICY)
    for count in range(7):
        for names in combinations(NAMES, count):
            assert policy.is_met_by(names) == met_as_written(set(names))


def test_judging_a_note() -> None:
    policy = parse_policy(SPEC_POLICY)
    judged = policy.judge(cosigned("X1", "X3", "Y2"))
    assert judged.met
    assert judged.cosigned == {"X1": AT, "X3": AT, "Y2": AT}
    assert judged.problems == ()
    assert judged.log == LOG.verifier
    short = policy.judge(cosigned("X1", "Y2"))
    assert not short.met
    assert short.needed == "2 of (2 of (X1, X2, X3), 1 of (Y1, Y2, Y3))"
    assert short.problems == ("Expected cosignatures by 2 of (2 of (X1, X2, X3), 1 of (Y1, Y2, Y3)), found X1, Y2.",)


def test_a_known_key_whose_signature_fails_spoils_the_note() -> None:
    policy = parse_policy(SPEC_POLICY)
    good = cosigned("X1", "X2", "Y1")
    forged = COSIGNERS["Y2"].cosign(Checkpoint(ORIGIN, 4, bytes(32)), AT)
    judged = policy.judge(SignedNote(good.text, (*good.signatures, forged)))
    assert not judged.met
    assert "Y2.example" in judged.problems[0]


def test_unknown_keys_are_ignored() -> None:
    stranger = Cosigner("stranger.example", MLDSA44PrivateKey.generate()).cosign(HEAD, AT)
    same_name = NoteSignature("X1.example", bytes(4), bytes(72))
    good = cosigned("X1", "X2", "Y1")
    assert parse_policy(SPEC_POLICY).judge(SignedNote(good.text, (stranger, same_name, *good.signatures))).met


def test_the_newest_of_several_cosignatures_counts() -> None:
    later = COSIGNERS["X1"].cosign(HEAD, AT + timedelta(minutes=1))
    note = signed(COSIGNERS["X1"].cosign(HEAD, AT), later, COSIGNERS["X1"].cosign(HEAD, AT))
    assert parse_policy(SPEC_POLICY).judge(note).cosigned["X1"] == AT + timedelta(minutes=1)


def test_the_log_must_have_signed_under_its_own_origin() -> None:
    policy = parse_policy(f"log {LOG.verifier}\nquorum none\n".encode())
    assert policy.judge(signed()).met
    unsigned = SignedNote(HEAD.text(), (COSIGNERS["X1"].cosign(HEAD, AT),))
    assert "No log of the policy" in policy.judge(unsigned).problems[0]
    elsewhere = policy.judge(signed(head=Checkpoint("example.com/other", 3, bytes(32))))
    assert not elsewhere.met
    assert not policy.judge(SignedNote("no checkpoint\n", ())).met


def test_a_policy_without_logs_judges_witnesses_only() -> None:
    policy = parse_policy(f"witness w {COSIGNERS['X1'].key}\nquorum w\n".encode())
    assert policy.judge(cosigned("X1")).met
    assert policy.judge(cosigned("X1")).log is None


def test_urls_and_both_kinds_of_key() -> None:
    quantum = Cosigner("w.example", MLDSA44PrivateKey.generate()).key
    policy = parse_policy(
        f"log {LOG.verifier} https://log.example/\nwitness a {quantum} https://w.example/\nquorum a\n".encode()
    )
    assert policy.logs[0].url == "https://log.example/"
    assert (policy.witnesses[0].key, policy.witnesses[0].url) == (quantum, "https://w.example/")


def test_sixteen_ml_dsa_cosignatures_are_accepted() -> None:
    many = [Cosigner(f"w{number}.example", MLDSA44PrivateKey.generate()) for number in range(16)]
    lines = "".join(f"witness w{number} {cosigner.key}\n" for number, cosigner in enumerate(many))
    policy = parse_policy(
        f"{lines}group all all {' '.join(f'w{number}' for number in range(16))}\nquorum all\n".encode()
    )
    note = parse_note(signed(*(cosigner.cosign(HEAD, AT) for cosigner in many)).encode())
    assert policy.judge(note).met


def test_thirty_two_of_each_and_a_long_chain_of_groups() -> None:
    logs = "".join(f"log {NoteSigner(f'l{n}', Ed25519PrivateKey.generate()).verifier}\n" for n in range(32))
    keys = "".join(f"witness w{n} {Cosigner('w', Ed25519PrivateKey.generate()).key}\n" for n in range(32))
    groups = "group g0 all w0\n" + "".join(f"group g{n} any g{n - 1}\n" for n in range(1, 1024))
    policy = parse_policy((logs + keys + groups + "quorum g1023\n").encode())
    assert policy.is_met_by({"w0"})
    assert not policy.is_met_by({"w1"})
    assert policy.needed == "w0"


def test_names_are_octets() -> None:
    one, other = COSIGNERS["X1"].key, COSIGNERS["X2"].key
    text = b"witness K %s\nwitness \xe2\x84\xaa %s\nwitness \xff\xfe %s\ngroup \xa0 2 K \xe2\x84\xaa\nquorum \xa0\n"
    policy = parse_policy(text % (str(one).encode(), str(other).encode(), str(COSIGNERS["X3"].key).encode()))
    assert [witness.name for witness in policy.witnesses] == ["K", "\u212a", "\udcff\udcfe"]
    assert policy.is_met_by({"K", "\u212a"})
    assert policy.needed.isprintable()


SAME_KEY = NoteSigner("other", Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)).verifier
W = f"witness w {COSIGNERS['X1'].key}\n"
V = f"witness v {COSIGNERS['X2'].key}\n"


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("", 0, "no quorum line"),
        (W, 0, "no quorum line"),
        ("quorum w\n", 1, "not defined"),
        ("quorum none", 1, "newline"),
        ("quorum none\nquorum none\n", 2, "already"),
        ("quorum\n", 1, "Expected 'quorum NAME'"),
        ("quorum none extra\n", 1, "Expected 'quorum NAME'"),
        ("Quorum none\n", 1, "begins with"),
        ("quorum none # not a comment\n", 1, "Expected 'quorum NAME'"),
        ("\r\nquorum none\n", 1, "0x0d"),
        ("quorum none\x0c\n", 1, "0x0c"),
        ("# \x7f\nquorum none\n", 1, "0x7f"),
        ("log\nquorum none\n", 1, "Expected 'log VKEY"),
        (f"log {LOG.verifier} a b\nquorum none\n", 1, "Expected 'log VKEY"),
        (f"log {COSIGNERS['X1'].key}\nquorum none\n", 1, "Ed25519 verifier key"),
        (f"witness w {LOG.verifier}\nquorum none\n", 1, "cosigner key of type 4"),
        (f"log {LOG.verifier}\nlog {SAME_KEY}\nquorum none\n", 2, "same public key"),
        (W + W.replace("w", "v", 1), 2, "begins with"),
        (W + W.replace(" w ", " v "), 2, "same public key"),
        (W + V.replace(" v ", " w "), 2, "taken"),
        (f"witness none {COSIGNERS['X1'].key}\n", 1, "taken"),
        (W + "group w any w\n", 2, "taken"),
        (W + "group none any w\n", 2, "taken"),
        (W + "group g any\n", 2, "at least one member"),
        (W + "group g\n", 2, "at least one member"),
        (W + "group g 0 w\n", 2, "from 1 to 1"),
        (W + "group g 2 w\n", 2, "from 1 to 1"),
        (W + "group g 01 w\n", 2, "from 1 to 1"),
        (W + "group g -1 w\n", 2, "from 1 to 1"),
        (W + "group g most w\n", 2, "from 1 to 1"),
        (W + "group g any none\n", 2, "not defined"),
        (W + "group g any g\n", 2, "not defined"),
        (W + "group g any h\ngroup h any w\n", 2, "not defined"),
        (W + "group g any w w\n", 2, "member of a group already"),
        (W + V + "group g any w\ngroup h all v w\n", 4, "member of a group already"),
        (f"log {str(LOG.verifier).replace('+', '+00', 1)}\n", 1, "id should be"),
    ],
)  # fmt: skip
def test_each_fault_names_its_line(text: str, line: int, found: str) -> None:
    with pytest.raises(PolicyError, match=found.replace("(", r"\(")) as caught:
        parse_policy(text.encode())
    assert caught.value.line == line


@given(st.binary(max_size=300))
def test_arbitrary_octets_give_a_policy_or_a_policy_error(text: bytes) -> None:
    try:
        parse_policy(text)
    except PolicyError as error:
        assert 0 <= error.line <= text.count(b"\n") + 1


@st.composite
def trees(draw: st.DrawFn) -> tuple[str, dict[str, tuple[int, list[str]]], str]:
    """Random groups over the six witnesses, each name a member at most once."""
    free, groups, lines = list(NAMES), {}, []
    for number in range(draw(st.integers(0, 6))):
        members = draw(st.lists(st.sampled_from(free), unique=True, min_size=1))
        threshold = draw(st.integers(1, len(members)))
        free = [name for name in free if name not in members] + [f"g{number}"]
        groups[f"g{number}"] = (threshold, members)
        lines.append(f"group g{number} {threshold} {' '.join(members)}\n")
    return "".join(lines), groups, draw(st.sampled_from([*NAMES, *groups]))


def satisfied(name: str, groups: dict[str, tuple[int, list[str]]], names: set[str]) -> bool:
    if name not in groups:
        return name in names
    threshold, members = groups[name]
    return sum(satisfied(member, groups, names) for member in members) >= threshold


@given(trees(), st.sets(st.sampled_from(NAMES)))
def test_the_quorum_is_the_recursive_definition(
    tree: tuple[str, dict[str, tuple[int, list[str]]], str], names: set[str]
) -> None:
    lines, groups, quorum = tree
    policy: Policy = parse_policy(f"{WITNESS_LINES}{lines}quorum {quorum}\n".encode())
    assert policy.is_met_by(names) == satisfied(quorum, groups, names)
