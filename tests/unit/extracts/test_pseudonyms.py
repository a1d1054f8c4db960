"""Pseudonyms and date shifts: deterministic, keyed, apart from each other; DuckDB's way equals Python's."""

from __future__ import annotations

import hashlib
import hmac
import re

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.extracts.pseudonyms import (
    PSEUDONYM_PATTERN,
    date_shift,
    identifier_pseudonym,
    pads,
    person_pseudonym,
    pseudonym_sql,
    subkey,
)

KEYS = st.binary(min_size=32, max_size=32)
IDS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=100)


@given(KEYS, IDS)
def test_a_pseudonym_is_the_same_every_time_and_has_one_form(key: bytes, person: str) -> None:
    pseudonym = person_pseudonym(key, person)
    assert pseudonym == person_pseudonym(bytes(key), str(person))
    assert re.fullmatch(PSEUDONYM_PATTERN, pseudonym)
    assert re.fullmatch(PSEUDONYM_PATTERN, identifier_pseudonym(key, "visits", person))


@given(KEYS, KEYS, IDS, IDS)
def test_another_key_person_or_space_gives_another_pseudonym(key: bytes, other: bytes, a: str, b: str) -> None:
    assert (person_pseudonym(key, a) == person_pseudonym(other, a)) == (key == other)
    assert (person_pseudonym(key, a) == person_pseudonym(key, b)) == (a == b)
    assert identifier_pseudonym(key, "visits", a)[1:] != person_pseudonym(key, a)[1:]
    assert identifier_pseudonym(key, "visits", a) != identifier_pseudonym(key, "drugs", a)


@given(KEYS, IDS, st.integers(1, 3650))
def test_a_shift_is_constant_within_bounds_and_never_nothing(key: bytes, person: str, days: int) -> None:
    shift = date_shift(key, person, days)
    assert shift == date_shift(key, person, days)
    assert shift != 0
    assert -days <= shift <= days


def test_all_shifts_occur_about_equally_often() -> None:
    drawn = [date_shift(b"k" * 32, str(person), 3) for person in range(6000)]
    assert {s: 850 < drawn.count(s) < 1150 for s in (-3, -2, -1, 1, 2, 3)} == dict.fromkeys((-3, -2, -1, 1, 2, 3), True)
    assert date_shift(b"k" * 32, "1", 0) == 0


def test_a_pseudonym_is_a_truncated_hmac() -> None:
    key = bytes(range(32))
    digest = hmac.new(subkey(key, "person"), b"42", hashlib.sha256).hexdigest()[:20].upper()
    assert person_pseudonym(key, "42") == "P" + digest.translate(str.maketrans("0189", "GHKM"))


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a pseudonym key of 32 bytes, found 31"):
        person_pseudonym(b"k" * 31, "1")


@settings(max_examples=60, deadline=None)
@given(KEYS, IDS)
def test_duckdb_computes_the_same_pseudonym(key: bytes, identifier: str) -> None:
    blocks = pads(key, "visits")
    with duckdb.connect(":memory:") as connection:
        query = f"SELECT {pseudonym_sql('$1::VARCHAR', '$2::BLOB', '$3::BLOB')}"
        row = connection.execute(query, [identifier, blocks.inner, blocks.outer]).fetchone()
    assert row == (identifier_pseudonym(key, "visits", identifier),)
