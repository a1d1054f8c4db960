"""A batch from the worker to the front without copying: a sealed memory file whose descriptor goes over their socket.

The worker writes each batch once, as an Arrow IPC stream of its own, into a memfd and seals it; the front maps it
read-only, and Flight sends straight from the mapping. Small batches travel inside the frame, together with the schema
and the end, so that a small answer is one write.

The front trusts nothing of it. The seals (no writing, shrinking or growing any more) are checked first, so what was
validated and hashed is what is sent; a descriptor of another kind, a wrong length or one over ``MAXIMUM_BATCH`` ends
the stream. Each frame is padded so that the socket holds only a few of them: a reader that stalls stalls the worker.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import socket
import struct
from collections.abc import Callable

import pyarrow as pa

from enclave.gateway.frames import (
    BATCH,
    DONE,
    READ,
    SCHEMA,
    SHARED,
    BrokenFrameError,
    packed,
    receive_exactly,
    receive_frame_from,
    send_frame,
)

INLINE_BYTES = 64 << 10
MAXIMUM_BATCH = 32 << 20
"""Bytes. A batch is cut at 8 MiB, one row may have 15 MiB."""
_LENGTH = struct.Struct("!Q")
_PADDING = bytes(56 << 10)
"""A unix socket's buffer holds about 200 KiB: three such frames, so three batches, wait in it at most."""
_ADD_SEALS, _GET_SEALS = 1033, 1034
_SEALS = 0x1 | 0x2 | 0x4 | 0x8  # seal, shrink, grow, write: fcntl(2)


class BatchSender:
    """Worker side: the answer to one query, in order: schema, batches, end. Small frames wait for the next flush.

    ``sending`` is entered around each write to the reader. ``reading``: JSON of what the query has read so far; it goes
    before the first rows that leave before the end, and with the end. Raises OSError when the reader is gone.
    """

    def __init__(
        self,
        peer: socket.socket,
        schema: pa.Schema,
        sending: Callable[[], contextlib.AbstractContextManager[None]],
        reading: Callable[[], bytes] | None = None,
    ) -> None:
        self._peer, self._sending, self._reading = peer, sending, reading
        self._has_told = False
        self._held = bytearray(packed(SCHEMA, memoryview(schema.serialize())))

    def send(self, batch: pa.RecordBatch) -> None:
        """Blocks while the other side reads slowly."""
        size = pa.ipc.get_record_batch_size(batch)
        if self._reading is not None and not self._has_told and size + len(self._held) > INLINE_BYTES:
            self._held += packed(READ, self._reading())
            self._has_told = True
        if size <= INLINE_BYTES:
            sink = pa.BufferOutputStream()
            _write(sink, batch)
            self._held += packed(BATCH, memoryview(sink.getvalue()))
            if len(self._held) > INLINE_BYTES:
                self._flush()
            return
        descriptor = _sealed(batch)
        try:
            self._flush()
            with self._sending():
                content = _LENGTH.pack(os.fstat(descriptor).st_size) + _PADDING
                send_frame(self._peer, SHARED, content, descriptor)
        finally:
            os.close(descriptor)

    def end(self) -> None:
        """Say that this was all."""
        self._held += packed(DONE, self._reading() if self._reading is not None else b"null")
        self._flush()

    def _flush(self) -> None:
        if self._held:
            with self._sending():
                self._peer.sendall(self._held)
            self._held.clear()


def _sealed(batch: pa.RecordBatch) -> int:
    descriptor = os.memfd_create("batch", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(descriptor, "wb", buffering=0, closefd=False) as file:
            _write(file, batch)
        fcntl.fcntl(descriptor, _ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _write(sink: object, batch: pa.RecordBatch) -> None:
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)


def receive_handed(
    peer: socket.socket, while_waiting: Callable[[], None] | None = None
) -> tuple[bytes, pa.Buffer] | None:
    """Front side: the next frame with its content, or None at a clean end; a shared batch comes as BATCH.

    Raises BrokenFrameError.
    """
    frame = receive_frame_from(peer, while_waiting)
    if frame is None:
        return None
    kind, length, descriptor = frame
    try:
        content = receive_exactly(peer, length, while_waiting)
        if kind != SHARED:
            return kind, pa.py_buffer(content)
        if descriptor is None or length < _LENGTH.size:
            raise BrokenFrameError("expected a descriptor with a shared batch, found none")
        return BATCH, _mapped(descriptor, _LENGTH.unpack_from(content)[0])
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _mapped(descriptor: int, length: int) -> pa.Buffer:
    seals = -1
    with contextlib.suppress(OSError):  # only memory files have seals
        seals = fcntl.fcntl(descriptor, _GET_SEALS)
    if seals < 0 or seals & _SEALS != _SEALS:
        raise BrokenFrameError("expected a sealed memory file, found another descriptor")
    if not 0 < length <= MAXIMUM_BATCH or os.fstat(descriptor).st_size != length:
        raise BrokenFrameError(f"expected a batch of at most {MAXIMUM_BATCH} bytes and of the length announced")
    # private: older kernels refuse a shared mapping of a sealed file; nothing is ever copied without a write
    flags = mmap.MAP_PRIVATE | mmap.MAP_POPULATE
    return pa.py_buffer(mmap.mmap(descriptor, length, flags=flags, prot=mmap.PROT_READ))
