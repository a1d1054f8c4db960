"""What a person keeps: tables, views, macros of their own beside the extract, never in front of it, nor for others."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from adbc_driver_manager import Error

from enclave.domain.ids import PersonId

ALICE, BOB = PersonId("u-000000000001"), PersonId("u-000000000002")


def run(gateway: Any, sql: str) -> Any:
    return gateway.fetch(sql)


def as_bob(gateway: Any, sql: str) -> Any:
    return gateway.fetch(sql, gateway.token(person=BOB))


def test_a_table_of_ones_own_is_made_joined_extended_and_dropped(gateway: Any) -> None:
    assert run(gateway, "CREATE TABLE young AS SELECT person_id FROM person WHERE year_of_birth > 2000") == [(144,)]
    sql = "SELECT count(*) FROM young JOIN visit USING (person_id)"
    assert run(gateway, sql) == [(720,)]
    assert run(gateway, "SELECT count(*) FROM scratch.young") == [(144,)]
    assert run(gateway, "INSERT INTO young (person_id) SELECT person_id FROM person LIMIT 6") == [(6,)]
    assert run(gateway, "DELETE FROM scratch.young WHERE person_id IN (SELECT person_id FROM visit)") == [(150,)]
    assert run(gateway, "TRUNCATE young") == [(0,)]
    assert "young" in {row[0] for row in run(gateway, "SHOW TABLES")}
    run(gateway, "DROP TABLE young")
    with pytest.raises(Error, match="not in this project's extract"):
        run(gateway, "FROM young")


def test_a_view_and_macros_are_used_like_any_table_and_function(gateway: Any) -> None:
    run(gateway, "CREATE OR REPLACE VIEW per_year AS SELECT year_of_birth AS y, count(*) AS n FROM person GROUP BY y")
    run(gateway, "CREATE OR REPLACE MACRO ten_years(y) AS y // 10 * 10")
    run(gateway, "CREATE OR REPLACE MACRO born_after(y) AS TABLE SELECT * FROM person WHERE year_of_birth > y")
    assert run(gateway, "SELECT sum(n) FROM per_year") == [(1000,)]
    assert run(gateway, "SELECT ten_years(1987), scratch.ten_years(1999)") == [(1980, 1990)]
    assert run(gateway, "SELECT count(*) FROM born_after(2000)") == [(144,)]
    for kind, name in (("VIEW", "per_year"), ("MACRO", "ten_years"), ("MACRO TABLE", "born_after")):
        run(gateway, f"DROP {kind} {name}")


def test_a_temporary_table_ends_with_the_worker_and_the_others_stay(gateway: Any) -> None:
    run(gateway, "CREATE TABLE stays AS SELECT 1 AS a")
    run(gateway, "CREATE TEMP TABLE goes AS SELECT 2 AS a")
    assert run(gateway, "SELECT s.a, g.a FROM stays s, goes g") == [(1, 2)]
    kill_worker(gateway)
    assert run(gateway, "FROM stays") == [(1,)]
    with pytest.raises(Error, match="not in this project's extract"):
        run(gateway, "FROM goes")
    run(gateway, "DROP TABLE stays")


def kill_worker(gateway: Any) -> None:
    """kill -9 of alice's worker."""
    from pathlib import Path

    folder = gateway.settings.run_dir / "gw" / "heart-study" / "u-000000000001"
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except OSError:
            continue
        if command.startswith(b"bwrap") and str(folder).encode() in command:
            os.kill(int(entry.parent.name), signal.SIGKILL)
            gateway.wait_for(lambda pid=entry.parent: not pid.exists() or b"Z" in _state(pid), what="its end")


def _state(process: Any) -> bytes:
    try:
        return bytes((process / "stat").read_bytes().rsplit(b")", 1)[1][:3])
    except OSError:
        return b"Z"


