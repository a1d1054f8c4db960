"""SQLAlchemy 1.4 with the dialect that flightsql-dbapi brings. TCP only.

A URL has no place for certificates: over TLS a ``creator`` makes the connection.
"""

from __future__ import annotations

import warnings
from typing import Any

import flightsql.sqlalchemy
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
from flightsql import FlightSQLClient
from sqlalchemy import MetaData, Table, create_engine, func, inspect, select, text
from values import NUMBERS_AND_TEXT, OTHER_VALUES, ROW, from_pandas

warnings.simplefilter("ignore")


def over_tls(token: str) -> Any:
    host, port = ADDRESS.split(":")
    texts = {"tls_root_certs": ROOTS, "cert_chain": CERTIFICATE, "private_key": KEY}
    options = {name: text for name, text in texts.items() if text is not None}
    features = {"sqlalchemy-prepared-statements": "on"}
    return flightsql.connect(FlightSQLClient(host=host, port=int(port), token=token, features=features, **options))


def engine(token: str = TOKEN) -> Any:
    if ROOTS is not None:
        return create_engine(f"datafusion+flightsql://{ADDRESS}", creator=lambda: over_tls(token))
    options = f"insecure=True&token={token}&feature-sqlalchemy-prepared-statements=on"
    return create_engine(f"datafusion+flightsql://{ADDRESS}/?{options}")


def rows(statement: Any, token: str = TOKEN) -> list[tuple[Any, ...]]:
    with engine(token).connect() as connection:
        chosen = text(statement.replace(":", r"\:")) if isinstance(statement, str) else statement
        return [tuple(row) for row in connection.execute(chosen)]


def bound(statement: str, values: Any) -> list[tuple[Any, ...]]:
    with engine().connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(statement, tuple(values))]


def catalogue() -> None:
    inspector = inspect(engine())
    expect(inspector.get_schema_names(), ["main"])
    expect(inspector.get_table_names(schema="main"), ["person", "visit"])
    names = [column["name"] for column in inspector.get_columns("visit", schema="main")]
    expect(names, ["visit_id", "person_id", "sex"])


def simple() -> None:
    expect(rows(sql("SIMPLE")), [(0, "name-0"), (1, "name-1")])
    expect(rows(sql("AGGREGATE")), [("F", 2500), ("M", 2500)])


def again() -> None:
    for number in (3, 4):
        expect(bound("SELECT label FROM person WHERE person_id = ?", (number,)), [(f"name-{number}",)])


def types() -> None:
    (row,) = rows(sql("TYPES"))
    expect(from_pandas(row), ROW)


def expression() -> None:
    found = engine()
    visit = Table("visit", MetaData(), autoload_with=found, schema="main")
    counted = select(visit.c.sex, func.count()).group_by(visit.c.sex).order_by(visit.c.sex)
    expect(rows(counted), [("F", 2500), ("M", 2500)])


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
            "expressions of the client": expression,
            "result over 64 MiB": lambda: expect(sum(len(row[1]) for row in rows(sql("LARGE"))), LARGE_CHARACTERS),
            "parameters: numbers, text": lambda: expect(bound(sql("PARAMETERS"), NUMBERS_AND_TEXT), [(7,)]),
            "parameters: other types": lambda: expect(bound(sql("OTHER_PARAMETERS"), OTHER_VALUES), [(7,)]),
            "prepared, run again": again,
            "types": types,
            "columns before running": not_offered,
            "SHOW, DESCRIBE, EXPLAIN": helpers,
            "PIVOT": pivot,
            "partitions": not_offered,
            "cancel": not_offered,
            "refusal is a sentence": lambda: refused(lambda: rows(sql("REFUSED")), "It holds: person, visit"),
            "write refused": lambda: refused(lambda: rows(sql("WRITE")), "read-only"),
            "ingest refused": not_offered,
        }
    )
