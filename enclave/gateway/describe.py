"""Worker side: which columns a statement would give and which parameters it takes, without running it for rows; and
the values a client bound to them.

Binding executes constant expressions, so this happens in the sandbox, after an intent with the purpose "schema".
The parameters' types travel to the front in the schema's metadata under ``PARAMETERS_KEY``.
"""

from __future__ import annotations

import base64
from typing import Any

import duckdb
import pyarrow as pa

from enclave.gateway.plain_arrow import plain_schema

PARAMETERS_KEY = b"enclave.parameters"
"""Metadata key: the Arrow schema of the parameters, serialised."""
_UNKNOWN = {"UNKNOWN", '"NULL"', "NULL", "ANY"}


def describe(cursor: duckdb.DuckDBPyConnection, sql: str) -> pa.Schema:
    """Plain Arrow schema of the result, with that of the parameters in its metadata. Raises duckdb.Error.

    A parameter whose type DuckDB cannot tell is text; so is a column that is nothing but such a parameter.
    """
    may_take = "?" in sql or "$" in sql
    parameters = [(name, str(kind)) for name, kind in cursor._bind(sql)[2]] if may_take else []
    schema = plain_schema(_limited(cursor, sql, [name for name, _ in parameters]))
    if not parameters:
        return schema
    fields = [pa.field(f.name, pa.string()) if pa.types.is_null(f.type) else f for f in schema]
    taken = pa.schema([pa.field(name, _arrow_type(cursor, kind)) for name, kind in parameters])
    return pa.schema(fields, metadata={PARAMETERS_KEY: taken.serialize().to_pybytes()})


def _limited(cursor: duckdb.DuckDBPyConnection, sql: str, names: list[str]) -> pa.Schema:
    """Schema with NULL for every parameter."""
    nulls: Any = [None] * len(names) if all(name.isdigit() for name in names) else dict.fromkeys(names)
    relation = cursor.sql(sql, params=nulls) if names else cursor.sql(sql)
    if relation is None:
        raise duckdb.NotImplementedException("This statement gives no rows.")
    return relation.limit(0).to_arrow_reader(1).schema


def _arrow_type(cursor: duckdb.DuckDBPyConnection, kind: str) -> pa.DataType:
    if kind in _UNKNOWN:
        return pa.string()
    schema = cursor.sql(f"SELECT CAST(NULL AS {kind}) AS value").limit(0).to_arrow_reader(1).schema
    return _in_milliseconds(plain_schema(schema).field(0).type)


def _in_milliseconds(kind: pa.DataType) -> pa.DataType:
    """Times as the JDBC driver fills them: it writes milliseconds whatever unit it is told. Others send their own."""
    if pa.types.is_timestamp(kind):
        return pa.timestamp("ms", kind.tz)
    return pa.time32("ms") if pa.types.is_time64(kind) else kind


def read_parameters(
    cursor: duckdb.DuckDBPyConnection, sql: str, encoded: str | None
) -> list[Any] | dict[str, Any] | None:
    """Bound values from a base64 Arrow IPC stream of one row; None when there are none.

    ``?`` and ``$1`` are bound in order; ``$name`` by column name, or in alphabetical order where the client sent none.
    """
    if not encoded:
        return None
    table = pa.ipc.open_stream(base64.b64decode(encoded)).read_all()
    values = [column[0].as_py() for column in table.columns]
    names = {name for statement in cursor.extract_statements(sql) for name in statement.named_parameters}
    if all(name.isdigit() for name in names):
        return values
    sent = {str(name).lstrip("$"): value for name, value in zip(table.column_names, values, strict=True)}
    return sent if set(sent) == names else dict(zip(sorted(names), values, strict=False))
