"""What is said about reading: columns, operators and counts, never a value; and nothing the worker makes up."""

from __future__ import annotations

import json
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.gateway.scans import (
    MOST_CHARACTERS,
    PROFILING,
    PROFILING_VIEWS,
    Scan,
    checked_reading,
    scans_of,
    scans_to_json,
    view_times,
)

TABLES = {"person": ["person_id", "label", "yob", "We ird"], "visit": ["visit_id", "person_id", "sex"]}
KNOWN = {table: frozenset(columns) for table, columns in TABLES.items()}


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS extract; ATTACH ':memory:' AS scratch")
        connection.execute(
            "CREATE TABLE extract.main.person AS SELECT i AS person_id, 'Zq7-' || i AS label, 1950 + i % 60 AS yob,"
            ' i AS "We ird" FROM range(5000) r(i);'
            "CREATE TABLE extract.main.visit AS SELECT i AS visit_id, i % 50 AS person_id, i % 7 AS sex"
            " FROM range(900) r(i);"
            "CREATE TABLE scratch.main.mine AS SELECT * FROM extract.main.person"
        )
        connection.execute(f"SET search_path = 'extract.main,scratch.main'; {PROFILING}")
        yield connection


@pytest.mark.parametrize(
    ("sql", "columns", "filters"),
    [
        ("SELECT label FROM person WHERE yob > 1980", "person.label person.yob", "person.yob >"),
        ("SELECT yob FROM person WHERE label = 'Zq7-77 yob >= 3'", "person.label person.yob", "person.label ="),
        (
            "SELECT yob FROM person WHERE label = 'Zq7-1''s yob < 3' OR label = 'Zq7-2'",
            "person.label person.yob",
            "person.label =",
        ),
        (
            'SELECT yob FROM person WHERE "We ird" BETWEEN 3 AND 9',
            "person.We ird person.yob",
            "person.We ird <=|person.We ird >=",
        ),
        ("SELECT yob FROM person WHERE label ILIKE '%q7%'", "person.label person.yob", "person.label ILIKE"),
        (
            "SELECT a FROM (SELECT yob AS label, person_id AS a FROM person) WHERE label % 7 = 3 OR label = 1999",
            "person.person_id person.yob",
            "",
        ),
        (
            "SELECT v.sex FROM visit v JOIN person p USING (person_id) WHERE p.yob = 1977",
            "person.person_id person.yob visit.person_id visit.sex",
            "person.person_id <=|person.yob =",
        ),
        ("SELECT sum(yob) FROM mine WHERE label = 'Zq7-1'", "", ""),
    ],
)
def test_columns_and_filters_of_the_real_engine(
    engine: duckdb.DuckDBPyConnection, sql: str, columns: str, filters: str
) -> None:
    engine.sql(sql).to_arrow_reader(1000).read_all()
    scans = scans_of(engine.get_profiling_information(), TABLES)
    assert scans is not None
    sent = json.loads(json.dumps(scans_to_json(scans)))
    reading = checked_reading(sent, KNOWN, frozenset({"scratch.mine"}))
    assert reading is not None
    spelled = sorted(name for table in TABLES for name in (f"{table}.{column}" for column in TABLES[table]))
    assert list(reading.columns) == [name for name in spelled if f" {name} " in f" {columns} "]
    assert "|".join(reading.filters) == filters
    assert reading.rows > 0 and "Zq7" not in str(reading) and "1977" not in str(reading)


def test_a_running_stream_tells_what_it_reads(engine: duckdb.DuckDBPyConnection) -> None:
    reader = engine.sql("SELECT p.label, v.sex FROM person p, visit v").to_arrow_reader(2048)
    reader.read_next_batch()
    scans = scans_of(engine.get_profiling_information(), TABLES)
    assert scans is not None and {(s.table, s.columns) for s in scans} == {
        ("person", frozenset({"label"})),
        ("visit", frozenset({"sex"})),
    }
    reader.close()


def test_an_answer_from_statistics_has_no_profile(engine: duckdb.DuckDBPyConnection) -> None:
    engine.sql("SELECT count(*) FROM person").to_arrow_reader(10).read_all()
    assert scans_of(engine.get_profiling_information(), TABLES) is None


@pytest.mark.parametrize(
    "sent",
    [
        [["person", ["diagnosis is C50"], [["label", "= 'Zq7'"], ["label"], "x", ["yob", 3]], 5]],
        [["elsewhere", ["label"], [["label", "="]], 5], ["person", "label", None, 5], ["person", ["label"], [], 5.5]],
        [["person", ["label"], [], -1], ["person", ["label"], [], True], ["scratch.other", [], [], 1], None, 7],
    ],
)
def test_what_the_worker_makes_up_is_left_out(sent: object) -> None:
    reading = checked_reading(sent, KNOWN, frozenset())
    assert reading is not None
    assert reading.columns == () and reading.filters == ()


def test_lists_are_capped_and_the_number_is_kept() -> None:
    wide = frozenset(f"column_{number:04}_{'x' * 40}" for number in range(2000))
    sent = scans_to_json([Scan("person", wide, frozenset((name, "=") for name in wide), 3)])
    reading = checked_reading(sent, {"person": wide}, frozenset())
    assert reading is not None and reading.all_columns == 2000
    assert 0 < len(json.dumps(reading.columns)) < MOST_CHARACTERS + 2000
    assert 0 < len(reading.filters) <= 200


def test_of_a_secure_view_the_own_filters_the_rows_it_gave_and_the_time_are_known() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE hidden AS SELECT i AS visit_id, i % 3 AS ward FROM range(900) r(i)")
        connection.execute("CREATE SECURE VIEW visit AS SELECT visit_id FROM hidden WHERE ward = 0")
        connection.execute(PROFILING_VIEWS)
        connection.execute("SELECT sum(visit_id) FROM visit WHERE visit_id < 300").fetchall()
        profile = connection.get_profiling_information()
    filters = frozenset({("visit_id", "<")})
    assert scans_of(profile, TABLES) == [Scan("visit", frozenset({"visit_id"}), filters, 100)]
    times = view_times(profile)
    assert list(times) == ["visit"] and times["visit"] > 0


KEYS = st.sampled_from(
    ["operator", "extra_info", "Table", "View", "Filters", "children", "type", "timing", "rows_scanned"]
)
LEAVES = st.sampled_from(["SECURE_VIEW"]) | st.none() | st.booleans() | st.integers() | st.text()


@given(st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner)))
def test_nothing_sent_or_profiled_raises(content: object) -> None:
    scans_of(json.dumps(content), TABLES)
    view_times(json.dumps(content))
    checked_reading(content, KNOWN, frozenset())
