"""Where a table is cut, and that the pieces of a plain scan are the whole, once each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.domain.manifest import ManifestColumn, ManifestTable
from enclave.domain.permits import Treatment
from enclave.gateway.row_ranges import (
    MAXIMUM_PARTS,
    ROW_GROUP,
    RowRange,
    RowSource,
    cut,
    find_row_source,
    ranged_statement,
    scan_statement,
)

ROWS, LARGE = 3000, 3 * ROW_GROUP + 17


def table(name: str, *columns: str) -> ManifestTable:
    listed = tuple(ManifestColumn(name=column, type="BIGINT", treatment=Treatment.KEEP) for column in columns)
    dropped = {"dropped_rows_filter": 0, "dropped_rows_opt_out": 0, "dropped_rows_no_person": 0}
    return ManifestTable(name=name, rows=1, source_rows=1, columns=listed, person=None, dropped_columns=(), **dropped)


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    """A native file in memory as a worker has it, with a numbered view as a permit's finer rules would have one."""
    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS extract")
        connection.execute(f'CREATE TABLE extract."a ""b""" AS SELECT i, i % 5 AS k FROM range({ROWS}) r(i)')
        connection.execute(f"CREATE TABLE extract.large AS SELECT i, i % 5 AS k FROM range({LARGE}) r(i)")
        connection.execute("CREATE SCHEMA extract.partitions")
        connection.execute(
            'CREATE VIEW extract.partitions."a ""b""" AS '
            'SELECT *, rowid AS "row" FROM extract.main."a ""b""" WHERE k < 3'
        )
        connection.execute("SET search_path = 'extract.main,memory.main'")
        yield connection


@given(rows=st.integers(0, 10**10), parts=st.none() | st.integers(1, MAXIMUM_PARTS), most=st.integers(1, 10**9))
def test_every_row_is_in_one_range(rows: int, parts: int | None, most: int) -> None:
    found = cut(rows, parts, most)
    assert 1 <= len(found) <= min(MAXIMUM_PARTS, max(1, rows))
    assert [(r.part, r.parts) for r in found] == [(i, len(found)) for i in range(1, len(found) + 1)]
    assert found[0].low == 0 and found[-1].high == 2**63 - 1
    assert all(one.high + 1 == other.low for one, other in pairwise(found))
    assert all(r.low <= r.high and (rows == 0 or r.low < rows) for r in found)
    if rows >= len(found) * ROW_GROUP:
        assert all(r.low % ROW_GROUP == 0 for r in found)
    if parts is None and len(found) < MAXIMUM_PARTS and rows < 10**9:
        assert len(found) >= rows / min(8 * ROW_GROUP, most)


def test_names_of_the_parts_are_told_apart_by_size() -> None:
    assert [(r.low, r.high) for r in cut(10, 3, 10**6)] == [(0, 2), (3, 5), (6, 2**63 - 1)]
    assert len(cut(60_000_000, None, 10**9)) == 62
    assert len(cut(0, 7, 5)) == 1


@pytest.mark.parametrize(
    "plain",
    [
        scan_statement('a "b"', ["i", "k"], "k > 1 -- a comment"),
        scan_statement('a "b"', None, None),
        'SELECT v.i + 1 AS j, v.* EXCLUDE (k) FROM "A ""B""" AS v WHERE k IN (1, 2);',
        'FROM "a ""b"""',
    ],
)
@pytest.mark.parametrize("hidden", [False, True])
def test_the_pieces_of_a_scan_are_the_whole(engine: duckdb.DuckDBPyConnection, plain: str, hidden: bool) -> None:
    source = find_row_source(table('a "b"', "i", "k"), is_view=False)
    allowed = ""
    if hidden:
        source, allowed = RowSource('extract.partitions."a ""b"""', '"row"', hidden=True), " WHERE k < 3"
    whole = engine.execute(
        plain.rstrip(";") if not hidden else f'WITH "a ""b""" AS (FROM extract.main."a ""b"""{allowed}) {plain}'
    )
    expected = sorted(whole.fetchall())
    found = [
        row
        for rows in cut(ROWS, 4, ROWS)
        for row in engine.execute(ranged_statement(plain, 'a "b"', rows, source)).fetchall()
    ]
    assert sorted(found) == expected


def test_a_range_reads_its_row_groups_only(engine: duckdb.DuckDBPyConnection) -> None:
    source = find_row_source(table("large", "i", "k"), is_view=False)
    statement = ranged_statement("SELECT i FROM large WHERE k = 2", "large", cut(LARGE, 3, LARGE)[1], source)
    plan = engine.execute(f"EXPLAIN {statement}").fetchall()[0][1]
    assert f"rowid >= {ROW_GROUP}" in plan and "CTE" not in plan.upper() and "k = 2" in plan


def test_a_column_called_rowid_hides_the_numbers() -> None:
    assert find_row_source(table("visit", "i", "RowId"), is_view=False) is None
    whole, part = RowRange(1, 1, 0, 9), RowRange(1, 2, 0, 9)
    assert ranged_statement("FROM visit", "visit", whole, None) == "FROM visit"
    with pytest.raises(ValueError, match="expected a row source"):
        ranged_statement("FROM visit", "visit", part, None)
