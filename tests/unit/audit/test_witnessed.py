"""When a quorum was reached, and how durations and times are said."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.cli.verify import read_duration
from audit.cosignature import Cosigner
from audit.merkle import EMPTY_ROOT
from audit.note import NoteSigner, SignedNote, parse_note
from audit.policy import parse_policy
from audit.report import Question, Report, VerifyError
from audit.times import parse_at, say_duration, say_time, seconds_between
from audit.witnessed import Rules, check_cosigned, quorum_time, read_one

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LOG = NoteSigner("log.example.test/x", Ed25519PrivateKey.generate())
WITNESSES = [Cosigner(f"witness.example.test/{number}", Ed25519PrivateKey.generate()) for number in range(3)]


def policy(quorum="two"):
    lines = [f"log {LOG.verifier}", *(f"witness w{at} {cosigner.key}" for at, cosigner in enumerate(WITNESSES))]
    return parse_policy("\n".join([*lines, "group two 2 w0 w1 w2", f"quorum {quorum}", ""]).encode())


def verdict(ages, quorum="two", **rules):
    """The verdict on one checkpoint of the empty tree, cosigned so many minutes ago by each witness (None: not)."""
    checkpoint = Checkpoint(LOG.verifier.name, 0, EMPTY_ROOT)
    note = parse_note(sign_checkpoint(checkpoint, LOG))
    lines = [
        cosigner.cosign(checkpoint, NOW - timedelta(minutes=age))
        for cosigner, age in zip(WITNESSES, ages, strict=True)
        if age is not None
    ]
    raw = SignedNote(note.text, (*note.signatures, *lines)).encode()
    report = Report()
    cosigned = [read_one("cosigned/0", raw, 0, LOG.verifier)]
    wanted = Rules(policy(quorum), rules.get("max_age"), NOW)
    check_cosigned(cosigned, LOG.verifier, wanted, [], {0: EMPTY_ROOT}, (0, ""), report)
    return report.verdicts[Question.WITNESSES]


def test_freshness_counts_the_newest_quorum_not_the_oldest_line():
    ten = timedelta(minutes=10)
    assert not verdict([1, 5, 500], max_age=ten).problems
    assert not verdict([1, 5, None], max_age=ten).problems
    (problem,) = verdict([1, 11, 500], max_age=ten).problems
    assert "was cosigned 11 min ago (2026-03-02T11:49:00Z), expected at most 10 min" in problem.message
    assert problem.file == "cosigned/0"


def test_an_hour_is_allowed_unless_told_otherwise():
    assert not verdict([60, 60, None]).problems
    assert verdict([61, 60, None]).problems


def test_too_few_cosignatures():
    (problem,) = verdict([1, None, None]).problems
    assert "Expected cosignatures by 2 of (w0, w1, w2), found w0." in problem.message


def test_a_cosignature_from_the_future_would_pass_as_fresh_for_too_long():
    assert not verdict([-5, 1, 1]).problems
    assert any("in the future" in problem.message for problem in verdict([-6, 1, 1]).problems)


def test_no_quorum_asked_for():
    assert [notice.message for notice in verdict([999, None, None], "none").notices] == [
        "The policy asks for no cosignature (quorum none)."
    ]


def test_quorum_time():
    made = {f"w{at}": NOW - timedelta(minutes=minutes) for at, minutes in enumerate((30, 10, 20))}
    assert quorum_time(policy(), made) == NOW - timedelta(minutes=20)
    assert quorum_time(policy("w0"), made) == NOW - timedelta(minutes=30)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (90_061, "1 d 1 h"),
        (86_401, "1 d 1 s"),
    ],
)
def test_durations(seconds, words):
    assert say_duration(seconds) == words


def test_times():
    assert say_time(NOW) == "2026-03-02T12:00:00Z"
    assert parse_at("2026-03-02T12:00:00.000Z") == NOW
    assert parse_at("2026-03-02T12:00:00") is None
    assert parse_at("soon") is None
    assert seconds_between("x", "2026-03-02T12:00:00Z") is None


def test_limits_of_age_on_the_command_line():
    assert read_duration("90s") == timedelta(seconds=90)
    assert read_duration("2d") == timedelta(days=2)
    for wrong in ("", "10", "m", "0m", "-5m", "1.5h", "10 m"):
        with pytest.raises(VerifyError):
            read_duration(wrong)
