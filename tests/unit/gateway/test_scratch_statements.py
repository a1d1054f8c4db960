"""Heads of statements that keep something: the forms that are read, what becomes of them, and that unsure is no."""

from __future__ import annotations

import json

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.gateway.gate import ExaminedStatement, StatementRefusedError
from enclave.gateway.scratch_gate import ScratchGate
from enclave.gateway.scratch_names import (
    ScratchKind,
    ScratchNames,
    ScratchObject,
    ScratchWrite,
    objects_from_json,
    objects_to_json,
    read_objects,
)
from enclave.gateway.scratch_statements import parse_scratch

TABLES = frozenset({"person", "visit"})
KEPT = ScratchNames(
    (
        ScratchObject("young", ScratchKind.TABLE, "scratch", ("person",), "v1"),
        ScratchObject("quick", ScratchKind.TABLE, "memory", ("visit",), "v1"),
        ScratchObject("seen", ScratchKind.VIEW, "scratch", ("scratch.young", "visit"), "v1"),
        ScratchObject("twice", ScratchKind.MACRO, "scratch", (), "v1"),
        ScratchObject("after", ScratchKind.TABLE_MACRO, "scratch", ("person",), "v1"),
    )
)
_CONNECTION = duckdb.connect()


def parse(sql: str) -> str:
    try:
        row = _CONNECTION.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    except duckdb.Error as error:
        return json.dumps({"error": True, "error_type": type(error).__name__})
    return str(row[0]) if row else ""


def examine(sql: str) -> ExaminedStatement:
    statement = parse_scratch(sql)
    assert statement is not None
    return ScratchGate(parse, TABLES, KEPT, "v2").examine(statement)


def written(sql: str) -> ScratchWrite:
    found = examine(sql).write
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("sql", "verb", "composed", "tables"),
    [
        ("create table a as from person", "create-table", 'CREATE TABLE scratch.main."a" AS from person', ["person"]),
        (
            "-- note\nCREATE /* x */ OR REPLACE TEMP TABLE a AS SELECT 1;",
            "create-table",
            'CREATE OR REPLACE TABLE memory.main."a" AS SELECT 1',
            [],
        ),
        (
            'CREATE VIEW scratch."A1" AS SELECT * FROM seen',
            "create-view",
            'CREATE VIEW scratch.main."A1" AS SELECT * FROM seen',
            ["person", "scratch.seen", "scratch.young", "visit"],
        ),
        (
            "CREATE FUNCTION f(a, b) AS a + twice(b)",
            "create-macro",
            'CREATE MACRO scratch.main."f"("a", "b") AS (a + twice(b)\n)',
            ["scratch.twice"],
        ),
        (
            "CREATE MACRO g() AS TABLE FROM after(3)",
            "create-table-macro",
            'CREATE MACRO scratch.main."g"() AS TABLE FROM after(3)',
            ["person", "scratch.after"],
        ),
        ("DROP TABLE IF EXISTS nothing", "drop-table", 'DROP TABLE IF EXISTS scratch.main."nothing"', []),
        ("DROP TABLE YOUNG;", "drop-table", 'DROP TABLE scratch.main."young"', []),
        ("drop macro table scratch.after", "drop-table-macro", 'DROP MACRO TABLE scratch.main."after"', []),
        (
            "INSERT INTO young (a, b) BY NAME SELECT * FROM visit",
            "insert",
            'INSERT INTO scratch.main."young" ("a", "b") BY NAME SELECT * FROM visit',
            ["visit"],
        ),
        ("INSERT INTO quick VALUES (1)", "insert", 'INSERT INTO memory.main."quick" VALUES (1)', []),
        ("TRUNCATE quick", "truncate", 'TRUNCATE memory.main."quick"', []),
        ("DELETE FROM young", "delete", 'DELETE FROM scratch.main."young"', ["person", "scratch.young"]),
        (
            "DELETE FROM scratch.main.young WHERE a IN (FROM visit) -- all",
            "delete",
            'DELETE FROM scratch.main."young" WHERE (a IN (FROM visit) -- all\n)',
            ["person", "scratch.young", "visit"],
        ),
    ],
)
def test_a_head_is_written_anew(sql: str, verb: str, composed: str, tables: list[str]) -> None:
    found = examine(sql)
    assert found.write is not None
    assert (found.verb, found.write.sql, list(found.tables)) == (verb, composed, tables)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE a (b INTEGER)",
        "CREATE TABLE a.b.c.d AS SELECT 1",
        "CREATE TABLE other.a AS SELECT 1",
        'CREATE TABLE "a b" AS SELECT 1',
        'CREATE TABLE "a""b" AS SELECT 1',
        "CREATE TABLE é AS SELECT 1",
        "CREATE TABLE a\u00a0AS SELECT 1",
        "CREATE TABLE a$ AS SELECT 1",
        "CREATE TABLE scratch AS SELECT 1",
        "CREATE TEMP TABLE scratch.a AS SELECT 1",
        "CREATE OR REPLACE TABLE IF NOT EXISTS a AS SELECT 1",
        "CREATE TABLE a AS SELECT 1 WITH NO DATA",
        "CREATE TABLE a AS SELECT 1; SELECT 2",
        "CREATE TABLE a AS INSERT INTO young SELECT 1",
        "CREATE TABLE a AS WITH x AS (DELETE FROM young RETURNING *) FROM x",
        "CREATE TABLE a AS COPY person TO 'x'",
        "CREATE TABLE a AS",
        "CREATE INDEX i ON young (a)",
        "CREATE SECRET s (TYPE s3)",
        "CREATE TYPE t AS ENUM ('a')",
        "CREATE SEQUENCE s",
        "CREATE TRIGGER t AS SELECT 1",
        "CREATE SECURE VIEW v AS SELECT 1",
        "CREATE RECURSIVE VIEW v AS SELECT 1",
        "CREATE MACRO f(a := 1) AS a",
        "CREATE MACRO f(a) AS a FROM person",
        "CREATE MACRO f(a) AS 1) FROM person --",
        "CREATE MACRO f(a) AS 1), (2",
        "CREATE MACRO f AS 1",
        "CREATE MACRO sum(a) AS a",
        "CREATE MACRO f() AS getvariable('x')",
        "CREATE VIEW young AS SELECT 1",
        "CREATE TABLE young AS SELECT 1",
        "CREATE OR REPLACE TEMP TABLE young AS SELECT 1",
        "CREATE TABLE Person AS SELECT 1",
        "DROP TABLE person",
        "DROP TABLE young, quick",
        "DROP TABLE young CASCADE",
        "DROP TABLE seen",
        "DROP SCHEMA scratch",
        "DROP TABLE memory.young",
        "INSERT INTO person SELECT 1",
        "INSERT INTO seen SELECT 1",
        "INSERT INTO young DEFAULT VALUES",
        "INSERT INTO young SELECT 1 RETURNING *",
        "INSERT INTO young SELECT 1 ON CONFLICT DO NOTHING",
        "INSERT OR REPLACE INTO young SELECT 1",
        "INSERT INTO young (SELECT 1)",
        "DELETE FROM young USING person WHERE a = 1",
        "DELETE FROM young AS y WHERE a = 1",
        "DELETE FROM young WHERE a = 1 RETURNING *",
        "DELETE FROM young WHERE true) RETURNING (a",
        "DELETE FROM young WHERE a IN (FROM 'x.csv')",
        "TRUNCATE young, quick",
        "TRUNCATE person",
        "CREATE /* /* nested */ TABLE person */ TABLE a AS SELECT 1",
        "CREATE",
        "DROP",
        "INSERT young SELECT 1",
    ],
)
def test_whatever_else_is_refused(sql: str) -> None:
    with pytest.raises(StatementRefusedError):
        examine(sql)


