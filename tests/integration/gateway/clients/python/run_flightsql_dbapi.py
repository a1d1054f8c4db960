"""flightsql-dbapi: its client and its DBAPI. TCP only."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from checks import TOKEN, expect, refused, run, sql
from flightsql import FlightSQLClient, connect
from flightsql_rows import checks_over, client


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


def again() -> None:
    found = client()
    with found.prepare("SELECT label FROM person WHERE person_id = ?") as statement:
        for number in (3, 4):
            info = statement.execute(pa.RecordBatch.from_pydict({"1": [number]}))
            expect(_all(found, info).to_pylist(), [{"label": f"name-{number}"}])


if __name__ == "__main__":
    run(
        {
            **checks_over(rows, rows),
            "catalogue": catalogue,
            "prepared, run again": again,
            "write refused": lambda: refused(lambda: client().execute_update(sql("WRITE")), "read-only"),
        }
    )
