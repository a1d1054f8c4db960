"""What the front can tell about the people behind a result, and where it must say "unknown"."""

from __future__ import annotations

import json

import duckdb
import pyarrow as pa
import pytest

from audit.event import AuditEvent, check_event
from enclave.gateway.populations import CountColumn, PopulationMeter, count_columns, verb_of

PEOPLE = frozenset({"person_id"})


def tree(sql: str) -> dict:
    row = duckdb.connect().execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    return json.loads(row[0])["statements"][0]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT count(*) FROM t", (CountColumn(0, False),)),
        (
            "SELECT a, count(*) AS n, count(DISTINCT person_id) FROM t GROUP BY a",
            (CountColumn(1, False), CountColumn(2, True)),
        ),
        ("SELECT count(DISTINCT x.PERSON_ID) FROM t x", (CountColumn(0, True),)),
        ("SELECT count(person_id) FROM t", (CountColumn(0, False),)),
        ("SELECT count(DISTINCT a) FROM t", (CountColumn(0, False),)),
        ("SELECT *, count(*) OVER () FROM t", ()),
        ("SELECT a + 1 FROM t", ()),
        ("SELECT count(*) FROM t UNION ALL SELECT 1", ()),
    ],
)
def test_plain_counts_are_recognised_in_the_outermost_select(sql: str, expected: tuple[CountColumn, ...]) -> None:
    assert count_columns(tree(sql), PEOPLE) == expected


@pytest.mark.parametrize(
    ("sql", "verb"),
    [
        ("SELECT 1", "select"),
        ("FROM t", "select"),
        ("DESCRIBE t", "describe"),
        ("SUMMARIZE t", "summarize"),
        ("SHOW TABLES", "show"),
    ],
)
def test_the_verb_comes_from_the_parser(sql: str, verb: str) -> None:
    assert verb_of(tree(sql)) == verb


def batch(**columns: list) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)


def test_the_smallest_cell_and_the_people_of_grouped_counts_over_batches() -> None:
    meter = PopulationMeter((CountColumn(1, False), CountColumn(2, True)), PEOPLE)
    meter.add(batch(a=["x", "y"], n=[40, 7], people=[30, 6]))
    meter.add(batch(a=["z"], n=[12], people=[11]))
    assert (meter.min_cell, meter.persons) == (6, 47)


def test_a_shown_pseudonym_column_gives_the_distinct_people() -> None:
    meter = PopulationMeter((), PEOPLE)
    meter.add(batch(Person_ID=["p1", "p2"], v=[1, 2]))
    meter.add(batch(Person_ID=["p2", "p3"], v=[1, 2]))
    assert (meter.min_cell, meter.persons) == (None, 3)


def test_a_result_that_does_not_tell_stays_unknown() -> None:
    meter = PopulationMeter((CountColumn(0, False),), PEOPLE)
    meter.add(batch(n=[None, None], other=["a", "b"]))
    assert (meter.min_cell, meter.persons) == (None, None)


@pytest.mark.parametrize("told", [-1, -(2**63), 2**53, 2**63 - 1])
def test_a_number_that_is_no_count_does_not_keep_the_outcome_out_of_the_log(told: int) -> None:
    """A worker that was taken over may send it: a record of that number would be refused, and the end not be told."""
    meter = PopulationMeter((CountColumn(0, True),), PEOPLE)
    meter.add(batch(people=[11]))
    meter.add(batch(people=[told]))
    meter.add(batch(people=[2**53 - 1, 2**53 - 1]))
    assert meter.min_cell == 11
    counts = {"persons": meter.persons or 0, "min_cell": meter.min_cell or 0}
    check_event(AuditEvent("query:outcome", "u-000000000001", counts=counts))
