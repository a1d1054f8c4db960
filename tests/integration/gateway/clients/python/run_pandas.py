"""pandas.read_sql over an ADBC connection; pandas takes no parameters for those."""

from __future__ import annotations

import pandas as pd
from checks import EXPIRED_TOKEN, LARGE_CHARACTERS, ODD_TEXT, WRONG_TOKEN, expect, not_offered, refused, run, sql
from run_adbc import TOKEN, connect


def read(text: str, token: str = TOKEN) -> pd.DataFrame:
    with connect(token) as connection:
        return pd.read_sql(text, connection)


def simple() -> None:
    expect(read(sql("SIMPLE"))["label"].tolist(), ["name-0", "name-1"])
    expect(read(sql("AGGREGATE"))["n"].tolist(), [2500, 2500])


def types() -> None:
    row = read(sql("TYPES")).iloc[0]
    expect((row["big"], str(row["decimal"])), (9223372036854775807, "12345678901234567890123456789.123456789"))
    expect(str(row["moment"]), "2024-02-29 23:59:59.123456")
    expect((row["odd"], pd.isna(row["nothing"])), (ODD_TEXT, True))


def helpers() -> None:
    expect(read("SHOW TABLES").iloc[:, 0].tolist(), ["person", "visit"])
    expect(len(read("DESCRIBE visit")), 3)
    expect(len(read("SUMMARIZE visit")), 3)
    assert "SCAN" in str(read("EXPLAIN SELECT label FROM person").to_dict()).upper()


def pivot() -> None:
    expect(read(sql("PIVOT")).to_dict("records"), [{"F": 2500, "M": 2500}])
    expect(read(sql("UNPIVOT"))["value"].tolist(), [1, 2])
    refused(lambda: read(sql("OPEN_PIVOT")), "ON column IN (")


def write_frame() -> None:
    with connect() as connection:
        pd.DataFrame({"a": [1]}).to_sql("person", connection, if_exists="append", index=False)


if __name__ == "__main__":
    run(
        {
            "connect": lambda: expect(read("SELECT 1 AS one")["one"].tolist(), [1]),
            "wrong token refused": lambda: refused(lambda: read("SELECT 1", token=WRONG_TOKEN), "altered or from"),
            "expired token refused": lambda: refused(lambda: read("SELECT 1", token=EXPIRED_TOKEN), "expired"),
            "catalogue": not_offered,
            "rows and aggregates": simple,
            "result over 64 MiB": lambda: expect(int(read(sql("LARGE"))["wide"].str.len().sum()), LARGE_CHARACTERS),
            "parameters: numbers, text": not_offered,
            "parameters: other types": not_offered,
            "prepared, run again": not_offered,
            "types": types,
            "columns before running": not_offered,
            "SHOW, DESCRIBE, EXPLAIN": helpers,
            "PIVOT": pivot,
            "partitions": not_offered,
            "cancel": not_offered,
            "refusal is a sentence": lambda: refused(lambda: read(sql("REFUSED")), "It holds: person, visit"),
            "write refused": lambda: refused(lambda: read(sql("WRITE")), "read-only"),
            "ingest refused": lambda: refused(write_frame, "read-only"),
        }
    )
