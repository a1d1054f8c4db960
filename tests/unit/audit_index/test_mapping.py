"""One entry as one row: odd leaves give None, never an exception, and Arrow takes every row."""

import json
from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from audit.index.arrow import SCHEMA, searched_table, table_of
from audit.index.mapping import COLUMNS, Statement, join_statements, row_of
from audit.index.words import word_table
from audit.merkle import leaf_hash

INTENT = {
    "v": 1,
    "at": "2026-02-03T04:05:06.789Z",
    "type": "query:intent",
    "actor": "p-1",
    "subject": "extract-1",
    "project": "heart",
    "workspace": "w-1",
    "request_id": "r-1",
    "decision": "allow",
    "writer": "gateway",
    "boot": "b-1",
    "seq": 7,
    "policies": ["member"],
    "counts": {"characters": 12},
    "data": {"template_sha256": "ab", "tables": ["person"], "verb": "select", "dataset": "icu@v1"},
    "payload": "00",
}
OUTCOME = {
    "type": "query:outcome",
    "request_id": "r-1",
    "counts": {"rows": 1, "bytes": 2, "duration_ms": 3, "columns": 4, "persons": 5, "min_cell": 6},
    "data": {"status": "ok"},
}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from([*COLUMNS, "at", "counts", "data", "payload", "template_sha256", "tables", "rule"])
odd_leaves = st.dictionaries(
    keys, values | st.dictionaries(keys, values, max_size=4) | st.sampled_from(["query:intent", "query:outcome", "r-1"])
)


def entry(leaf: object) -> bytes:
    return json.dumps(leaf).encode()


def test_a_statement_and_its_outcome():
    rows = [row_of(0, entry(INTENT)), row_of(1, entry(OUTCOME))]
    opened: dict[str, Statement] = {}
    join_statements(rows, opened)
    intent, outcome = rows
    assert intent["at"] == datetime(2026, 2, 3, 4, 5, 6, 789000)  # noqa: DTZ001
    assert {name: intent[name] for name in ("type", "actor", "project", "seq", "policies", "has_payload")} == {
        "type": "query:intent",
        "actor": "p-1",
        "project": "heart",
        "seq": 7,
        "policies": ["member"],
        "has_payload": True,
    }
    assert (outcome["template"], outcome["tables"], outcome["verb"], outcome["dataset"]) == (
        "ab",
        ["person"],
        "select",
        "icu@v1",
    )
    assert [outcome[name] for name in ("rows", "bytes", "duration_ms", "columns", "persons", "min_cell")] == [
        *range(1, 7)
    ]
    assert outcome["has_payload"] is False
    assert outcome["at"] is None
    assert intent["leaf_hash"] == leaf_hash(entry(INTENT)).hex()
    assert opened == {}


def test_an_outcome_without_its_intent_has_no_statement():
    rows = [row_of(0, entry(OUTCOME))]
    join_statements(rows, {})
    assert rows[0]["template"] is None
    assert rows[0]["tables"] is None


def test_times_are_utc_and_need_a_zone():
    assert row_of(0, entry({"at": "2026-01-01T02:00:00+02:00"}))["at"] == datetime(2026, 1, 1)  # noqa: DTZ001
    for odd in ("2026-01-01T00:00:00", "yesterday", 5, None, "0001-01-01T00:00:00+14:00"):
        assert row_of(0, entry({"at": odd}))["at"] is None


def test_numbers_beyond_64_bits_and_booleans_are_none():
    counts = {"rows": 2**63, "bytes": True, "columns": -(2**63), "persons": 1.5}
    row = row_of(0, entry({"counts": counts}))
    assert [row[name] for name in counts] == [None, None, -(2**63), None]


@settings(deadline=None, max_examples=200)
@given(st.lists(odd_leaves.map(entry) | st.binary(max_size=40) | values.map(entry), max_size=5))
def test_any_entry_becomes_a_row_that_arrow_takes(entries):
    rows = [row_of(index, one) for index, one in enumerate(entries)]
    join_statements(rows, {})
    table = table_of(rows)
    rare, words = word_table([row["leaf"] for row in rows])
    assert searched_table(table, rare).num_rows == len(entries)
    assert table.schema == SCHEMA
    assert tuple(SCHEMA.names) == COLUMNS
    assert len(words) <= sum(leaf.count('"') + 1 for leaf in table.column("leaf").to_pylist())
    for row in rows:
        assert set(row) == set(COLUMNS)
        json.loads(row["leaf"])


def test_an_entry_that_is_no_json_keeps_its_text_escaped():
    row = row_of(3, b"\xff\x1b[31m{")
    assert json.loads(row["leaf"]) == "\\xff\x1b[31m{"
    assert "\x1b" not in row["leaf"]
    assert row["type"] is None
    assert row["index"] == 3
