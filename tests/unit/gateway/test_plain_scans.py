"""Which statements may be run in parts: a table of cases, and that parts of each eligible one are the whole."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from enclave.domain.manifest import ManifestColumn, ManifestTable
from enclave.domain.permits import Treatment
from enclave.gateway.gate import examine
from enclave.gateway.plain_scans import PER_ROW_FUNCTIONS
from enclave.gateway.row_ranges import cut, find_row_source, ranged_statement

PLAIN = (
    "SELECT * FROM visit",
    "FROM visit",
    "FROM Visit WHERE id > 3",
    "select id, sex AS s from VISIT v where v.sex = 'F' and id % 7 in (1, 2)",
    "SELECT lower(sex) AS s, id * 2 + 1, coalesce(day, DATE '2020-01-01') FROM visit",
    "SELECT CASE WHEN id < 9 THEN 'few' ELSE 'many' END AS c, CAST(id AS VARCHAR) FROM visit",
    "SELECT * EXCLUDE (sex) REPLACE (id + 1 AS id) FROM visit WHERE day BETWEEN '2020-01-02' AND '2020-01-09'",
    "SELECT year(day), date_trunc('month', day) FROM visit WHERE sex LIKE 'F%' OR sex IS NULL",
    "SELECT id FROM visit WHERE len(list_filter([id, 3], lambda x: x > 2)) = 2",
    "FROM visit SELECT id;",
    "SELECT visit.id, visit.* FROM visit",
)
WHOLE = (
    "SELECT count(*) FROM visit",
    "SELECT sum(id) + 1 FROM visit",
    "SELECT first(id) FROM visit",
    "SELECT max(id) FILTER (WHERE sex = 'F') FROM visit",
    "SELECT DISTINCT sex FROM visit",
    "SELECT sex FROM visit GROUP BY sex",
    "SELECT sex FROM visit GROUP BY ALL",
    "SELECT id FROM visit ORDER BY id",
    "SELECT id FROM visit LIMIT 3",
    "SELECT id FROM visit OFFSET 3",
    "SELECT row_number() OVER () FROM visit",
    "SELECT id FROM visit QUALIFY row_number() OVER () < 3",
    "SELECT id FROM visit HAVING count(*) > 1",
    "SELECT id FROM visit USING SAMPLE 3",
    "SELECT id FROM visit TABLESAMPLE 10%",
    "SELECT * FROM visit, visit AS other",
    "SELECT * FROM visit JOIN visit AS other USING (id)",
    "SELECT id FROM visit WHERE id IN (SELECT id FROM visit)",
    "SELECT (SELECT max(id) FROM visit) FROM visit",
    "SELECT id FROM (FROM visit)",
    "WITH visit AS (SELECT 1 AS id) SELECT id FROM visit",
    "SELECT id FROM visit UNION ALL SELECT id FROM visit",
    "SELECT id FROM extract.main.visit",
    "SELECT id FROM main.visit",
    "SELECT rowid FROM visit",
    "SELECT main.visit.id FROM visit",
    "SELECT id FROM visit WHERE visit.rowid < 3",
    "SELECT unnest([id, id]) FROM visit",
    "SELECT COLUMNS('i.*') FROM visit",
    "SELECT max(COLUMNS(*)) FROM visit",
    "SELECT id FROM visit WHERE id = ?",
    "DESCRIBE visit",
    "SELECT 1",
    "VALUES (1)",
    "SELECT i FROM range(3) r(i)",
)
ROWS = 3000


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS extract")
        connection.execute(
            "CREATE TABLE extract.visit AS SELECT i AS id, CASE i % 3 WHEN 0 THEN 'F' WHEN 1 THEN 'M' END AS sex,"
            f" DATE '2020-01-01' + (i % 400)::INTEGER AS day FROM range({ROWS}) r(i)"
        )
        connection.execute("SET search_path = 'extract.main,memory.main'")
        yield connection


def scanned(engine: duckdb.DuckDBPyConnection, sql: str) -> str | None:
    row = engine.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    assert row is not None
    return examine(row[0], frozenset({"visit"})).scanned


@pytest.mark.parametrize("sql", PLAIN)
def test_a_plain_scan_is_the_sum_of_its_parts(engine: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert scanned(engine, sql) == "visit"
    kept = ManifestColumn(name="id", type="BIGINT", treatment=Treatment.KEEP)
    dropped = {"dropped_rows_filter": 0, "dropped_rows_opt_out": 0, "dropped_rows_no_person": 0}
    table = ManifestTable(
        name="visit", rows=ROWS, source_rows=ROWS, columns=(kept,), person=None, dropped_columns=(), **dropped
    )
    pieces = [
        ranged_statement(sql, "visit", rows, find_row_source(table, is_view=False)) for rows in cut(ROWS, 3, ROWS)
    ]
    assert all(scanned(engine, piece) is None for piece in pieces)  # passes the gate, and is not cut again
    found = [row for piece in pieces for row in engine.execute(piece).fetchall()]
    assert sorted(found, key=str) == sorted(engine.execute(sql).fetchall(), key=str)


@pytest.mark.parametrize("sql", WHOLE)
def test_anything_else_runs_as_a_whole(engine: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert scanned(engine, sql) is None


def test_functions_of_a_selected_column_look_at_one_row(engine: duckdb.DuckDBPyConnection) -> None:
    kinds = engine.execute(
        "SELECT function_name, list(DISTINCT function_type) FROM duckdb_functions() "
        "WHERE schema_name = 'main' GROUP BY 1"
    ).fetchall()
    known = dict(kinds)
    for name in PER_ROW_FUNCTIONS - {"coalesce", "ifnull"}:  # these two are part of the language
        assert set(known[name]) <= {"scalar", "macro"}, name
    macros = [name for name in PER_ROW_FUNCTIONS if "macro" in known.get(name, [])]
    for name in macros:
        (text,) = engine.execute(
            "SELECT string_agg(macro_definition, ' ') FROM duckdb_functions() WHERE function_name = ?", [name]
        ).fetchall()[0]
        assert "SELECT" not in text.upper() and "OVER" not in text.upper(), name
