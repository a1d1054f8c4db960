"""SQLAlchemy 1.4 with the dialect that flightsql-dbapi brings. TCP only.

A URL has no place for certificates: over TLS a ``creator`` makes the connection.
"""

from __future__ import annotations

import warnings
from typing import Any

import flightsql.sqlalchemy
from checks import ADDRESS, ROOTS, TOKEN, expect, refused, run, sql
from flightsql_rows import checks_over, client
from sqlalchemy import MetaData, Table, create_engine, func, inspect, select, text

warnings.simplefilter("ignore")


def over_tls(token: str) -> Any:
    return flightsql.connect(client(token, features={"sqlalchemy-prepared-statements": "on"}))


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


def again() -> None:
    for number in (3, 4):
        expect(bound("SELECT label FROM person WHERE person_id = ?", (number,)), [(f"name-{number}",)])


def expression() -> None:
    found = engine()
    visit = Table("visit", MetaData(), autoload_with=found, schema="main")
    counted = select(visit.c.sex, func.count()).group_by(visit.c.sex).order_by(visit.c.sex)
    expect(rows(counted), [("F", 2500), ("M", 2500)])


if __name__ == "__main__":
    run(
        {
            **checks_over(rows, bound),
            "catalogue": catalogue,
            "expressions of the client": expression,
            "prepared, run again": again,
            "write refused": lambda: refused(lambda: rows(sql("WRITE")), "read-only"),
        }
    )
