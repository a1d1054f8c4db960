"""polars.read_database over an ADBC connection; polars itself refuses to send a write."""

from __future__ import annotations

from typing import Any

import polars as pl
from checks import EXPIRED_TOKEN, LARGE_CHARACTERS, WRONG_TOKEN, expect, not_offered, refused, run, sql
from run_adbc import TOKEN, connect
from values import NUMBERS_AND_TEXT, OTHER_VALUES, ROW


def read(text: str, parameters: Any = None, token: str = TOKEN) -> pl.DataFrame:
    options = {"parameters": parameters} if parameters else {}
    with connect(token) as connection:
        return pl.read_database(text, connection, execute_options=options)


def simple() -> None:
    expect(read(sql("SIMPLE"))["label"].to_list(), ["name-0", "name-1"])
    expect(read(sql("AGGREGATE")).to_dicts(), [{"sex": "F", "n": 2500}, {"sex": "M", "n": 2500}])


def types() -> None:
    (row,) = read(sql("TYPES")).to_dicts()
    expect(row, ROW)


def again() -> None:
    for number in (3, 4):
        expect(read("SELECT label FROM person WHERE person_id = ?", (number,))["label"].to_list(), [f"name-{number}"])


def helpers() -> None:
    expect(read("SHOW TABLES").to_series(0).to_list(), ["person", "visit"])
    expect(read("DESCRIBE visit").height, 3)
    expect(read("SUMMARIZE visit").height, 3)
    assert "SCAN" in str(read("EXPLAIN SELECT label FROM person").to_dicts()).upper()


def pivot() -> None:
    expect(read(sql("PIVOT")).to_dicts(), [{"F": 2500, "M": 2500}])
    expect(read(sql("UNPIVOT"))["value"].to_list(), [1, 2])
    refused(lambda: read(sql("OPEN_PIVOT")), "ON column IN (")


def write_frame() -> None:
    with connect() as connection:
        pl.DataFrame({"a": [1]}).write_database("person", connection, if_table_exists="append", engine="adbc")


if __name__ == "__main__":
    run(
        {
            "connect": lambda: expect(read("SELECT 1 AS one")["one"].to_list(), [1]),
            "wrong token refused": lambda: refused(lambda: read("SELECT 1", token=WRONG_TOKEN), "altered or from"),
            "expired token refused": lambda: refused(lambda: read("SELECT 1", token=EXPIRED_TOKEN), "expired"),
            "catalogue": not_offered,
            "rows and aggregates": simple,
            "result over 64 MiB": lambda: expect(
                int(read(sql("LARGE"))["wide"].str.len_chars().sum()), LARGE_CHARACTERS
            ),
            "parameters: numbers, text": lambda: expect(
                read(sql("PARAMETERS"), NUMBERS_AND_TEXT)["person_id"].to_list(), [7]
            ),
            "parameters: other types": lambda: expect(
                read(sql("OTHER_PARAMETERS"), OTHER_VALUES)["person_id"].to_list(), [7]
            ),
            "prepared, run again": again,
            "types": types,
            "columns before running": not_offered,
            "SHOW, DESCRIBE, EXPLAIN": helpers,
            "PIVOT": pivot,
            "partitions": not_offered,
            "cancel": not_offered,
            "refusal is a sentence": lambda: refused(lambda: read(sql("REFUSED")), "It holds: person, visit"),
            "write refused": lambda: refused(lambda: read(sql("WRITE")), "not valid 'read' queries"),
            "ingest refused": lambda: refused(write_frame, "read-only"),
        }
    )
