"""Errors of the real engine, over rows that hold something nobody may read in a message or a log."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from enclave.gateway.engine_errors import (
    binding_message,
    describe_engine_error,
    is_out_of_memory,
    stream_error,
)

_SECRETS = ("Zq7", "MARKER_99", "777700", "920000000000000000", "Mxyz", "Smith")
_TABLE = (
    "CREATE TYPE sex AS ENUM ('F', 'Mxyz''o')",
    "CREATE TABLE t AS SELECT 'Zq7 to MARKER_99 when casting from source column Smith' || i AS label, 'Zq7' AS k,"
    " 9200000000000000001::BIGINT AS n, 'Mxyz''o'::sex AS sex, DATE '9999-12-31' AS d, [7777001, 7777002] AS l,"
    " {'a': 'Zq7'} AS s, 7777003.5 AS f, -7777004 AS neg, '{\"a\": Zq7}' AS j, 'Zq7('  AS r, '$.Zq7[' AS path,"
    " 'Zq7 to INT32' AS tail FROM range(5) r(i)",
    "CREATE TABLE u (label VARCHAR UNIQUE, n TINYINT NOT NULL CHECK (n < 5))",
)
# each raises an error of DuckDB's that is about a row
_EXPRESSIONS = (
    *("label::INTEGER", "label::DATE", "label::TIMESTAMP", "label::TIME", "label::UUID", "label::BOOLEAN"),
    *("label::DECIMAL(5, 2)", "label::INTERVAL", "label::BIT", "label::sex", "label::JSON", "label::INTEGER[]"),
    *("label::STRUCT(a INT)", "label::MAP(INT, INT)", "label::HUGEINT", "label::DOUBLE", "label::TIMESTAMPTZ"),
    *("k::ENUM('a')", "tail::INTEGER", "s::STRUCT(a INT)", "sex::INT", "sex::INTEGER[]", "to_json(n)::INT"),
    *("f::TINYINT", "n::INTEGER", "neg::UTINYINT", "l::INTEGER[3]", "make_date(-neg, 13, 1)", "to_timestamp(n)"),
    *("n * 10", "n + n", "-n * 3", "n::HUGEINT * n * n * n", "1 << neg", "factorial(-neg)", "substring(label, n, n)"),
    *("error(label)", "error('x' || n)", "strptime(label, '%Y')", "date_part(label, d)", "date_trunc(k, d)"),
    *("timezone(label, now())", "timezone(k, TIMESTAMP '2020-01-01')", "regexp_matches('a', r)"),
    *("regexp_extract('a', r)", "json(label)", "json_extract(j, '$.a')", "json_extract('{\"a\": 1}', path)"),
    *("json_structure(label)", "json_type(j)", "json_keys(j)", "json_contains(j, '1')", "from_json(j, '\"INT\"')"),
    *('json_transform(j, \'{"a": "INTEGER"}\')', "printf(label || '%q', 1)", "format(k || '{:d}', 'a')"),
    *("unhex(label)", "from_base64(label)", "map([k, k], [1, 2])", "(SELECT label FROM t)", "to_base(n, neg::INT)"),
    *("sex + 1", "upper(sex, 1)", "sex - 1", "[sex] + 1", "unnest(sex)"),
)


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for statement in _TABLE:
            connection.execute(statement)
        yield connection


def described(engine: duckdb.DuckDBPyConnection, sql: str) -> str:
    """What the person would be told; the statement must fail (in mid-stream pyarrow raises OSError)."""
    with pytest.raises(Exception) as failure:
        engine.sql(sql).to_arrow_reader(1000).read_all()
    return describe_engine_error(stream_error(failure.value), sql, lambda: binding_message(engine, sql))


@pytest.mark.parametrize("expression", _EXPRESSIONS)
def test_no_error_carries_a_value_from_a_row(engine: duckdb.DuckDBPyConnection, expression: str) -> None:
    sentence = described(engine, f"SELECT {expression} FROM t")
    assert not [secret for secret in _SECRETS if secret in sentence]
    assert "LINE 1" not in sentence and sentence


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO u SELECT k, 1 FROM t",
        "INSERT INTO u SELECT label, n FROM t",
        "INSERT INTO u SELECT label, NULL FROM t",
        "INSERT INTO u SELECT label, 7 FROM t",
        "CREATE TABLE w AS SELECT timezone(label, now()) AS a FROM t",
    ],
)
def test_nor_does_that_of_a_change(engine: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(duckdb.Error) as failure:
        engine.execute(sql)
    sentence = describe_engine_error(failure.value, sql, lambda: binding_message(engine, sql))
    assert not [secret for secret in _SECRETS if secret in sentence]


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT CASE WHEN i < 500000 THEN i ELSE ('Zq7' || i)::INT END FROM range(1000000) r(i)", "Conversion error"),
        ("SELECT CASE WHEN i < 500000 THEN i ELSE error('Zq7' || i) END FROM range(1000000) r(i)", "InvalidInput"),
        (
            "SELECT i * (CASE WHEN i < 500000 THEN 1 ELSE 9200000000000000001 END) FROM range(1000000) r(i)",
            "OutOfRange",
        ),
    ],
)
def test_an_error_in_the_middle_of_a_stream_keeps_its_kind(
    engine: duckdb.DuckDBPyConnection, sql: str, kind: str
) -> None:
    sentence = described(engine, sql)
    assert sentence.startswith(kind)
    assert not [secret for secret in _SECRETS if secret in sentence]


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("SELECT label::INTEGER FROM t", "from column label cannot be converted to INT32"),
        ("SELECT nope FROM t", 'Referenced column "nope" not found'),
        ("SELECT * FROM nope", "nope does not exist"),
        ("SELECT sex + 1 FROM t", r"'+(ENUM, INTEGER_LITERAL)'"),
        ("EXPLAIN ANALYZE SELECT nope FROM t", 'Referenced column "nope" not found'),
    ],
)
def test_names_and_types_are_kept(engine: duckdb.DuckDBPyConnection, sql: str, sentence: str) -> None:
    assert sentence in described(engine, sql)


def test_a_name_in_a_change_is_kept(engine: duckdb.DuckDBPyConnection) -> None:
    sql = "CREATE TABLE w AS SELECT nope FROM t"
    with pytest.raises(duckdb.Error) as failure:
        engine.execute(sql)
    assert '"nope" not found' in describe_engine_error(failure.value, sql, lambda: binding_message(engine, sql))


def test_memory_is_told_from_other_ends() -> None:
    assert is_out_of_memory(duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate"))
    assert is_out_of_memory(duckdb.InternalException("INTERNAL Error: Memory allocation failure\n\nStack Trace:\n"))
    assert not is_out_of_memory(duckdb.InternalException("INTERNAL Error: odd\n\nStack Trace:\n allocate_something"))
    assert not is_out_of_memory(duckdb.InvalidInputException("Invalid Input Error: allocation of beds"))
