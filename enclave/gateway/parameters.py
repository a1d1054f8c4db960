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


def one_row(reader: Any) -> pa.RecordBatch:
    """The one row of parameters a query takes, without dictionaries and with times to the microsecond.

    Raises StatementRefusedError.
    """
    rows: list[pa.RecordBatch] = []
    for chunk in reader:
        rows.append(chunk.data)
        if sum(batch.num_rows for batch in rows) > 1:
            raise StatementRefusedError(
                "parameters", "Expected one row of parameters, found more. Run them one by one."
            )
    filled = [batch for batch in rows if batch.num_rows == 1]
    if not filled:
        raise StatementRefusedError(
            "parameters", "Expected one row of parameters, found none. Bind a value for each ?."
        )
    if filled[0].nbytes > MAXIMUM_BYTES:
        raise StatementRefusedError("parameters", "Expected at most 1 MiB of parameters, found more. Bind less.")
    return _in_microseconds(plain_batch(filled[0], plain_schema(filled[0].schema)))


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
