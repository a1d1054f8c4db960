"""Aggregates of a table in parts: the gateway adds up each part, this combines the parts.

What travels is a row per group and part, so it costs little more than one query, and it uses as many gateway replicas
as there are workers. Functions: sum, count, min, max, mean. As in DuckDB, NULLs are left out, a group of nothing but
NULLs has no sum, min, max or mean, NULL is a group of its own, and NaN is the greatest number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from enclave_client.dask.pandas_types import as_frame
from enclave_client.dask.parts import Plan, make_plan, read_part
from enclave_client.errors import EnclaveError

if TYPE_CHECKING:
    import pandas

Values = Mapping[str, tuple[str, str]]
_COMBINED = {"sum": "sum", "count": "sum", "min": "min", "max": "max"}
_NAN = "__nan"


def aggregate(
    table: str, *, by: Sequence[str] = (), values: Values, filter: str | None = None, parts: int | None = None
) -> pandas.DataFrame:
    """One row per group, sorted by ``by``, with the columns ``by`` and the names of ``values``. Raises EnclaveError.

    ``values``: name → (function, column); ``("count", "*")`` counts rows. ``filter``: an SQL condition. It runs on the
    distributed client of this process if there is one, else on threads.
    """
    partial = {"by": list(by), "values": {name: list(value) for name, value in values.items()}}
    request = {"table": table, "filter": filter, "partial": partial}
    plan = make_plan({**request, "parts": parts}, json.dumps(partial))
    return as_frame(combine(_read_all(plan, filter), list(by), values))


def _read_all(plan: Plan, condition: str | None) -> list[pa.Table]:
    import dask
    from distributed import get_client

    tasks = [dask.delayed(read_groups, pure=False)(plan, part, condition) for part in range(1, plan.parts + 1)]
    try:
        client = get_client()
    except ValueError:  # there is none in this process
        return list(dask.compute(*tasks, scheduler="threads"))
    return list(client.gather(client.compute(tasks)))


def read_groups(plan: Plan, part: int, condition: str | None) -> pa.Table:
    """The task: the groups of one part. Asks for its own ticket, so it may run any number of times."""
    if plan.partial is None:
        raise EnclaveError("Expected a plan of groups, found one of rows. Use enclave_client.dask.aggregate.")
    return read_part(plan, part, {"filter": condition, "partial": json.loads(plan.partial)})


def combine(parts: Sequence[pa.Table], by: Sequence[str], values: Values) -> pa.Table:
    """Groups of every part → groups of the whole; at least one part, all with the same columns. Pure."""
    received = pa.concat_tables(parts)
    table = received.take(
        pa.array(range(received.num_rows), pa.int64())
    )  # a copy: Arrow's engine wants aligned buffers
    wanted: list[tuple[str, str]] = []
    for name, (function, _) in values.items():
        if function == "mean":
            wanted += [(f"{name}__sum", "sum"), (f"{name}__count", "sum")]
        else:
            wanted.append((name, _COMBINED[function]))
        if function == "max" and pa.types.is_floating(table.schema.field(name).type):
            table = table.append_column(f"{name}{_NAN}", pc.is_nan(table[name]).cast(pa.int8()))
            wanted.append((f"{name}{_NAN}", "max"))
    grouped = table.group_by(list(by)).aggregate(wanted)
    columns = {name: grouped[name] for name in by} | {
        name: _whole(grouped, name, function) for name, (function, _) in values.items()
    }
    whole = pa.table(columns)
    return whole.sort_by([(name, "ascending") for name in by]) if by else whole


def _whole(grouped: pa.Table, name: str, function: str) -> Any:
    if function == "mean":
        total = pc.cast(grouped[f"{name}__sum_sum"], pa.float64(), safe=False)
        count = pc.cast(grouped[f"{name}__count_sum"], pa.float64())
        return pc.if_else(pc.greater(count, 0), pc.divide(total, count), pa.scalar(None, pa.float64()))
    found = grouped[f"{name}_{_COMBINED[function]}"]
    if function == "sum" and pa.types.is_decimal(found.type) and found.type.scale == 0:
        return _as_int64(found)
    if f"{name}{_NAN}_max" in grouped.column_names:
        is_nan = pc.equal(grouped[f"{name}{_NAN}_max"], 1)
        return pc.if_else(pc.fill_null(is_nan, False), pa.scalar(float("nan"), found.type), found)
    return found


def _as_int64(column: Any) -> Any:
    """DuckDB's sums of whole numbers have 38 digits; most fit into 64 bits."""
    try:
        return pc.cast(column, pa.int64())
    except pa.ArrowInvalid:
        return column
