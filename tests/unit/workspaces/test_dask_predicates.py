"""A filter that is pushed into the tickets keeps exactly the rows that pandas would keep; others stay in pandas."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from enclave_client.dask.frames import ReadTickets, read_frame
from enclave_client.dask.pandas_types import as_frame
from enclave_client.dask.parts import Plan
from enclave_client.dask.predicates import as_sql, find_literal
from hypothesis import given
from hypothesis import strategies as st

DAY, MOMENT = datetime.date(2020, 1, 3), datetime.datetime.fromisoformat("2020-01-03 12:30")
LATER = MOMENT.replace(year=2021)
TABLE = pa.table(
    {
        "number": pa.array([0, 1, 2, 3, None, 5, -1, 2**62], pa.int64()),
        "real": pa.array([0.0, 1.5, None, math.nan, math.inf, -1.5, -math.inf, 3.0], pa.float64()),
        "text": pa.array(["", "a", "b", None, "it's", "é", "B", "b"]),
        "flag": pa.array([True, False, None, True, False, True, None, False]),
        "day": pa.array([DAY, None, datetime.date(2020, 1, 1), DAY, DAY, DAY, None, datetime.date(1999, 12, 31)]),
        "moment": pa.array([MOMENT, None, MOMENT, LATER, None, MOMENT, MOMENT, MOMENT]),
        "price": pa.array([Decimal("1.10"), None, *[Decimal("2.50")] * 5, Decimal("-3.00")], pa.decimal128(15, 2)),
        "short": pa.array([0.1, 0.2, None, 1.0, 2.0, 3.0, 4.0, 5.0], pa.float32()),
    }
)
VALUES: dict[str, Any] = {
    "number": st.sampled_from([0, 1, 3, -1, 2**62]),
    "real": st.sampled_from([0.0, 1.5, 3.0, -1.5, 3]),
    "text": st.sampled_from(["", "a", "b", "it's", "é", "B", "' OR 1=1 --"]),
    "flag": st.booleans(),
    "day": st.sampled_from([DAY, datetime.date(2020, 1, 1)]),
    "moment": st.sampled_from([MOMENT, LATER, "2020-01-03 12:30"]),
    "price": st.sampled_from([Decimal("1.10"), Decimal("2.5"), 2]),
}
PLAN = Plan("visit", "p-1", 1, TABLE.num_rows, 8, TABLE.schema.serialize().to_pybytes())


def build(frame: Any, tree: Any) -> Any:
    match tree:
        case ("and", left, right):
            return build(frame, left) & build(frame, right)
        case ("or", left, right):
            return build(frame, left) | build(frame, right)
        case (column, "isin", values):
            return frame[column].isin(values)
        case (column, sign, value):
            return getattr(frame[column], sign)(value)


def leaves() -> Any:
    signs = st.sampled_from(["__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"])
    comparison = [st.tuples(st.just(name), signs, values) for name, values in VALUES.items()]
    listed = [
        st.tuples(st.just(name), st.just("isin"), st.lists(VALUES[name], min_size=1, max_size=3))
        for name in ("number", "text")
    ]
    return st.one_of(*comparison, *listed)


TREES = st.recursive(leaves(), lambda part: st.tuples(st.sampled_from(["and", "or"]), part, part), max_leaves=5)


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.register("arrived", TABLE)
        connection.execute("CREATE TABLE visit AS SELECT *, row_number() OVER () - 1 AS place FROM arrived")
        yield connection


@given(tree=TREES)
def test_the_condition_keeps_the_rows_that_pandas_keeps(engine: duckdb.DuckDBPyConnection, tree: Any) -> None:
    expression = ReadTickets(PLAN)
    sql = as_sql(build(_collection(expression), tree).expr, expression, TABLE.schema)
    assert sql is not None
    frame = as_frame(TABLE.slice(0))
    kept = frame[build(frame, tree)].index.tolist()
    found = engine.execute(f"SELECT place FROM visit WHERE {sql} ORDER BY place").fetchall()
    assert [row[0] for row in found] == kept, sql


def _collection(expression: ReadTickets) -> Any:
    from dask.dataframe.dask_expr import new_collection

    return new_collection(expression)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("short", 0.1),
        ("number", 2.5),
        ("number", 2**63),
        ("number", True),
        ("real", math.nan),
        ("real", 2**60 + 1),
        ("text", "a\x00b"),
        ("text", 3),
        ("day", "2020-01-01"),
        ("day", MOMENT),
        ("moment", "yesterday, all my troubles"),
        ("moment", MOMENT.replace(tzinfo=datetime.UTC)),
        ("price", 1.1),
        ("number", None),
    ],
)
def test_values_that_pandas_and_duckdb_may_see_differently_stay_in_pandas(column: str, value: Any) -> None:
    assert find_literal(value, TABLE.schema.field(column).type) is None


def _pushed(frame: Any) -> tuple[str | None, list[str]]:
    (read,) = [found for found in frame.optimize(fuse=False).expr.walk() if isinstance(found, ReadTickets)]
    return read.condition, read.columns


def test_columns_and_filters_reach_the_tickets() -> None:
    visit = _collection(ReadTickets(PLAN))
    assert _pushed(visit[visit.number > 1][["text"]]) == ('"number" > 1', ["text"])
    assert _pushed(visit[visit.number > 1][visit.flag].text.count()) == ('"number" > 1', ["text", "flag"])
    mixed = visit[(visit.number > 1) & visit.text.str.startswith("a") & visit.text.isin(["a"])]
    assert _pushed(mixed.real.sum()) == ('"number" > 1 AND "text" IN (\'a\')', ["real", "text"])
    assert _pushed(visit.groupby("text").number.mean()) == (None, ["number", "text"])
    assert _pushed(visit[~visit.flag].text.count()) == (None, ["text", "flag"])
    assert _pushed(visit[3 <= visit.number].number.max()) == ('"number" >= 3', ["number"])  # noqa: SIM300


def test_a_graph_holds_no_token_and_no_ticket(monkeypatch: pytest.MonkeyPatch) -> None:
    visit = _collection(ReadTickets(PLAN))
    graph = dict(visit[visit.number > 1].optimize(fuse=False).__dask_graph__())
    (task,) = graph.values()
    assert task.func is read_frame and task.args == (PLAN, 1, list(TABLE.schema.names), '"number" > 1')
    assert len(visit) == TABLE.num_rows  # from the plan: nothing is read
