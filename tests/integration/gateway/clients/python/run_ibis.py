"""ibis has no Flight SQL backend: its expressions are written out for DuckDB and sent over ADBC."""

from __future__ import annotations

from typing import Any

import ibis
import pyarrow as pa
from checks import EXPIRED_TOKEN, LARGE_CHARACTERS, WRONG_TOKEN, expect, not_offered, refused, run, sql
from run_adbc import TOKEN, connect, query
from values import ROW


def table(name: str) -> Any:
    with connect() as connection:
        return ibis.table(ibis.Schema.from_pyarrow(connection.adbc_get_table_schema(name)), name=name)


def fetch(expression: Any, token: str = TOKEN) -> pa.Table:
    return query(str(ibis.to_sql(expression, dialect="duckdb")), token=token)


def simple() -> None:
    person = table("person")
    chosen = person.order_by("person_id").limit(2).select("person_id", "label")
    expect(fetch(chosen).to_pydict(), {"person_id": [0, 1], "label": ["name-0", "name-1"]})
    visit = table("visit")
    counted = visit.group_by("sex").aggregate(n=visit.count()).order_by("sex")
    expect(fetch(counted).to_pydict(), {"sex": ["F", "M"], "n": [2500, 2500]})


def expression() -> None:
    person, visit = table("person"), table("visit")
    joined = visit.join(person, "person_id").filter(lambda row: row.year_of_birth < 1960)
    old = joined.aggregate(n=joined.person_id.nunique())
    (row,) = fetch(old).to_pylist()
    expect(row, query("SELECT count(*) AS n FROM person WHERE year_of_birth < 1960").to_pylist()[0])


def large() -> None:
    numbers = ibis.range(9000).unnest().name("i").as_table()
    wide = numbers.mutate(wide=ibis.literal("x").repeat(8000) + numbers.i.cast("string"))
    expect(sum(map(len, fetch(wide)["wide"].to_pylist())), LARGE_CHARACTERS)


def types() -> None:
    with connect() as connection, connection.cursor() as cursor:
        schema = cursor.adbc_execute_schema(sql("TYPES"))
    ibis.Schema.from_pyarrow(schema)
    (row,) = query(sql("TYPES")).to_pylist()
    expect(row, ROW)


def columns_first() -> None:
    expect(list(table("visit").columns), ["visit_id", "person_id", "sex"])


def refuse(token: str, sentence: str) -> None:
    expression = ibis.literal(1).name("one").as_table()
    refused(lambda: fetch(expression, token=token), sentence)


if __name__ == "__main__":
    missing = ibis.table({"a": "int64"}, name="lung")
    run(
        {
            "connect": lambda: expect(fetch(ibis.literal(1).name("one").as_table()).to_pylist(), [{"one": 1}]),
            "wrong token refused": lambda: refuse(WRONG_TOKEN, "altered or from"),
            "expired token refused": lambda: refuse(EXPIRED_TOKEN, "expired"),
            "catalogue": not_offered,
            "rows and aggregates": simple,
            "expressions of the client": expression,
            "result over 64 MiB": large,
            "parameters: numbers, text": not_offered,
            "parameters: other types": not_offered,
            "prepared, run again": not_offered,
            "types": types,
            "columns before running": columns_first,
            "SHOW, DESCRIBE, EXPLAIN": not_offered,
            "PIVOT": not_offered,
            "partitions": not_offered,
            "cancel": not_offered,
            "refusal is a sentence": lambda: refused(lambda: fetch(missing), "It holds: person, visit"),
            "write refused": not_offered,
            "ingest refused": not_offered,
        }
    )
