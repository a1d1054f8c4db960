"""Parameters come from a client that may be hostile, and the front looks at them: nothing is read outside of them."""

from __future__ import annotations

import itertools
import struct
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from enclave.gateway.direct_query import ID_BYTES, PREFIX, parse_direct
from enclave.gateway.gate import StatementRefusedError
from enclave.gateway.parameters import one_row
from enclave.gateway.protobuf_wire import WireError

LISTS = pa.record_batch({"1": pa.array([["abcdefg", "hijklmn", "opqrstu"]])})


def stream(batch: pa.RecordBatch, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def far_offset() -> bytes:
    """A list of three texts, of which one lies half a gigabyte away: reading it ended the front (SIGSEGV)."""
    content = bytearray(stream(LISTS))
    offsets = content.rindex(struct.pack("<iiii", 0, 7, 14, 21))
    content[offsets + 4 : offsets + 8] = struct.pack("<i", 1 << 29)
    return bytes(content)


def ticket(parameters: bytes) -> bytes:
    text = b"SELECT ?"
    return PREFIX + bytes(ID_BYTES) + struct.pack("!I", len(text)) + text + parameters


def chunks(content: bytes) -> Any:
    return (SimpleNamespace(data=batch) for batch in pa.ipc.open_stream(content))


@pytest.mark.parametrize("way", ["bound", "in the ticket"])
def test_an_offset_beyond_its_buffer_is_refused_before_anything_is_read_there(way: str) -> None:
    with pytest.raises(StatementRefusedError, match="offsets or values outside"):
        if way == "bound":
            one_row(chunks(far_offset()))
        else:
            parse_direct(ticket(far_offset()))


def test_honest_lists_arrive() -> None:
    assert one_row(chunks(stream(LISTS))) == LISTS
    assert parse_direct(ticket(stream(LISTS))).parameters == LISTS


@pytest.mark.parametrize("chunk", [SimpleNamespace(data=LISTS.slice(0, 0)), SimpleNamespace(data=None)])
def test_who_sends_empty_batches_for_ever_is_refused(chunk: Any) -> None:
    with pytest.raises(StatementRefusedError, match="found more"):
        one_row(itertools.chain([SimpleNamespace(data=LISTS)], itertools.repeat(chunk)))


@pytest.mark.parametrize("rows", [0, 2])
def test_another_number_of_rows_is_refused(rows: int) -> None:
    with pytest.raises(StatementRefusedError, match="Expected one row"):
        one_row([SimpleNamespace(data=LISTS.slice(0, 0)), *[SimpleNamespace(data=LISTS)] * rows])


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_parameters_are_refused_before_they_are_unpacked(compression: str) -> None:
    """A few kilobytes of a ticket could be any amount of the front's memory."""
    zeros = pa.ListArray.from_arrays(pa.array([0, 2_000_000], pa.int32()), pa.nulls(2_000_000, pa.int64()).fill_null(0))
    content = stream(pa.record_batch({"1": zeros}), compression=compression)
    assert len(content) < 1 << 20
    before = pa.total_allocated_bytes()
    with pytest.raises(WireError, match="compression"):
        parse_direct(ticket(content))
    assert pa.total_allocated_bytes() - before < 1 << 20


def test_dictionaries_in_a_ticket_are_refused() -> None:
    """Their content may be compressed, too; our own client sends none."""
    with pytest.raises(WireError, match="dictionaries"):
        parse_direct(ticket(stream(pa.record_batch({"1": pa.array(["a"]).dictionary_encode()}))))
