"""Ways around a rule of the permit, each with what has to become of it. Bob may not see MARKER in any answer or error.

``gate``: refused by this rule before a worker sees it; ``engine``: fails in the worker with this in the sentence;
anything else is the whole answer, the one an extract without the hidden rows and columns would give.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from adbc_driver_manager import Error

_FILE = Path(__file__).resolve().parents[2] / "integration" / "gateway" / "ruled.py"
_SPEC = importlib.util.spec_from_file_location("gateway_ruled", _FILE)
assert _SPEC is not None and _SPEC.loader is not None
ruled: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(ruled)
BOB, MARKER = ruled.BOB, ruled.MARKER


@dataclass(frozen=True)
class Refused:
    """By the gate's rule, or by the engine with a part of its sentence."""

    rule: str = ""
    sentence: str = ""


def gate(rule: str) -> Refused:
    return Refused(rule=rule)


def engine(part: str) -> Refused:
    return Refused(sentence=part)


NO_TABLE, NO_COLUMN = gate("table"), engine("not found in FROM clause")
NAMES = (
    ("FROM sealed.visit", NO_TABLE),
    ("FROM sealed.main.visit", NO_TABLE),
    ('FROM "sealed"."main"."visit"', NO_TABLE),
    ("FROM SEALED.visit", NO_TABLE),
    ('FROM "SeAlEd".MAIN.visit', NO_TABLE),
    ("FROM sealed", NO_TABLE),
    ("WITH sealed AS (SELECT 1) FROM sealed.visit", NO_TABLE),
    ("WITH visit AS (FROM sealed.visit) FROM visit", NO_TABLE),
    ("WITH RECURSIVE visit AS (FROM sealed.visit UNION ALL FROM visit) FROM visit", NO_TABLE),
    ("SELECT (SELECT max(label) FROM sealed.main.visit)", NO_TABLE),
    ("SELECT 1 WHERE 'a' IN (SELECT label FROM sealed.main.visit)", NO_TABLE),
    ("SELECT sealed.main.visit.label FROM visit", engine("not found")),
    ("DESCRIBE sealed.visit", NO_TABLE),
    ("SUMMARIZE sealed.main.visit", NO_TABLE),
    ("SHOW sealed.visit", NO_TABLE),
    ("EXPLAIN FROM sealed.visit", NO_TABLE),
    ("PIVOT sealed.visit ON divisor IN (0, 1) USING count(*)", NO_TABLE),
    ("CREATE VIEW w AS FROM sealed.visit", NO_TABLE),
    ("CREATE TABLE w AS FROM sealed.main.visit", NO_TABLE),
    ("CREATE MACRO w() AS TABLE FROM sealed.visit", NO_TABLE),
    ("CREATE MACRO w() AS (SELECT max(label) FROM sealed.visit)", NO_TABLE),
    ("CREATE TEMP TABLE w AS FROM sealed.visit", NO_TABLE),
    ("FROM partitions.visit", NO_TABLE),
    ("FROM partitions.main.visit", NO_TABLE),
    ('SELECT __row FROM "Partitions"."MAIN".visit', NO_TABLE),
    ("FROM extract.partitions.visit", NO_TABLE),
    ('FROM "extract"."PARTITIONS"."visit"', NO_TABLE),
    ("FROM visible_0.visit", NO_TABLE),
    ('FROM "visible_0"."main"."visit"', NO_TABLE),
    ("FROM '/spill/visible-0.duckdb'", NO_TABLE),
    ("ATTACH '/spill/visible-0.duckdb' AS mine", gate("statement")),
    ("DETACH visible_0", gate("statement")),
    ("SELECT __row FROM visit", NO_COLUMN),
    ("SELECT max(rowid) FROM visit", NO_COLUMN),
    ("SELECT visit.rowid FROM visit", engine("rowid")),
    ("FROM extract.information_schema.tables", engine("does not exist")),
    ("FROM information_schema.views", NO_TABLE),
    ("FROM duckdb_views()", gate("table-function")),
    ("FROM pragma_table_info('sealed.visit')", gate("table-function")),
    ("FROM query('FROM sealed.visit')", gate("table-function")),
    ("FROM query_table('sealed.main.visit')", gate("table-function")),
    ("SELECT stats(label) FROM visit", gate("function")),
    ("SELECT sql FROM sqlite_master", NO_TABLE),
    ("USE sealed", gate("statement")),
    ("SET search_path = 'sealed.main'", gate("statement")),
    ("DETACH sealed", gate("statement")),
    ("ATTACH '/extract/extract.duckdb' AS again", gate("statement")),
    ("ALTER VIEW visit RENAME TO seen", gate("statement")),
    ("DROP VIEW extract.main.visit", gate("scratch-target")),
    ("CREATE OR REPLACE VIEW extract.main.visit AS SELECT 1", gate("scratch-target")),
    ("CREATE VIEW visit AS SELECT 1 AS label", gate("scratch-shadows")),
    ("CREATE TABLE partitions.x AS SELECT 1 AS a", gate("scratch-target")),
    ("INSERT INTO extract.main.visit SELECT 1, 1, 'x', 1", gate("scratch-target")),
    ("WITH gone AS (DELETE FROM visit RETURNING *) FROM gone", gate("writes")),
)
COLUMNS = (
    ("SELECT ward FROM visit", NO_COLUMN),
    ('SELECT "WARD" FROM visit', NO_COLUMN),
    ("SELECT v.ward FROM visit v", engine("ward")),
    ("SELECT visit_id FROM visit ORDER BY ward", NO_COLUMN),
    ("SELECT count(*) FROM visit WHERE ward <> 'cardiology'", NO_COLUMN),
    ("SELECT count(*) FROM visit GROUP BY ward", NO_COLUMN),
    ("SELECT count(*) OVER (PARTITION BY ward) FROM visit", NO_COLUMN),
    ("SELECT count(*) FROM person JOIN visit USING (ward)", engine("ward")),
    ("SELECT COLUMNS('ward') FROM visit", engine("No matching columns")),
    ("SELECT COLUMNS(lambda c: c = 'ward') FROM visit", engine("ward")),
    ("SELECT * EXCLUDE (ward) FROM visit", engine("ward")),
    ("SELECT len(struct_keys(v)) FROM visit v LIMIT 1", [(4,)]),
    ("SELECT struct_extract(v, 'ward') FROM visit v", engine("ward")),
    ("SELECT v['ward'] FROM (SELECT v FROM visit v)", engine("ward")),
    ("SELECT to_json(d)::VARCHAR FROM death d WHERE person_id = 0", [('{"person_id":0,"in_hospital":true}',)]),
    ("SELECT DISTINCT struct_keys(row) FROM (SELECT death AS row FROM death)", [(["person_id", "in_hospital"],)]),
    ("UNPIVOT (FROM visit LIMIT 1) ON ward INTO NAME n VALUE v", engine("ward")),
    (
        "SELECT count(*) FROM death NATURAL JOIN (SELECT DATE '1871-01-01' AS died_on)",
        engine("No columns found"),
    ),
    ("SELECT count(*) FROM death a POSITIONAL JOIN death b WHERE a.died_on = b.died_on", engine("died_on")),
)
_POISON = f"label LIKE '{MARKER}%'"
ROWS = (
    ("SELECT count(*) FROM visit", [(1667,)]),
    ("SELECT count(*) FROM (FROM visit) q, person p WHERE q.person_id = p.person_id", [(1667,)]),
    ("SELECT count(*) FROM person p LEFT JOIN visit v ON v.visit_id = p.person_id WHERE v.label IS NULL", [(666,)]),
    ("SELECT count(*) FROM visit FULL JOIN range(5000) r(i) ON visit_id = i WHERE label IS NULL", [(3333,)]),
    (f"SELECT count(*) FROM visit WHERE {_POISON} OR true", [(1667,)]),
    (f"SELECT count(*) FROM visit WHERE NOT coalesce({_POISON}, false)", [(1667,)]),
    ("SELECT count(*) FROM visit WHERE CAST(label AS INTEGER) >= 0", [(1667,)]),
    ("SELECT sum(100 // divisor) > 0, count(100 // divisor) FROM visit", [(True, 1667)]),
    ("SELECT count(*) FROM visit WHERE 10 % divisor >= 0", [(1667,)]),
    (f"SELECT count(*) FROM visit WHERE CASE WHEN {_POISON} THEN CAST(label AS INTEGER) > 0 ELSE true END", [(1667,)]),
    ("SELECT count(*) FROM person p SEMI JOIN visit v ON p.person_id = CAST(v.label AS INTEGER)", [(97,)]),
    ("SELECT count(*) FROM person p WHERE EXISTS (FROM visit v WHERE CAST(v.label AS INT) = p.person_id)", [(97,)]),
    ("SELECT count(*) FROM person p WHERE p.person_id IN (SELECT CAST(label AS INTEGER) FROM visit)", [(97,)]),
    ("SELECT count(*) FROM visit a JOIN visit b ON a.visit_id = b.visit_id WHERE a.visit_id = 1", [(0,)]),
    ("SELECT count(*) FROM person p, LATERAL (FROM visit v WHERE v.person_id = p.person_id)", [(1667,)]),
    ("SELECT visit_id FROM visit ORDER BY CAST(label AS INTEGER), visit_id LIMIT 1", [(0,)]),
    ("SELECT label FROM visit ORDER BY label DESC, visit_id LIMIT 1", [("96",)]),
    ("SELECT count(*) FROM visit TABLESAMPLE 100 PERCENT", [(1667,)]),
    ("SELECT count(*) FROM (FROM visit USING SAMPLE 5000 ROWS)", [(1667,)]),
    ("SELECT count(*) FROM (SELECT unnest([label]) AS l FROM visit) WHERE l LIKE 'M%'", [(0,)]),
    ("SELECT max(divisor), min(divisor) FROM visit", [(7, 1)]),
    ("SELECT count(*) FROM (PIVOT visit ON divisor IN (0, 1) USING count(*) GROUP BY person_id)", [(1000,)]),
    ("SELECT count(*) FROM (FROM visit UNION ALL FROM visit)", [(3334,)]),
    ("SELECT count(*) FROM (FROM visit EXCEPT SELECT * FROM visit)", [(0,)]),
    ("SELECT arg_max(label, visit_id) FROM visit", [("51",)]),
    ("WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i < 2) "
     "SELECT count(*) FROM r JOIN visit ON visit_id = i", [(1,)]),
    ("SELECT count(*) FROM visit v WHERE label = (SELECT max(label) FROM visit w WHERE w.visit_id = 1)", [(0,)]),
    ("SELECT error(label) FROM visit", gate("function")),
    ("EXPLAIN SELECT count(*) FROM visit", gate("explain-rules")),
    ("EXPLAIN ANALYZE FROM visit WHERE visit_id = 1", gate("explain-rules")),
    ("EXPLAIN FROM person WHERE person_id IN (SELECT person_id FROM visit)", gate("explain-rules")),
    ("SELECT count(*) FROM (SUMMARIZE visit) WHERE max LIKE 'M%' OR count > 1667", [(0,)]),
)  # fmt: skip
ATTACKS = (*NAMES, *COLUMNS, *ROWS)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Any]:
    with sys.modules["gateway_stack"].running_stack() as stack:  # type: ignore[attr-defined]
        ruled.add_ruled_project(stack)
        stack.socket()
        yield stack


