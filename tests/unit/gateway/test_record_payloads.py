"""Whatever a researcher asks, the record of it fits into the log."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.client import encode_payload
from enclave.gateway.record_payloads import columns_payload, statement_payload

WORST = ("a", "\x01", "é", "\U0001f600", '"', "\ud800")
"""Of one to six bytes each as JSON."""


def test_what_is_short_is_kept_whole() -> None:
    assert statement_payload("SELECT 'é'", ["17", ""]) == {"sql": "SELECT 'é'", "parameters": ["17", ""]}
    assert statement_payload("SELECT 1", None) == {"sql": "SELECT 1"}
    assert columns_payload(("a", "count(*)")) == {"columns": ["a", "count(*)"]}
    assert columns_payload(()) == {"columns": []}
    plain = "x" * 200_000
    assert statement_payload(plain, None) == {"sql": plain}


@pytest.mark.parametrize("letter", WORST)
@pytest.mark.parametrize("length", [79_999, 100_000, 200_001])
def test_every_statement_fits_and_a_cut_one_is_told_by_its_hash(letter: str, length: int) -> None:
    sql = letter * length
    payload = statement_payload(sql, [letter * length] * 3)
    encode_payload({"reason": "A sentence. " * 100, **payload})
    assert sql.startswith(payload["sql"]) and len(payload["sql"]) >= min(length, 80_000)
    is_cut = payload["sql"] != sql
    expected = hashlib.sha256(sql.encode("utf-8", "replace")).hexdigest()
    assert payload.get("sql_sha256") == (expected if is_cut else None)


@given(st.lists(st.tuples(st.sampled_from(WORST), st.integers(0, 30_000)), max_size=8), st.sampled_from((1, 3, 5_000)))
def test_every_list_of_columns_fits(names: list[tuple[str, int]], times: int) -> None:
    columns = tuple(letter * (length if times < 10 else length % 10) for letter, length in names) * times
    payload = columns_payload(columns)
    encode_payload(payload)
    kept = payload["columns"]
    assert all(whole.startswith(part) for part, whole in zip(kept, columns, strict=False))
    assert ("columns_sha256" in payload) == (kept != list(columns))