@pytest.mark.parametrize(
    "sql", ["SELECT 1", "FROM person", "UPDATE young SET a = 1", "COPY a TO 'x'", "", "(", "createx"]
)
def test_other_statements_are_left_to_the_gate(sql: str) -> None:
    assert parse_scratch(sql) is None


_PARTS = st.sampled_from(
    [
        *(
            "CREATE",
            "OR REPLACE",
            "TEMP",
            "TABLE",
            "VIEW",
            "MACRO",
            "DROP",
            "INSERT INTO",
            "DELETE FROM",
            "WHERE",
            "AS",
        ),
        *("young", "person", "scratch.a", "b", '"c"', "f(a)", "(", ")", ",", ";", "--\n", "/*", "*/", "'x'", "'", '"'),
        *("SELECT 1", "SELECT * FROM person", "FROM young", "VALUES (1)", "RETURNING *", "UNION ALL", "a = 1", "\n"),
        *("ATTACH 'x' AS y", "COPY person TO 'x'", "WITH x AS (", "DELETE FROM person", "INTO", "BY NAME", "TRUNCATE"),
    ]
)


@given(st.lists(_PARTS, min_size=2, max_size=14))
def test_what_passes_is_one_statement_on_the_scratch_space(parts: list[str]) -> None:
    sql = " ".join(parts)
    try:
        statement = parse_scratch(sql)
        if statement is None:
            return
        write = ScratchGate(parse, TABLES, KEPT, "v2").examine(statement).write
    except StatementRefusedError:
        return
    assert write is not None
    try:
        found = _CONNECTION.extract_statements(write.sql)
    except duckdb.ParserException:
        return  # the engine refuses what we composed: nothing happens
    assert len(found) == 1
    heads = ("CREATE", "DROP", "INSERT INTO", "DELETE FROM", "TRUNCATE")
    assert write.sql.startswith(heads)
    assert 'scratch.main."' in write.sql or 'memory.main."' in write.sql


def test_objects_keep_what_they_read_and_say_it_through_others() -> None:
    seen = KEPT.find("SEEN")
    assert seen is not None
    assert KEPT.sources(seen) == {"scratch.seen", "scratch.young", "person", "visit"}
    assert objects_from_json(objects_to_json(KEPT.objects)) == KEPT
    rows = [
        ("scratch", "seen", "view", seen.comment()),
        ("scratch", "x", "table", "{broken"),
        ("other", "y", "table", None),
    ]
    assert read_objects(rows) == [seen, ScratchObject("x", ScratchKind.TABLE, "scratch")]


def test_names_that_only_look_alike_are_other_names() -> None:
    names = ScratchNames((ScratchObject("kept", ScratchKind.TABLE, "scratch"),))
    assert names.find("KEPT") is not None
    assert names.find("\u212aept") is None


def test_a_replaced_object_reads_what_it_reads_now() -> None:
    write = written("CREATE OR REPLACE TABLE young AS SELECT * FROM visit")
    assert '"reads": ["visit"]' in write.follow_ups[0] and '"extract": "v2"' in write.follow_ups[0]
    write = written("INSERT INTO young SELECT * FROM visit")
    assert '"reads": ["person", "visit"]' in write.follow_ups[0]
    assert written("CREATE TABLE IF NOT EXISTS young AS SELECT 1").sql == "SELECT 0::BIGINT"
