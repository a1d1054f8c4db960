"""flightsql-dbapi: its client and its DBAPI. TCP only."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
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
    run,
    sql,
)
from flightsql import FlightSQLClient, connect
from values import NUMBERS_AND_TEXT, OTHER_VALUES, ROW, from_pandas


def client(token: str = TOKEN) -> FlightSQLClient:
    host, port = ADDRESS.split(":")
    texts = {"tls_root_certs": ROOTS, "cert_chain": CERTIFICATE, "private_key": KEY}  # for pyarrow's FlightClient
    options = {name: text for name, text in texts.items() if text is not None}
    return FlightSQLClient(host=host, port=int(port), token=token, insecure=ROOTS is None, **options)


def rows(text: str, parameters: Any = None, token: str = TOKEN) -> list[Any]:
    return [tuple(row) for row in connect(client(token)).cursor().execute(text, parameters).fetchall()]


def catalogue() -> None:
    found = client()
    expect(_all(found, found.get_catalogs()).to_pydict(), {"catalog_name": ["extract"]})
    expect(_all(found, found.get_db_schemas()).to_pydict()["db_schema_name"], ["main"])
    connection = connect(found)
    expect(connection.flightsql_get_table_names(), ["person", "visit"])
    columns = connection.flightsql_get_columns("visit")
    expect([column["name"] for column in columns], ["visit_id", "person_id", "sex"])
    expect(connection.flightsql_get_primary_keys("person"), [])


def _all(found: FlightSQLClient, info: Any) -> Any:
    return found.do_get(info.endpoints[0].ticket).read_all()


def simple() -> None:
    expect(rows(sql("SIMPLE")), [(0, "name-0"), (1, "name-1")])
    expect(rows(sql("AGGREGATE")), [("F", 2500), ("M", 2500)])


def again() -> None:
    found = client()
    with found.prepare("SELECT label FROM person WHERE person_id = ?") as statement:
        for number in (3, 4):
            info = statement.execute(pa.RecordBatch.from_pydict({"1": [number]}))
            expect(_all(found, info).to_pylist(), [{"label": f"name-{number}"}])


def types() -> None:
    (row,) = rows(sql("TYPES"))
    expect(from_pandas(row), ROW)


def helpers() -> None:
    expect(rows("SHOW TABLES"), [("person",), ("visit",)])
    expect(len(rows("DESCRIBE visit")), 3)
    expect(len(rows("SUMMARIZE visit")), 3)
    assert "SCAN" in str(rows("EXPLAIN SELECT label FROM person")).upper()


def pivot() -> None:
    expect(rows(sql("PIVOT")), [(2500, 2500)])
    expect(rows(sql("UNPIVOT")), [("a", 1), ("b", 2)])
    refused(lambda: rows(sql("OPEN_PIVOT")), "ON column IN (")


if __name__ == "__main__":
    run(
        {
            "connect": lambda: expect(rows("SELECT 1 AS one"), [(1,)]),
            "wrong token refused": lambda: refused(lambda: rows("SELECT 1", token=WRONG_TOKEN), "altered or from"),
            "expired token refused": lambda: refused(lambda: rows("SELECT 1", token=EXPIRED_TOKEN), "expired"),
            "catalogue": catalogue,
            "rows and aggregates": simple,
            "result over 64 MiB": lambda: expect(sum(len(row[1]) for row in rows(sql("LARGE"))), LARGE_CHARACTERS),
            "parameters: numbers, text": lambda: expect(rows(sql("PARAMETERS"), NUMBERS_AND_TEXT), [(7,)]),
            "parameters: other types": lambda: expect(rows(sql("OTHER_PARAMETERS"), OTHER_VALUES), [(7,)]),
            "prepared, run again": again,
            "types": types,
            "columns before running": not_offered,
            "SHOW, DESCRIBE, EXPLAIN": helpers,
            "PIVOT": pivot,
            "partitions": not_offered,
            "cancel": not_offered,
            "refusal is a sentence": lambda: refused(lambda: rows(sql("REFUSED")), "It holds: person, visit"),
            "write refused": lambda: refused(lambda: client().execute_update(sql("WRITE")), "read-only"),
            "ingest refused": not_offered,
        }
    )
