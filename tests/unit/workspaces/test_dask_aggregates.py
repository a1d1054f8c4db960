"""Partial groups combined by the client are DuckDB's own groups over the whole table, wherever it is cut."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from enclave_client.dask.aggregates import combine, read_groups
from enclave_client.dask.parts import Plan
from enclave_client.errors import EnclaveError
from hypothesis import given
from hypothesis import strategies as st

from enclave.domain.manifest import ManifestColumn, ManifestTable
from enclave.domain.permits import Treatment
from enclave.gateway.partition_request import PartialGroups, PartitionRequest
from enclave.gateway.row_ranges import RowRange, RowSource, ranged_statement

COLUMNS = {
    "key": "VARCHAR",
    "level": "TINYINT",
    "whole": "INTEGER",
    "real": "DOUBLE",
    "day": "DATE",
    "price": "DECIMAL",
}
SCHEMA = pa.schema(
    {
        "key": pa.string(),
        "level": pa.int8(),
        "whole": pa.int32(),
        "real": pa.float64(),
        "day": pa.date32(),
        "price": pa.decimal128(9, 2),
    }
)
VALUES = {
    "n": ("count", "*"),
    "known": ("count", "whole"),
    "total": ("sum", "whole"),
    "least": ("min", "whole"),
    "mean": ("mean", "whole"),
    "real_total": ("sum", "real"),
    "real_least": ("min", "real"),
    "real_most": ("max", "real"),
    "real_mean": ("mean", "real"),
    "last_day": ("max", "day"),
    "first_key": ("min", "key"),
    "paid": ("sum", "price"),
    "paid_mean": ("mean", "price"),
}
ROW = st.fixed_dictionaries(
    {
        "key": st.sampled_from(["a", "b", "", None]),
        "level": st.sampled_from([0, 1, None]),
        "whole": st.none() | st.integers(-(2**31), 2**31 - 1),
        "real": st.sampled_from([None, 0.0, 1.25, -3.5, 1e6, math.nan, math.inf]),
        "day": st.none() | st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1)),
        "price": st.none() | st.decimals(-1000, 1000, places=2),
    }
)
TABLE = ManifestTable(
    name="visit",
    rows=1,
    source_rows=1,
    columns=tuple(ManifestColumn(name=n, type=t, treatment=Treatment.KEEP) for n, t in COLUMNS.items()),
    person=None,
    dropped_columns=(),
    dropped_rows_filter=0,
    dropped_rows_opt_out=0,
    dropped_rows_no_person=0,
)


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def groups(engine: duckdb.DuckDBPyConnection, by: tuple[str, ...], cuts: list[int]) -> list[pa.Table]:
    partial = PartialGroups(by, tuple((name, *value) for name, value in VALUES.items()))
    statement = PartitionRequest("visit", partial=partial).statement(TABLE)
    edges = [0, *sorted(cuts), 2**62]
    found = []
    for part, (low, high) in enumerate(pairwise(edges), start=1):
        rows = RowRange(part, len(edges) - 1, low, high - 1)
        piece = ranged_statement(statement, "visit", rows, RowSource("memory.main.visit", "rowid"))
        found.append(engine.sql(piece).to_arrow_table())
    return found


def expected(engine: duckdb.DuckDBPyConnection, by: tuple[str, ...]) -> list[dict[str, Any]]:
    values = [
        f"{'avg' if function == 'mean' else function}({column}) AS {name}"
        for name, (function, column) in VALUES.items()
    ]
    grouped = f" GROUP BY {', '.join(by)}" if by else ""
    rows: list[dict[str, Any]] = (
        engine.sql(f"SELECT {', '.join([*by, *values])} FROM visit{grouped}").to_arrow_table().to_pylist()
    )
    return rows


def alike(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        if one is None or other is None:
            return one is other
        return (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return (Decimal(one) == Decimal(other)) if isinstance(one, int | Decimal) and other is not None else one == other


@given(
    rows=st.lists(ROW, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    by=st.sampled_from([(), ("key",), ("key", "level"), ("level",), ("day",)]),
)
def test_combined_parts_are_the_whole(
    engine: duckdb.DuckDBPyConnection, rows: list[dict[str, Any]], cuts: list[int], by: tuple[str, ...]
) -> None:
    arrived = pa.Table.from_pylist(rows, SCHEMA)
    engine.register("arrived", arrived)
    engine.execute("CREATE OR REPLACE TABLE visit AS FROM arrived")
    found = combine(groups(engine, by, cuts), by, VALUES).to_pylist()
    wanted = expected(engine, by)
    assert len(found) == len(wanted)
    by_key = {tuple(str(row[name]) for name in by): row for row in found}
    for row in wanted:
        other = by_key[tuple(str(row[name]) for name in by)]
        for name in row:
            assert alike(row[name], other[name]), (name, row[name], other[name])


def test_groups_come_sorted_with_their_columns_first() -> None:
    part = pa.table({"key": ["b", None, "a"], "n": [1, 2, 3]})
    found = combine([part, part], ["key"], {"n": ("count", "*")})
    assert found.to_pydict() == {"key": ["a", "b", None], "n": [6, 2, 4]}


def test_a_plan_of_rows_is_not_one_of_groups() -> None:
    with pytest.raises(EnclaveError, match="found one of rows"):
        read_groups(Plan("visit", "p-1", 1, 1, 8, b""), 1, None)
