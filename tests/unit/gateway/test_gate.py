"""The statement gate, over the table in ``gate_statements``."""

from __future__ import annotations

from functools import cache

import duckdb
import pytest
from gate_statements import ALLOWED, REFUSED, TABLES  # type: ignore[import-not-found]

from enclave.gateway.gate import ALLOWED_FUNCTIONS, ExaminedStatement, StatementRefusedError, examine


@cache
def parser() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


def look_at(sql: str) -> ExaminedStatement:
    row = parser().execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    assert row is not None
    return examine(row[0], TABLES)


@pytest.mark.parametrize(("sql", "tables"), ALLOWED)
def test_it_lets_questions_about_the_extract_through(sql: str, tables: tuple[str, ...]) -> None:
    assert look_at(sql).tables == tables


@pytest.mark.parametrize(("sql", "rule"), REFUSED, ids=[sql[:60] for sql, _ in REFUSED])
def test_it_refuses_with_the_rule_that_applies(sql: str, rule: str) -> None:
    with pytest.raises(StatementRefusedError) as refusal:
        look_at(sql)
    assert refusal.value.rule == rule
    assert refusal.value.sentence.rstrip()[-1] in ".…)"


def test_an_unknown_table_is_answered_with_what_the_extract_holds() -> None:
    with pytest.raises(StatementRefusedError, match="It holds: Drug_Exposure, person, visit"):
        look_at("SELECT * FROM patients")


def test_unknown_node_kinds_are_refused() -> None:
    document = '{"error": false, "statements": [{"node": {"type": "FUTURE_NODE"}}]}'
    with pytest.raises(StatementRefusedError) as refusal:
        examine(document, TABLES)
    assert refusal.value.rule == "unknown-node"


def test_a_tree_deeper_than_python_can_walk_is_refused() -> None:
    document = '{"error": false, "statements": [{"node": ' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}]}"
    with pytest.raises(StatementRefusedError) as refusal:
        examine(document, TABLES)
    assert refusal.value.rule == "too-deep"


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("SELECT * FROM person WHERE a = 1", "select *  from person where a = 2", True),
        ("SELECT * FROM person WHERE a = 'x'", "SELECT * FROM person WHERE a = 'another'", True),
        ("SELECT * FROM person WHERE a = 1", "SELECT * FROM person WHERE b = 1", False),
        ("SELECT * FROM person", "SELECT * FROM visit", False),
    ],
)
def test_the_template_hash_ignores_literals_and_layout(one: str, two: str, same: bool) -> None:
    assert (look_at(one).template_sha256 == look_at(two).template_sha256) is same


def test_the_function_list_holds_nothing_that_reads_or_waits() -> None:
    forbidden = {"getenv", "current_setting", "sleep_ms", "pg_sleep", "write_log", "nextval", "json_serialize_plan"}
    assert not forbidden & ALLOWED_FUNCTIONS
    assert not [name for name in ALLOWED_FUNCTIONS if name.startswith(("read_", "duckdb_", "pragma_", "__internal"))]
