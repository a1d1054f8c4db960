"""Is a SECURE view a barrier? Nothing a person writes may be computed for rows that their rule hides.

Every question here fails on hidden rows (text that is no number, sums that overflow, broken JSON and patterns). It is
asked twice: over the views of the rules, and over a table that holds the visible rows alone. Both must say the same,
the same rows or the same kind of error – or an error would tell that a hidden row is there.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from enclave.domain.manifest import ManifestTable
from enclave.domain.permits import TableRule
from enclave.domain.person_rules import PersonRules
from enclave.gateway.row_copies import CopyRoom, RowCopies
from enclave.gateway.ruled_views import attach_ruled

_ROWS = 6 * 2048
"""Six row groups of the smallest size, so that a scan may skip some."""
CONDITIONS = (
    "ward = 0",
    "ward IN (0, 5) AND visit_id >= 0",
    "NOT regexp_matches(lower(label), '^p.*n-[0-9]+$')",
    "ward = 0 AND CAST(label AS INTEGER) >= 0",
)
COPIED = "copied: ward = 0"
"""The same over a copy of the visible rows (``row_copies``)."""
_FAILING = (
    "CAST(label AS INTEGER)",
    "big + big",
    "CAST(big AS INTEGER)",
    "json_extract(js, '$.a')::VARCHAR::INTEGER",
    "length(regexp_extract('abc', re))",
    "CAST(on_day AS DATE) - DATE '2020-01-01'",
    "sqrt(neg)::INTEGER",
)
_QUESTIONS = (
    "SELECT count({e}), min({e}) FROM visit",
    "SELECT count(*) FROM visit WHERE {e} > 3 AND person_id = 7",
    "SELECT count(*) FROM visit WHERE person_id = 7 OR {e} > 3",
    "SELECT count(*) FROM visit WHERE {e} IN (SELECT person_id FROM person)",
    "SELECT count(*) FROM person p JOIN visit v ON p.person_id = {e}",
    "SELECT count(*) FROM person p ANTI JOIN visit v ON p.person_id = {e}",
    "SELECT count(*) FROM person p JOIN visit v ON p.person_id = v.person_id AND {e} > p.person_id",
    "SELECT count(*) FROM person p WHERE EXISTS (FROM visit v WHERE v.person_id = p.person_id AND {e} > 2)",
    "SELECT count(*) FROM person p, LATERAL (SELECT {e} AS x FROM visit v WHERE v.person_id = p.person_id) WHERE x > 1",
    "SELECT visit_id FROM visit ORDER BY {e}, visit_id LIMIT 5",
    "SELECT ({e})::VARCHAR AS k, count(*) FROM visit GROUP BY k ORDER BY k LIMIT 20",
    "SELECT visit_id FROM visit QUALIFY row_number() OVER (PARTITION BY person_id ORDER BY {e}, visit_id) = 1",
    "WITH q AS (SELECT *, {e} AS x FROM visit) SELECT count(*) FROM q WHERE x > 1 AND visit_id % 2 = 0",
    "SELECT count(*) FROM (SELECT {e} AS x FROM visit UNION ALL SELECT person_id FROM person) WHERE x > 1",
    "SELECT count(*) FROM visit WHERE CASE WHEN person_id = 3 THEN {e} > 2 ELSE false END",
    "SELECT count(*) FROM visit WHERE label = '5' AND {e} > 0",
    "SELECT count(x) FROM (SELECT unnest([{e}]) AS x FROM visit)",
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("extract") / "extract.duckdb"
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"ATTACH '{found}' AS whole (ROW_GROUP_SIZE 2048)")
        connection.execute("USE whole")
        connection.execute("CREATE TABLE person AS SELECT i::BIGINT AS person_id FROM range(50) r(i)")
        connection.execute(f"""CREATE TABLE visit AS SELECT i::BIGINT AS visit_id, (i % 50)::BIGINT AS person_id,
            CASE WHEN seen THEN 0 ELSE 1 END AS ward,
            CASE WHEN seen THEN (i % 97)::VARCHAR ELSE 'poison-' || i END AS label,
            CASE WHEN seen THEN i::BIGINT ELSE 9223372036854775807 - i END AS big,
            CASE WHEN seen THEN '{{"a": 1}}' ELSE '{{bad' END AS js, CASE WHEN seen THEN 'a.c' ELSE '(((' END AS re,
            CASE WHEN seen THEN '2020-01-01' ELSE 'never' END AS on_day, CASE WHEN seen THEN 1.5 ELSE -1.0 END AS neg
            FROM (SELECT i, i % 3 = 0 AND i < 8000 AS seen FROM range({_ROWS}) r(i))""")
    return found


def manifest_of(file: Path) -> Any:
    """As much of a manifest as the views are made from."""
    from types import SimpleNamespace

    with duckdb.connect(str(file), read_only=True) as connection:
        tables = []
        for name in ("person", "visit"):
            columns = [
                {"name": row[0], "type": row[1], "treatment": "keep"}
                for row in connection.execute(f"DESCRIBE {name}").fetchall()
            ]
            counts = dict.fromkeys(("rows", "source_rows", "dropped_rows_filter", "dropped_rows_opt_out"), 0)
            table = {"name": name, "columns": columns, "person": None, "dropped_columns": [], **counts}
            tables.append(ManifestTable.model_validate({**table, "dropped_rows_no_person": 0}))
    return SimpleNamespace(tables=tuple(tables))


@pytest.fixture(scope="module", params=(*CONDITIONS, COPIED))
def ruled(
    file: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[duckdb.DuckDBPyConnection]:
    columns = ("visit_id", "person_id", "label", "big", "js", "re", "on_day", "neg")
    rules = PersonRules((TableRule((), "visit", columns, request.param.removeprefix("copied: ")),))
    with duckdb.connect(":memory:") as connection:
        narrowed = attach_ruled(connection, file, "extract", manifest_of(file), rules)
        connection.execute("SET search_path = 'extract.main,memory.main'")
        if request.param == COPIED:
            room = CopyRoom(tmp_path_factory.mktemp("spill"), 1 << 30, 256)
            node = {"type": "SECURE_VIEW", "timing": 1e9, "extra_info": {"View": "visit"}}
            RowCopies(connection, file, narrowed, room).note(json.dumps({"operator": [node]}))
            for thread in threading.enumerate():
                if thread.name == "row-copies":
                    thread.join(60)
            assert "visible_0" in str(answer(connection, "EXPLAIN FROM visit"))
        yield connection


@pytest.fixture(scope="module")
def visible(file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"ATTACH '{file}' AS whole (READ_ONLY)")
        connection.execute("CREATE TABLE person AS FROM whole.person")
        connection.execute("CREATE TABLE visit AS SELECT * EXCLUDE (ward) FROM whole.visit WHERE ward = 0")
        yield connection


def answer(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    try:
        return sorted(connection.execute(sql).fetchall(), key=repr)
    except duckdb.Error as error:
        return type(error).__name__


@pytest.mark.parametrize("question", _QUESTIONS)
def test_nothing_is_computed_for_hidden_rows(
    ruled: duckdb.DuckDBPyConnection, visible: duckdb.DuckDBPyConnection, question: str
) -> None:
    for failing in _FAILING:
        sql = question.format(e=failing)
        assert answer(ruled, sql) == answer(visible, sql), sql


def test_the_questions_do_fail_on_the_whole_table(file: Path) -> None:
    with duckdb.connect(str(file), read_only=True) as connection:
        for failing in _FAILING:
            assert isinstance(answer(connection, _QUESTIONS[0].format(e=failing)), str), failing


def test_neither_catalogue_nor_statistics_nor_plan_tell_what_is_behind(ruled: duckdb.DuckDBPyConnection) -> None:
    listed = str([answer(ruled, f"FROM {name}()") for name in ("duckdb_databases", "duckdb_tables", "duckdb_columns")])
    assert "sealed" not in listed and "'ward'" not in listed
    assert "poison" not in str(answer(ruled, "SELECT stats(label) FROM visit LIMIT 1"))
    plan = str(answer(ruled, "EXPLAIN SELECT label FROM visit"))
    assert "Secure View" in plan or "visible_0" in plan
    assert "ward" not in plan and "sealed" not in plan
