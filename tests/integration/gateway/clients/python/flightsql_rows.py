"""What both ways of flightsql-dbapi share, its DBAPI and its SQLAlchemy dialect: the client, and checks over rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from checks import (
    ADDRESS,
    CERTIFICATE,
    EXPIRED_TOKEN,
    KEY,
    LARGE_CHARACTERS,
    ROOTS,
    TOKEN,
    WRONG_TOKEN,
    expect,
    not_offered,
    refused,
    sql,
)
from flightsql import FlightSQLClient
from values import NUMBERS_AND_TEXT, OTHER_VALUES, ROW, from_pandas

Rows = Callable[..., list[tuple[Any, ...]]]
"""``rows(statement, token=…)``."""
Bound = Callable[[str, Any], list[tuple[Any, ...]]]
"""``bound(statement, values)``."""


def client(token: str = TOKEN, **options: Any) -> FlightSQLClient:
    host, port = ADDRESS.split(":")
    texts = {"tls_root_certs": ROOTS, "cert_chain": CERTIFICATE, "private_key": KEY}  # for pyarrow's FlightClient
    options |= {name: text for name, text in texts.items() if text is not None}
    return FlightSQLClient(host=host, port=int(port), token=token, insecure=ROOTS is None, **options)


def checks_over(rows: Rows, bound: Bound) -> dict[str, Callable[[], object]]:
    """Every check that is the same for both; the caller adds or replaces its own."""
    return {
        "connect": lambda: expect(rows("SELECT 1 AS one"), [(1,)]),
        "wrong token refused": lambda: refused(lambda: rows("SELECT 1", token=WRONG_TOKEN), "altered or from"),
        "expired token refused": lambda: refused(lambda: rows("SELECT 1", token=EXPIRED_TOKEN), "expired"),
        "rows and aggregates": lambda: _simple(rows),
        "result over 64 MiB": lambda: expect(sum(len(row[1]) for row in rows(sql("LARGE"))), LARGE_CHARACTERS),
        "parameters: numbers, text": lambda: expect(bound(sql("PARAMETERS"), NUMBERS_AND_TEXT), [(7,)]),
        "parameters: other types": lambda: expect(bound(sql("OTHER_PARAMETERS"), OTHER_VALUES), [(7,)]),
        "types": lambda: expect(from_pandas(rows(sql("TYPES"))[0]), ROW),
        "columns before running": not_offered,
        "SHOW, DESCRIBE, EXPLAIN": lambda: _helpers(rows),
        "PIVOT": lambda: _pivot(rows),
        "partitions": not_offered,
        "cancel": not_offered,
        "refusal is a sentence": lambda: refused(lambda: rows(sql("REFUSED")), "It holds: person, visit"),
        "ingest refused": not_offered,
    }


def _simple(rows: Rows) -> None:
    expect(rows(sql("SIMPLE")), [(0, "name-0"), (1, "name-1")])
    expect(rows(sql("AGGREGATE")), [("F", 2500), ("M", 2500)])


def _helpers(rows: Rows) -> None:
    expect(rows("SHOW TABLES"), [("person",), ("visit",)])
    expect(len(rows("DESCRIBE visit")), 3)
    expect(len(rows("SUMMARIZE visit")), 3)
    assert "SCAN" in str(rows("EXPLAIN SELECT label FROM person")).upper()


def _pivot(rows: Rows) -> None:
    expect(rows(sql("PIVOT")), [(2500, 2500)])
    expect(rows(sql("UNPIVOT")), [("a", 1), ("b", 2)])
    refused(lambda: rows(sql("OPEN_PIVOT")), "ON column IN (")
