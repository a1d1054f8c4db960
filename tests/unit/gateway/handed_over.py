"""What a worker hands to the front, made by hand: an Arrow stream, a sealed memory file, the frame that lends it."""

from __future__ import annotations

import fcntl
import os
import socket
import struct

import pyarrow as pa

from enclave.gateway.frames import LENT, send_frame

SEALS = 0x7
PLACE = struct.Struct("!BQ")


def large() -> pa.RecordBatch:
    return pa.record_batch({"number": pa.array(range(50_000), pa.int64()), "text": pa.array(["a", None] * 25_000)})


def ipc(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def memory_file(content: bytes, seals: int = SEALS) -> int:
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.write(descriptor, content)
    if seals:
        fcntl.fcntl(descriptor, 1033, seals)
    return descriptor


def hand_over(peer: socket.socket, descriptor: int, length: int, slot: int = 0) -> None:
    send_frame(peer, LENT, PLACE.pack(slot, length), descriptor)
    os.close(descriptor)
