"""A whole query in one ticket: how ``enclave_client`` saves the round trip of GetFlightInfo.

Layout: ``enclave.query/1`` and a line feed, 16 random bytes by which the client can have it stopped, four bytes
big-endian length, the statement in UTF-8, then nothing or an Arrow IPC stream with one row of parameters. It is
admitted, examined and recorded exactly like any other statement; the difference is only that no handle was given out
for it before. Raises WireError for anything else.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from enclave.gateway.batch_content import is_compressed
from enclave.gateway.parameters import MAXIMUM_BYTES, one_row
from enclave.gateway.protobuf_wire import WireError, check_size

PREFIX = b"enclave.query/1\n"
ID_BYTES = 16
_LENGTH = struct.Struct("!I")


@dataclass(frozen=True)
class DirectQuery:
    """A statement with its parameters, to run at once."""

    id: bytes
    query: str
    parameters: pa.RecordBatch | None = None


def is_direct(ticket: bytes) -> bool:
    """True for a ticket of this kind."""
    return ticket.startswith(PREFIX)


def parse_direct(ticket: bytes) -> DirectQuery:
    """Raises WireError, StatementRefusedError."""
    check_size(len(ticket))
    id_end = len(PREFIX) + ID_BYTES
    start = id_end + _LENGTH.size
    if len(ticket) < start:
        raise WireError("expected a statement in the ticket, found the end")
    end = start + _LENGTH.unpack_from(ticket, id_end)[0]
    if len(ticket) < end or len(ticket) - end > MAXIMUM_BYTES + (64 << 10):
        raise WireError("expected a statement and one row of parameters, found another length")
    try:
        query = ticket[start:end].decode()
        parameters = _one_row(ticket[end:]) if len(ticket) > end else None
    except (UnicodeDecodeError, pa.ArrowException, OSError, struct.error) as error:
        raise WireError("expected a statement in UTF-8 and parameters as Arrow, found something else") from error
    return DirectQuery(ticket[len(PREFIX) : id_end], query, parameters)


class _Chunk(NamedTuple):
    data: pa.RecordBatch


def _one_row(content: bytes) -> pa.RecordBatch:
    _check_plain(content)
    with pa.ipc.open_stream(content) as reader:
        return one_row(map(_Chunk, reader))


def _check_plain(content: bytes) -> None:
    """Nothing compressed is unpacked: a few kilobytes could fill all memory."""
    for message in pa.ipc.MessageReader.open_stream(content):
        if message.type == "schema" or (message.type == "record batch" and not is_compressed(message.metadata)):
            continue
        raise WireError("expected parameters as plain Arrow, found dictionaries or compression")
