"""Which cosigned checkpoints stay published, and how cosignatures of one checkpoint come together."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.cosignature import Cosigner
from audit.daemon.cosigned import KEPT, CosignedNotes, day_of, published_sizes, superfluous
from audit.note import NoteSigner, SignedNote, parse_note

SIGNER = NoteSigner("log.example.test/a", Ed25519PrivateKey.from_private_bytes(bytes(32)))
FIRST = Cosigner("w1.example.test", Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32))
SECOND = Cosigner("w2.example.test", MLDSA44PrivateKey.from_seed_bytes(bytes(32)))
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


def head(size: int) -> Checkpoint:
    return Checkpoint("log.example.test/a", size, bytes(32))


def note(size: int) -> SignedNote:
    return parse_note(sign_checkpoint(head(size), SIGNER))


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path, Path]:
    made = (tmp_path / "log", tmp_path / "state", tmp_path / "staging")
    for folder in made:
        folder.mkdir()
    return made


def test_lines_of_several_witnesses_come_together_and_newer_ones_replace(places: tuple[Path, Path, Path]) -> None:
    log_dir, state_dir, _ = places
    kept = CosignedNotes(*places)
    first, second, later = (
        FIRST.cosign(head(5), AT),
        SECOND.cosign(head(5), AT),
        FIRST.cosign(head(5), AT + timedelta(1)),
    )
    kept.add(note(5), [first])
    kept.add(note(5), [second])
    raw = (log_dir / "cosigned" / "5").read_bytes()
    assert parse_note(raw) == SignedNote(note(5).text, (*note(5).signatures, first, second))
    assert (state_dir / "witness" / "newest").read_bytes() == raw
    again = CosignedNotes(*places)
    again.add(note(5), [later])
    lines = parse_note((log_dir / "cosigned" / "5").read_bytes()).signatures
    assert set(lines) == {*note(5).signatures, second, later}
    again.add(note(3), [FIRST.cosign(head(3), AT)])
    assert parse_note((state_dir / "witness" / "newest").read_bytes()).text == note(5).text
    assert list(places[2].iterdir()) == []


def test_the_newest_stay_and_one_of_each_day(places: tuple[Path, Path, Path]) -> None:
    log_dir, _, _ = places
    (log_dir / "cosigned").mkdir()
    for size, days_ago in ((1, 3), (2, 3), (3, 2), (4, 1), (5, 1)):
        at = datetime.now(UTC) - timedelta(days_ago)
        lines = (FIRST.cosign(head(size), at), SECOND.cosign(head(size), at))
        (log_dir / "cosigned" / str(size)).write_bytes(SignedNote(note(size).text, lines).encode())
    kept = CosignedNotes(*places)
    for size in range(10, 10 + KEPT + 6):
        kept.add(note(size), [FIRST.cosign(head(size), datetime.now(UTC))])
    assert published_sizes(log_dir) == [2, 3, 5, *range(16, 16 + KEPT)]


def test_the_day_is_that_of_the_newest_cosignature(tmp_path: Path) -> None:
    path = tmp_path / "5"
    lines = (FIRST.cosign(head(5), AT), SECOND.cosign(head(5), AT + timedelta(days=2)), *note(5).signatures)
    path.write_bytes(SignedNote(note(5).text, lines).encode())
    assert day_of(path) == date(2026, 11, 24)
    path.write_bytes(b"no note")
    assert day_of(path) == date(1970, 1, 1)


@given(st.dictionaries(st.integers(0, 400), st.integers(0, 5).map(lambda day: date(2026, 1, 1 + day))))
def test_nothing_needed_is_removed(days: dict[int, date]) -> None:
    left = {size: day for size, day in days.items() if size not in superfluous(days)}
    assert sorted(left)[-KEPT:] == sorted(days)[-KEPT:]
    for day in set(days.values()):
        assert max(size for size in days if days[size] == day) in left
    assert len(left) <= KEPT + len(set(days.values()))