@pytest.fixture(scope="module")
def bob(gateway: Any) -> Iterator[Any]:
    with gateway.connect(gateway.token(person=BOB)) as connection:
        yield connection


def run(connection: Any, sql: str) -> tuple[list[Any], str]:
    """Rows and error sentence; one of the two is empty."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(sql)
            return list(cursor.fetchall()), ""
        except Error as error:
            return [], str(error)


@pytest.mark.parametrize(("sql", "expected"), ATTACKS, ids=[sql for sql, _ in ATTACKS])
def test_no_way_around_a_rule(gateway: Any, bob: Any, sql: str, expected: Any) -> None:
    found, problem = run(bob, sql)
    assert MARKER not in str(found) and MARKER not in problem.replace(sql, "")
    if not isinstance(expected, Refused):
        assert (found, problem) == (expected, "")
        return
    assert problem, "expected a refusal"
    if expected.rule:
        gateway.wait_event("query:refused", rule=expected.rule)
        assert "Binder" not in problem and "Catalog" not in problem
    else:
        assert expected.sentence in problem


def test_nor_when_bob_s_rows_have_been_copied(gateway: Any, bob: Any) -> None:
    """``row_copies``: after some queries over a table with hidden rows its view reads a copy without them."""

    def is_copied() -> bool:
        run(bob, "SELECT sum(length(label)) FROM visit")
        return any(leaf["data"].get("columns_read") == ["visit.label"] for leaf in gateway.events("query:outcome"))

    gateway.wait_for(is_copied, what="a query that reads the copy")
    for sql, expected in ATTACKS:
        found, problem = run(bob, sql)
        assert MARKER not in str(found) and MARKER not in problem.replace(sql, ""), sql
        if isinstance(expected, Refused):
            assert problem and expected.sentence in problem, sql
        else:
            assert (found, problem) == (expected, ""), sql


@pytest.mark.parametrize("sql", [sql for sql, expected in ATTACKS if isinstance(expected, Refused)])
def test_nor_by_a_prepared_statement(bob: Any, sql: str) -> None:
    with bob.cursor() as cursor, pytest.raises(Error):
        cursor.adbc_prepare(sql)


def test_there_are_enough_of_them() -> None:
    assert len(ATTACKS) >= 90 and len({sql for sql, _ in ATTACKS}) == len(ATTACKS)
