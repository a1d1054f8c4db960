"""Row filters: conditions that pass, and the columns they read."""

from __future__ import annotations

import pytest

from enclave.extracts.row_filter import RowFilter, RowFilterProblem, parse_row_filter

GOOD = [
    ("a >= DATE '1990-01-01'", {"a"}),
    ("a IN (1, 2) AND b IS NOT NULL AND NOT c LIKE 'x%'", {"a", "b", "c"}),
    ("(A = 1) OR (B BETWEEN 2 AND 3)", {"a", "b"}),
    ("extract(year FROM a) > 2000 AND coalesce(b, 0) > 1", {"a", "b"}),
    ("CASE WHEN a > 1 THEN b ELSE c END", {"a", "b", "c"}),
    ("a::DATE < '2000-01-01' -- since the new system", {"a"}),
    ('"Säuglinge" = 1', {"säuglinge"}),
]


@pytest.mark.parametrize(("text", "columns"), GOOD)
def test_a_plain_condition_passes(text: str, columns: set[str]) -> None:
    parsed = parse_row_filter(text)
    assert isinstance(parsed, RowFilter), parsed
    assert parsed.columns == columns


def test_a_refusal_repeats_no_literal() -> None:
    parsed = parse_row_filter("a = 'Jeanne Martin' AND ((")
    assert isinstance(parsed, RowFilterProblem)
    assert "Martin" not in parsed.message
