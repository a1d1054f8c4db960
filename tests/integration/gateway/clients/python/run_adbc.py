"""adbc-driver-flightsql through its DBAPI, over the unix socket or TLS."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import adbc_driver_flightsql.dbapi as flightsql
import pyarrow as pa
from adbc_driver_flightsql import DatabaseOptions
from checks import (
    ADDRESS,
    CERTIFICATE,
    EXPIRED_TOKEN,
    KEY,
    LARGE_CHARACTERS,
    ROOTS,
    SOCKET,
    TOKEN,
    WRONG_TOKEN,
    ends_early,
    expect,
    refused,
    run,
    sql,
)
from values import NUMBERS_AND_TEXT, OTHER_VALUES, ROW


def connect(token: str = TOKEN) -> Any:
    texts = {
        DatabaseOptions.TLS_ROOT_CERTS.value: ROOTS,
        DatabaseOptions.MTLS_CERT_CHAIN.value: CERTIFICATE,
        DatabaseOptions.MTLS_PRIVATE_KEY.value: KEY,
    }
    options = {name: text for name, text in texts.items() if text is not None}
    options[DatabaseOptions.AUTHORIZATION_HEADER.value] = f"Bearer {token}"
    uri = f"grpc+tls://{ADDRESS}" if ROOTS else f"grpc+unix://{SOCKET}"
    return flightsql.connect(uri, db_kwargs=options, autocommit=True)


def query(text: str, parameters: Any = None, token: str = TOKEN) -> pa.Table:
    with connect(token) as connection, connection.cursor() as cursor:
        cursor.execute(text, parameters)
        return cursor.fetch_arrow_table()


def catalogue() -> None:
    with connect() as connection:
        (catalog,) = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        expect(catalog["catalog_name"], "extract")
        (schema,) = catalog["catalog_db_schemas"]
        expect(schema["db_schema_name"], "main")
        expect({table["table_name"] for table in schema["db_schema_tables"]}, {"person", "visit"})
        visit = next(table for table in schema["db_schema_tables"] if table["table_name"] == "visit")
        expect([column["column_name"] for column in visit["table_columns"]], ["visit_id", "person_id", "sex"])
        expect(connection.adbc_get_table_schema("person").field("seen_on").type, pa.date32())
        expect(connection.adbc_get_table_types(), ["BASE TABLE"])
        expect(connection.adbc_get_info()["vendor_name"], "Enclave gateway")


def simple() -> None:
    expect(query(sql("SIMPLE")).to_pydict(), {"person_id": [0, 1], "label": ["name-0", "name-1"]})
    expect(query(sql("AGGREGATE")).to_pydict(), {"sex": ["F", "M"], "n": [2500, 2500]})


def large() -> None:
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute(sql("LARGE"))
        with cursor.fetch_record_batch() as reader:
            expect(sum(sum(map(len, batch["wide"].to_pylist())) for batch in reader), LARGE_CHARACTERS)


def prepared_again() -> None:
    with connect() as connection, connection.cursor() as cursor:
        for number in (3, 4):
            cursor.execute("SELECT label FROM person WHERE person_id = ?", (number,))
            expect(cursor.fetchall(), [(f"name-{number}",)])


def types() -> None:
    (row,) = query(sql("TYPES")).to_pylist()
    expect(row, ROW)


def columns_first() -> None:
    with connect() as connection, connection.cursor() as cursor:
        schema = cursor.adbc_execute_schema("SELECT person_id, label, seen_on FROM person")
        expect([str(field.type) for field in schema], ["int64", "string", "date32[day]"])
        cursor.adbc_prepare("SELECT label FROM person WHERE person_id = ? AND seen_on < ?")


def helpers() -> None:
    expect(query("SHOW TABLES").column(0).to_pylist(), ["person", "visit"])
    expect(query("DESCRIBE visit").column(0).to_pylist(), ["visit_id", "person_id", "sex"])
    expect(query("SUMMARIZE visit").num_rows, 3)
    assert "SCAN" in str(query("EXPLAIN SELECT label FROM person").to_pylist()).upper()


def pivot() -> None:
    expect(query(sql("PIVOT")).to_pylist(), [{"F": 2500, "M": 2500}])
    expect(query(sql("UNPIVOT")).to_pylist(), [{"name": "a", "value": 1}, {"name": "b", "value": 2}])
    refused(lambda: query(sql("OPEN_PIVOT")), "ON column IN (")


def cancel() -> None:
    with closing(connect()) as connection, connection.cursor() as cursor:

        def read() -> None:
            cursor.execute(sql("LONG"))
            cursor.fetchall()

        ends_early(read, cursor.adbc_cancel)


def ingest() -> None:
    with connect() as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("person", pa.table({"a": [1]}), mode="append")


def partitions() -> None:
    with connect() as connection, connection.cursor() as cursor:
        found, _ = cursor.adbc_execute_partitions("SELECT count(*) FROM visit")
        cursor.adbc_read_partition(found[0])
        expect(cursor.fetchall(), [(5000,)])
        cursor.adbc_statement.set_options(**{"adbc.flight.sql.rpc.call_header.enclave-partitions": "3"})
        found, _ = cursor.adbc_execute_partitions("SELECT visit_id FROM visit WHERE visit_id >= 1000")
        rows = []
        for part in found:
            cursor.adbc_read_partition(part)
            rows += [row[0] for row in cursor.fetchall()]
        expect((len(found), sorted(rows)), (3, list(range(1000, 5000))))


if __name__ == "__main__":
    run(
        {
            "connect": lambda: expect(query("SELECT 1 AS one").to_pylist(), [{"one": 1}]),
            "wrong token refused": lambda: refused(lambda: query("SELECT 1", token=WRONG_TOKEN), "altered or from"),
            "expired token refused": lambda: refused(lambda: query("SELECT 1", token=EXPIRED_TOKEN), "expired"),
            "catalogue": catalogue,
            "rows and aggregates": simple,
            "result over 64 MiB": large,
            "parameters: numbers, text": lambda: expect(
                query(sql("PARAMETERS"), NUMBERS_AND_TEXT).to_pydict(), {"person_id": [7]}
            ),
            "parameters: other types": lambda: expect(
                query(sql("OTHER_PARAMETERS"), OTHER_VALUES).to_pydict(), {"person_id": [7]}
            ),
            "prepared, run again": prepared_again,
            "types": types,
            "columns before running": columns_first,
            "SHOW, DESCRIBE, EXPLAIN": helpers,
            "PIVOT": pivot,
            "partitions": partitions,
            "cancel": cancel,
            "refusal is a sentence": lambda: refused(lambda: query(sql("REFUSED")), "It holds: person, visit"),
            "write refused": lambda: refused(lambda: query(sql("WRITE")), "read-only"),
            "ingest refused": lambda: refused(ingest, "read-only"),
        }
    )
