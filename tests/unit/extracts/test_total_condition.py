"""Which conditions certainly cannot fail on any row."""

from __future__ import annotations

import duckdb
import pytest

from enclave.extracts.row_filter import RowFilter, parse_row_filter
from enclave.extracts.total_condition import is_total

TYPES = {
    "n": "BIGINT",
    "ward": "VARCHAR",
    "sex": "ENUM('F', 'M')",
    "on_day": "DATE",
    "seen_at": "TIMESTAMP",
    "flag": "BOOLEAN",
    "x": "DOUBLE",
}
TOTAL = (
    "ward = 'a'",
    "sex = 'F'",
    "sex = ward",
    "n = 5 AND NOT (ward = 'b' OR flag)",
    "n BETWEEN 1 AND 5",
    "n NOT IN (1, 2)",
    "ward IS NULL OR n IS NOT NULL",
    "ward LIKE 'a%' AND starts_with(ward, 'b')",
    "on_day >= DATE '2000-01-01'",
    "TRY_CAST(ward AS INTEGER) = 1",
    "on_day BETWEEN '2000-01-01' AND '2001-01-01'",
)
CAN_FAIL = (
    "CAST(ward AS INTEGER) = 1",
    "TRY_CAST(n + 1 AS INTEGER) = 1",
    "ward = 1",
    "ward IN (1, 2)",
    "ward = on_day",
    "ward = DATE '2000-01-01'",
    "n + 1 > 5",
    "n = 1.5",
    "n > 99999999999999999999",
    "x > 1",
    "seen_at > TIMESTAMP '2000-01-01 00:00:00'",
    "regexp_matches(ward, sex)",
    "n LIKE '1%'",
    "CASE WHEN flag THEN n = 1 END",
    "n",
    "missing = 'a'",
)


def parsed(text: str) -> RowFilter:
    found = parse_row_filter(text)
    assert isinstance(found, RowFilter)
    return found


@pytest.mark.parametrize("text", TOTAL)
def test_plain_conditions_are_total_and_do_not_fail_on_anything(text: str) -> None:
    assert is_total(parsed(text), TYPES)
    with duckdb.connect() as connection:
        columns = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
        connection.execute(f"CREATE TABLE t ({columns})")
        extremes = ((-(1 << 63), (1 << 63) - 1), ("", "\U0001f600'%_"), ("F", "M"), ("infinity", "-infinity"))
        for n, ward, sex, day in zip(*extremes, strict=True):
            connection.execute("INSERT INTO t VALUES (?, ?, ?, ?, NULL, true, 0)", [n, ward, sex, day])
        connection.execute("INSERT INTO t (n) SELECT NULL")
        connection.execute(f"SELECT count(*) FROM t WHERE ({text})").fetchall()


@pytest.mark.parametrize("text", CAN_FAIL)
def test_what_is_not_certain_is_not_total(text: str) -> None:
    assert not is_total(parsed(text), TYPES)
