"""Generated queries: what DuckDB's own plan touches is in the gate's list, and nothing of it is outside the extract.

The plan is made by an engine without any lock, over a file that holds more than the gate is told of: tables of other
schemas and databases, a view and a macro over a hidden table, a temporary table.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from generated_sql import STATEMENTS
from hypothesis import HealthCheck, example, given, settings

from enclave.gateway.gate import ExaminedStatement, StatementRefusedError, examine

TABLES = frozenset({"person", "visit"})
_EXAMPLES = 1500
_PARTS = (
    "CREATE TABLE person AS SELECT 1 AS k, 2 AS v",
    "CREATE TABLE visit AS SELECT 1 AS k, 2 AS v",
    "CREATE TABLE hidden AS SELECT 1 AS k, 2 AS v",
    "CREATE TABLE token AS SELECT 1 AS k, 2 AS v",
    "CREATE SCHEMA other",
    "CREATE TABLE other.person AS SELECT 1 AS k, 2 AS v",
    "CREATE VIEW hidden_view AS SELECT * FROM hidden",
    "CREATE MACRO peek() AS TABLE SELECT * FROM hidden",
)
_OPEN = (
    "ATTACH '{lung}' AS lung (READ_ONLY)",
    "CREATE TEMP TABLE noted AS SELECT 1 AS k, 2 AS v",
    "PRAGMA disable_optimizer",
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    folder: Path = tmp_path_factory.mktemp("plans")
    with duckdb.connect(str(folder / "lung.duckdb")) as lung:
        lung.execute("CREATE TABLE secret AS SELECT 1 AS k, 2 AS v")
        lung.execute("CREATE TABLE person AS SELECT 1 AS k, 2 AS v")
    with duckdb.connect(str(folder / "extract.duckdb"), config={"threads": 1}) as connection:
        for statement in (*_PARTS, *_OPEN):
            connection.execute(statement.replace("{lung}", str(folder / "lung.duckdb")))
        yield connection


def gate(engine: duckdb.DuckDBPyConnection, sql: str) -> ExaminedStatement:
    row = engine.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    assert row is not None
    return examine(row[0], TABLES)


def touched(engine: duckdb.DuckDBPyConnection, sql: str) -> tuple[set[str], set[str]]:
    """Tables, with catalog and schema, and functions of the plan. Raises duckdb.Error when it does not bind."""
    row = engine.execute(f"EXPLAIN (FORMAT JSON) {sql}").fetchone()
    assert row is not None
    tables: set[str] = set()
    functions: set[str] = set()
    waiting: list[Any] = json.loads(row[1])
    while waiting:
        node = waiting.pop()
        waiting += node.get("children", [])
        more = node.get("extra_info", {})
        if "Table" in more:
            tables.add(str(more["Table"]).replace('"', "").lower())
        if "Function" in more:
            functions.add(str(more["Function"]).lower())
    return tables, functions


OWN_FUNCTIONS = {"range", "unnest", "duckdb_tables", "duckdb_views"}
"""The last two stand behind SHOW TABLES."""


def test_the_plan_names_what_the_gate_must_know(engine: duckdb.DuckDBPyConnection) -> None:
    assert touched(engine, "SELECT * FROM hidden_view, lung.secret, noted, peek() p, other.person")[0] == {
        *("extract.main.hidden", "lung.main.secret", "temp.main.noted", "extract.other.person")
    }


def test_whatever_duckdb_touches_is_in_the_gate_s_list(engine: duckdb.DuckDBPyConnection) -> None:
    seen: Counter[str] = Counter()

    @settings(
        max_examples=_EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(STATEMENTS)
    @example("WITH hidden AS (SELECT k, v FROM hidden) SELECT k, v FROM hidden")
    @example("WITH person AS (SELECT k, v FROM hidden) SELECT k, v FROM main.person")
    @example('WITH "to\u212aen" AS (SELECT 1 AS k, 2 AS v) SELECT k, v FROM token')
    @example("WITH RECURSIVE hidden(k, v) AS ((FROM hidden) UNION (FROM hidden WHERE false)) SELECT k, v FROM hidden")
    def compare(sql: str) -> None:
        try:
            examined = gate(engine, sql)
        except StatementRefusedError as refusal:
            seen[f"refused-{refusal.rule}"] += 1
            return
        try:
            tables, functions = touched(engine, sql)
        except duckdb.Error:
            seen["does-not-bind"] += 1
            return
        assert tables <= {f"extract.main.{name}" for name in examined.tables}, sql
        assert functions <= OWN_FUNCTIONS, sql
        seen["compared"] += 1
        seen["with-tables"] += bool(tables)

    compare()
    assert seen["with-tables"] > _EXAMPLES // 20, seen
    assert seen["refused-table"] > _EXAMPLES // 20, seen
