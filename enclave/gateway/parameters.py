"""Values bound to a statement's parameters, as the client sent them: one row of Arrow, checked here, turned into
DuckDB's values in the worker. Every common type arrives: numbers, decimals, text, bytes, dates, times, time stamps with
and without zone, durations, lists, structs, nulls.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from enclave.gateway.gate import StatementRefusedError
from enclave.gateway.plain_arrow import plain_batch, plain_schema

MAXIMUM_BYTES = 1 << 20
_SHOWN = 1000
_MOST_CHUNKS = 100
"""Empty ones included: a client could go on sending those for ever."""


def one_row(reader: Any) -> pa.RecordBatch:
    """The one row of parameters a query takes, without dictionaries and with times to the microsecond.

    Raises StatementRefusedError.
    """
    row = None
    for number, chunk in enumerate(reader):
        found = chunk.data.num_rows if chunk.data is not None else 0
        if found > 1 or (found and row is not None) or number >= _MOST_CHUNKS:
            raise StatementRefusedError(
                "parameters", "Expected one row of parameters, found more. Run them one by one."
            )
        row = chunk.data if found else row
    if row is None:
        raise StatementRefusedError(
            "parameters", "Expected one row of parameters, found none. Bind a value for each ?."
        )
    _check(row)
    return _in_microseconds(plain_batch(row, plain_schema(row.schema)))


def _check(row: pa.RecordBatch) -> None:
    """Nothing of it may be looked at before: an offset beyond its buffer would be read out of our own memory."""
    try:
        row.validate(full=True)
    except pa.ArrowException as error:
        raise StatementRefusedError(
            "parameters",
            "Expected parameters as Arrow lays them out, found offsets or values outside. Bind them again.",
        ) from error
    if row.nbytes > MAXIMUM_BYTES:
        raise StatementRefusedError("parameters", "Expected at most 1 MiB of parameters, found more. Bind less.")


def _in_microseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    try:
        columns = [_cast(column, _microseconds(column.type)) for column in batch.columns]
    except pa.ArrowInvalid as error:
        raise StatementRefusedError(
            "parameters", "A time in the parameters is finer than a microsecond. Round it, or bind it as text."
        ) from error
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return column if column.type == kind else column.cast(kind)


def _microseconds(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_time64(kind):
        return pa.time64("us")
    if pa.types.is_duration(kind):
        return pa.duration("us")
    return kind


def shown_parameters(batch: pa.RecordBatch | None) -> list[str] | None:
    """As the record has them: each as text, cut."""
    if batch is None:
        return None
    return [str(column[0].as_py())[:_SHOWN] for column in batch.columns]


def encoded_parameters(batch: pa.RecordBatch | None) -> bytes | None:
    """As the worker gets them: an Arrow IPC stream."""
    if batch is None:
        return None
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())
