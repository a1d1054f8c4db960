"""A table of the extract as a Dask DataFrame whose partitions are parts behind one-time tickets.

``ReadTickets`` is an expression of Dask's optimiser, as ``read_parquet`` is one: projections and simple filters above
it are taken into it, and so into the tickets. It holds what to ask for, never a ticket or token (see ``parts``).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from dask._task_spec import Task
from dask.dataframe.dask_expr import new_collection
from dask.dataframe.dask_expr._expr import (
    Expr,
    Filter,
    Index,
    Literal,
    PartitionsFiltered,
    Projection,
    determine_column_projection,
)
from dask.dataframe.dask_expr._reductions import Len
from dask.dataframe.dask_expr.io.io import BlockwiseIO

from enclave_client.dask.pandas_types import as_frame
from enclave_client.dask.parts import Plan, make_plan, read_part
from enclave_client.dask.predicates import split

if TYPE_CHECKING:
    import dask.dataframe


def table(
    name: str, columns: Sequence[str] | None = None, filter: str | None = None, parts: int | None = None
) -> dask.dataframe.DataFrame:
    """Table ``name`` as a Dask DataFrame; nothing is read before ``compute``. Raises EnclaveError.

    ``filter``: an SQL condition on the table's own columns, as after WHERE. ``parts``: how many partitions; by default
    about a million rows each. Columns a computation does not use are never sent, and comparisons, ``isin``, ``&`` and
    ``|`` are done by the gateway. Partitions may be computed again at any time: each asks for a ticket of its own.
    """
    request: dict[str, Any] = {"table": name, "parts": parts, "filter": filter}
    plan = make_plan({**request, "columns": list(columns) if columns is not None else None})
    return new_collection(ReadTickets(plan, condition=f"({filter}\n)" if filter else None))


class ReadTickets(PartitionsFiltered, BlockwiseIO):  # type: ignore[misc]
    """``plan``: table, cut and schema; ``columns``: those wanted, None for all; ``condition``: SQL or None."""

    _parameters = ("plan", "columns", "condition", "_partitions")
    _defaults: Mapping[str, Any] = {"columns": None, "condition": None, "_partitions": None}
    _absorb_projections = True
    _filter_passthrough = True

    @property
    def columns(self) -> list[str]:
        chosen = self.operand("columns")
        return list(self.plan.schema.names) if chosen is None else list(chosen)

    @functools.cached_property
    def _meta(self) -> pd.DataFrame:
        return as_frame(self.plan.schema.empty_table())[self.columns]

    def _divisions(self) -> tuple[None, ...]:
        return (None,) * (self.plan.parts + 1)

    def _filtered_task(self, name: Any, index: int) -> Task:
        return Task(name, read_frame, self.plan, index + 1, self.columns, self.condition, _data_producer=True)

    def _filter_passthrough_available(self, parent: Filter, dependents: Any) -> bool:
        if not super()._filter_passthrough_available(parent, dependents):
            return False
        return split(parent.predicate, self, self.plan.schema)[0] is not None

    def _simplify_up(self, parent: Expr, dependents: Any) -> Expr | None:
        if isinstance(parent, Index):
            return self._without_columns(parent, dependents)
        if isinstance(parent, Projection):
            return super()._simplify_up(parent, dependents)
        if isinstance(parent, Filter) and self._filter_passthrough_available(parent, dependents):
            return self._filtered_by(parent)
        if isinstance(parent, Len) and self.condition is None and not self._filtered and self.plan.rows is not None:
            return Literal(self.plan.rows)
        return None

    def _without_columns(self, parent: Index, dependents: Any) -> Expr | None:
        wanted = determine_column_projection(self, parent, dependents)
        columns = [name for name in self.columns if name in wanted]
        return None if columns == self.columns else Index(self.substitute_parameters({"columns": columns}))

    def _filtered_by(self, parent: Filter) -> Expr | None:
        pushed, rest = split(parent.predicate, self, self.plan.schema)
        both = f"{self.condition} AND {pushed}" if self.condition else pushed
        inner = self.substitute_parameters({"condition": both})
        return inner if rest is None else Filter(inner, rest.substitute(self, inner))


def read_frame(plan: Plan, part: int, columns: list[str], condition: str | None) -> pd.DataFrame:
    """The task: one part as pandas. Asks for its own ticket, so it may run any number of times. Raises EnclaveError."""
    sent = columns or plan.schema.names[:1]  # rows are counted by sending some column
    found = read_part(plan, part, {"columns": sent, "filter": condition})
    _check(found.schema, plan.schema, sent)
    return as_frame(found) if columns else pd.DataFrame(index=pd.RangeIndex(found.num_rows))


def _check(found: pa.Schema, planned: pa.Schema, columns: Sequence[str]) -> None:
    if not found.equals(pa.schema([planned.field(name) for name in columns])):
        raise TypeError("expected the columns the table had when it was opened, found others; open the table anew")
