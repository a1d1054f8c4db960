"""One batch out of the bytes a worker handed over, for a front that trusts none of them.

pyarrow verifies the metadata and that every buffer lies within the content. Checked here besides: nothing is compressed
(a small batch could unpack into all memory), the columns are those announced, and no offset points beyond its buffer
(Flight would send what lies there). Source: Arrow columnar format, "Serialization and IPC"; Message.fbs, Schema.fbs.
"""

from __future__ import annotations

import struct

import pyarrow as pa

_HEADER, _COMPRESSION = 2, 3
"""Positions of Message.header and RecordBatch.compression in their tables."""


class BatchRefusedError(ValueError):
    """The content is not one plain batch with the announced columns."""


def read_batch(content: pa.Buffer, schema: pa.Schema) -> pa.RecordBatch:
    """The batch, lying in ``content`` without a copy. Raises BatchRefusedError."""
    try:
        source = pa.BufferReader(content)
        pa.ipc.read_message(source)  # its own schema; the announced one counts
        message = pa.ipc.read_message(source)
        if message.type != "record batch" or is_compressed(message.metadata):
            raise BatchRefusedError("expected a record batch that is not compressed, found something else")
        batch = pa.ipc.read_record_batch(message, schema)
        batch.validate()
    except (pa.ArrowException, OSError, EOFError, StopIteration, struct.error) as error:
        raise BatchRefusedError(f"expected an Arrow batch, found {type(error).__name__}") from error
    return batch


def read_schema(content: pa.Buffer) -> pa.Schema:
    """The schema that ``content`` is. Raises BatchRefusedError."""
    try:
        message = pa.ipc.read_message(pa.BufferReader(content))
        if message.type != "schema":
            raise BatchRefusedError("expected a schema, found something else")
        return pa.ipc.read_schema(message)
    except (pa.ArrowException, OSError, EOFError) as error:
        raise BatchRefusedError(f"expected an Arrow schema, found {type(error).__name__}") from error


def is_compressed(metadata: pa.Buffer) -> bool:
    """Whether a record batch message names a compression of its body. Flatbuffers: a table's fields by its vtable."""
    content = metadata.to_pybytes()
    message: int = struct.unpack_from("<I", content)[0]
    header = _field(content, message, _HEADER)
    if header is None:
        return False
    batch = header + struct.unpack_from("<I", content, header)[0]
    return _field(content, batch, _COMPRESSION) is not None


def _field(content: bytes, table: int, position: int) -> int | None:
    vtable = table - struct.unpack_from("<i", content, table)[0]
    size = struct.unpack_from("<H", content, vtable)[0]
    entry = 4 + 2 * position
    offset = struct.unpack_from("<H", content, vtable + entry)[0] if entry + 2 <= size else 0
    return table + offset if offset else None
