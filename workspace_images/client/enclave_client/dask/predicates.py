"""A Dask filter as an SQL condition, where both mean exactly the same; None where they do not, and pandas filters.

Understood: comparisons of a column with a value, ``isin``, and ``&`` and ``|`` of these. The differences between pandas
and DuckDB that matter: NULL in a float or time stamp is NaN or NaT and so unequal to everything; DuckDB takes NaN for
the greatest of all numbers, pandas for incomparable. Values other than those below are left to pandas.
"""

from __future__ import annotations

import datetime
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.types as types
from dask.dataframe.dask_expr._expr import EQ, GE, GT, LE, LT, NE, And, Expr, Isin, Or, Projection

from enclave_client.dask.pandas_types import has_null_as_nan

_SIGNS = {EQ: "=", NE: "<>", LT: "<", LE: "<=", GT: ">", GE: ">="}
_TURNED = {EQ: EQ, NE: NE, LT: GT, LE: GE, GT: LT, GE: LE}
_MOST_VALUES = 1000
_BIGGEST = 2**63 - 1


def split(predicate: Expr, frame: Expr, schema: pa.Schema) -> tuple[str | None, Expr | None]:
    """SQL of what can be pushed into ``frame`` and what remains; both of ``a & b`` may be true."""
    whole = as_sql(predicate, frame, schema)
    if whole is not None or not isinstance(predicate, And):
        return whole, None if whole is not None else predicate
    sides = [split(side, frame, schema) for side in (predicate.left, predicate.right)]
    pushed = [sql for sql, _ in sides if sql is not None]
    rest = [left for _, left in sides if left is not None]
    remaining = And(*rest) if len(rest) == 2 else (rest[0] if rest else None)
    return " AND ".join(pushed) or None, remaining


def as_sql(predicate: Expr, frame: Expr, schema: pa.Schema) -> str | None:
    """The condition as SQL over the columns of ``frame``, or None."""
    if isinstance(predicate, And | Or):
        left, right = (as_sql(side, frame, schema) for side in (predicate.left, predicate.right))
        word = "AND" if isinstance(predicate, And) else "OR"
        return f"({left} {word} {right})" if left is not None and right is not None else None
    if isinstance(predicate, Isin):
        return _isin(predicate, frame, schema)
    kind = type(predicate)
    if kind not in _SIGNS:
        return None
    if _is_column(predicate.left, frame):
        return _comparison(predicate.left, kind, predicate.right, schema)
    if _is_column(predicate.right, frame):
        return _comparison(predicate.right, _TURNED[kind], predicate.left, schema)
    return None


def _is_column(side: Any, frame: Expr) -> bool:
    return isinstance(side, Projection) and side.ndim == 1 and side.frame._name == frame._name


def _comparison(column: Projection, kind: type[Expr], value: Any, schema: pa.Schema) -> str | None:
    field = schema.field(column.columns[0])
    literal = find_literal(value, field.type)
    if literal is None:
        return None
    name = _quoted(field.name)
    condition = f"{name} {_SIGNS[kind]} {literal}"
    if kind is NE and has_null_as_nan(field.type):
        return f"({condition} OR {name} IS NULL)"
    if kind in (GT, GE) and types.is_floating(field.type):
        return f"({condition} AND NOT isnan({name}))"
    return condition


def _isin(predicate: Isin, frame: Expr, schema: pa.Schema) -> str | None:
    if not _is_column(predicate.frame, frame):
        return None
    field = schema.field(predicate.frame.columns[0])
    values = _listed(predicate.operand("values"))
    if not values or len(values) > _MOST_VALUES:
        return None
    literals = [find_literal(value, field.type) for value in values]
    if any(literal is None for literal in literals):
        return None
    return f"{_quoted(field.name)} IN ({', '.join(str(literal) for literal in literals)})"


def _listed(operand: Any) -> list[Any] | None:
    """The values of an ``isin``, which Dask wraps in a delayed object that holds nothing else."""
    try:
        node = dict(operand.obj.dask)[operand.obj.key]
        values = getattr(node, "value", node)
        return list(values.tolist() if isinstance(values, np.ndarray) else values)
    except (AttributeError, KeyError, TypeError):
        return None


def find_literal(value: Any, kind: pa.DataType) -> str | None:
    """``value`` as an SQL literal that compares with a column of ``kind`` as pandas would; None when unsure."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return str(value).upper() if types.is_boolean(kind) else None
    if types.is_string(kind):
        return _text(value) if isinstance(value, str) and "\x00" not in value else None
    if types.is_timestamp(kind):
        return _timestamp(value) if kind.tz is None else None
    if types.is_date(kind):
        return f"DATE '{value.isoformat()}'" if type(value) is datetime.date else None
    if isinstance(value, int) and abs(value) <= _BIGGEST:
        exact = types.is_integer(kind) or types.is_decimal(kind) or (types.is_float64(kind) and abs(value) <= 2**53)
        return str(value) if exact else None
    if isinstance(value, float) and math.isfinite(value):
        return f"{value!r}::DOUBLE" if types.is_float64(kind) else None
    if isinstance(value, Decimal) and value.is_finite():
        return f"{value:f}" if types.is_decimal(kind) else None
    return None


def _timestamp(value: Any) -> str | None:
    if not isinstance(value, str | datetime.datetime):
        return None
    try:
        found = pd.Timestamp(value)
    except ValueError:
        return None
    if found is pd.NaT or found.tz is not None or found.nanosecond:
        return None
    return f"TIMESTAMP '{found.isoformat(sep=' ')}'"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