def test_nobody_else_sees_it(gateway: Any) -> None:
    gateway.add_project(members=frozenset({ALICE, BOB}))
    run(gateway, "CREATE TABLE private AS SELECT 'alice only' AS v")
    run(gateway, "CREATE MACRO mine(a) AS a + 1")
    for sql in ("FROM private", "FROM scratch.private", "SELECT mine(1)", "DROP TABLE private", "DELETE FROM private"):
        with pytest.raises(Error, match=r"not in this project's extract|not available|You keep no"):
            as_bob(gateway, sql)
    names = {row[0] for row in as_bob(gateway, "SHOW TABLES")}
    assert "private" not in names
    rows = as_bob(gateway, "SELECT table_name FROM information_schema.tables")
    assert "private" not in {row[0] for row in rows}
    as_bob(gateway, "CREATE TABLE private AS SELECT 'bob only' AS v")
    assert run(gateway, "FROM private") == [("alice only",)]
    assert as_bob(gateway, "FROM private") == [("bob only",)]
    as_bob(gateway, "DROP TABLE private")
    run(gateway, "DROP TABLE private")
    run(gateway, "DROP MACRO mine")


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("CREATE TABLE person AS SELECT 1 AS a", "nothing may stand in front of it"),
        ("CREATE VIEW PERSON AS SELECT 1 AS a", "nothing may stand in front of it"),
        ('CREATE TEMP TABLE "Person" AS SELECT 1 AS a', "nothing may stand in front of it"),
        ("CREATE TABLE scratch.person AS SELECT 1 AS a", "nothing may stand in front of it"),
        ("CREATE MACRO sum(a) AS 1", "is a function of DuckDB"),
        ("CREATE MACRO range(a) AS TABLE SELECT 1", "is a function of DuckDB"),
        ("CREATE MACRO read_text(a) AS TABLE SELECT 1", "looks like a system name"),
        ("CREATE MACRO glob(a) AS TABLE SELECT 1", "is a function of DuckDB"),
        ("CREATE MACRO query_table(a) AS TABLE SELECT 1", "is a function of DuckDB"),
        ("CREATE TABLE extract.main.x AS SELECT 1", "Only your scratch space can be changed"),
        ("DROP TABLE person", "You keep no table named person"),
        ("DELETE FROM person", "You keep no table named person"),
        ("INSERT INTO visit SELECT * FROM visit", "You keep no table named visit"),
        ("TRUNCATE TABLE visit", "You keep no table named visit"),
        ("CREATE TABLE x (a INTEGER)", "In your scratch space these are possible"),
        ("CREATE TABLE x AS SELECT * FROM read_text('/etc/passwd')", "not available in a project space"),
        ("CREATE VIEW x AS SELECT * FROM duckdb_settings()", "not available in a project space"),
        ("CREATE MACRO x() AS (SELECT content FROM read_text('/etc/passwd'))", "not available in a project space"),
        ("CREATE TABLE x AS SELECT 1; DROP TABLE person", "only queries are possible"),
        ("CREATE MACRO x(a) AS a, (a, b) AS a + b", "Syntax error"),
        ("CREATE MACRO x() AS 1) , (2", "Expected one expression"),
        ("CREATE SCHEMA x", "In your scratch space these are possible"),
        ("CREATE TABLE duckdb_tables AS SELECT 1", "looks like a system name"),
        ("INSERT INTO stays VALUES (1) RETURNING *", "You keep no table"),
    ],
)
def test_nothing_stands_in_front_of_the_extract_and_nothing_else_is_written(
    gateway: Any, sql: str, sentence: str
) -> None:
    with pytest.raises(Error, match=sentence):
        run(gateway, sql)
    assert run(gateway, "SELECT count(*) FROM person") == [(1000,)]


def test_a_change_is_recorded_with_what_it_reads_and_writes(gateway: Any) -> None:
    run(gateway, "CREATE VIEW seen AS SELECT * FROM visit")
    intent = gateway.wait_event("query:intent", verb="create-view", scratch=["seen"])
    assert intent["data"]["tables"] == ["visit"] and intent["data"]["scratch"] == ["seen"]
    run(gateway, "CREATE TABLE kept AS SELECT * FROM seen JOIN person USING (person_id)")
    intent = gateway.wait_event("query:intent", verb="create-table", scratch=["kept"])
    assert intent["data"]["tables"] == ["person", "scratch.seen", "visit"]
    run(gateway, "SELECT count(*) FROM kept")
    intent = gateway.wait_event(
        "query:intent", verb="select", tables=["person", "scratch.kept", "scratch.seen", "visit"]
    )
    run(gateway, "DROP TABLE kept")
    run(gateway, "DROP VIEW seen")
    gateway.wait_event("query:intent", verb="drop-view")


def test_a_statement_that_fails_leaves_nothing_behind(gateway: Any) -> None:
    with pytest.raises(Error, match="cannot be converted"):
        run(gateway, "CREATE TABLE broken AS SELECT label::INTEGER AS a FROM person")
    with pytest.raises(Error, match="not in this project's extract"):
        run(gateway, "FROM broken")
    run(gateway, "CREATE TABLE broken AS SELECT 1 AS a")
    with pytest.raises(Error, match="You already keep broken"):
        run(gateway, "CREATE TABLE broken AS SELECT 2 AS a")
    run(gateway, "CREATE TABLE IF NOT EXISTS broken AS SELECT 3 AS a")
    assert run(gateway, "FROM broken") == [(1,)]
    run(gateway, "CREATE OR REPLACE TABLE broken AS SELECT 4 AS a")
    assert run(gateway, "FROM broken") == [(4,)]
    run(gateway, "DROP TABLE IF EXISTS broken")
    run(gateway, "DROP TABLE IF EXISTS broken")
