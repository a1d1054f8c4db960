"""The attacker writes the row filter of a data permit."""

from __future__ import annotations

import pytest

from enclave.extracts.row_filter import RowFilterProblem, parse_row_filter

ATTACKS = [
    "a = (SELECT 1)",
    "a IN (SELECT content FROM read_text('/etc/passwd'))",
    "EXISTS (FROM read_csv('/etc/passwd'))",
    "a IN (FROM other_table)",
    "a = ANY(SELECT b FROM other_table)",
    "x = read_text('/etc/passwd')",
    "read_csv('/etc/passwd') IS NULL AND a = 1",
    "a = 1; DROP TABLE people",
    "a = 1;",
    "a = 1) OR (1 = 1",
    "a = 1) UNION SELECT (b",
    "a = 1) ORDER BY (a",
    "a = 1) LIMIT (5",
    "a = 1) --",
    "a = 1 /*",
    "[a = 1] OR [b = 2",
    "getvariable('inner_0') = a",
    "a = current_setting('allowed_paths')",
    "random() < 0.5 AND a = 1",
    "sleep_ms(10000) IS NULL AND a = 1",
    "write_log('x') IS NULL AND a = 1",
    "setseed(1) IS NULL AND a = 1",
    "json_execute_serialized_sql('{}') = a",
    "query('SELECT 1') = a",
    "getenv('HOME') = a",
    "nextval('s') = a",
    "count(a) > 1",
    "row_number() OVER () < 10 AND a = 1",
    "COLUMNS(*) = 1",
    "list_transform([a], x -> x) = [1]",
    "list_contains([1], #1)",
    "a = $1",
    "a = ?",
    "people.key = a",
    "source.main.person.name = a",
    "a, b",
    "1 = 1",
    "a = 1\0",
    "system.main.abs(a) = 1",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_a_condition_that_could_read_elsewhere_is_refused(text: str) -> None:
    parsed = parse_row_filter(text)
    assert isinstance(parsed, RowFilterProblem), parsed
    assert parsed.message.startswith("expected ")
