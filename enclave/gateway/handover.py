"""Batches from the worker to the front through shared memory that is used again, batch after batch.

The worker has a few slots: memory files that cannot shrink, whose descriptors go over their socket once. It writes a
batch, as an Arrow IPC stream of its own, into a free slot and says so; the front copies it out and answers one byte,
the slot's number, so that the slot is free again. Small batches travel inside the frame, together with the schema and
the end, so that a small answer is one write.

Fresh pages cost more than the copy: a new memory file per batch took 0.47 s per GB to write and 0.15 to map, where
writing into a slot takes 0.1 and the copy 0.1. And the copy is what makes the front safe: it checks, hashes and sends
bytes that the worker cannot reach any more. The front maps nothing, so that no memory file can fault it, and trusts no
length. A reader that stalls stalls the worker: there are ``SLOTS`` batches on their way at most.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from enclave.gateway.frames import (
    BATCH,
    DONE,
    LENT,
    READ,
    SCHEMA,
    SHARED,
    BrokenFrameError,
    FrameReader,
    packed,
    send_frame,
)

INLINE_BYTES = 64 << 10
SLOTS = 3
SLOT_BYTES = 9 << 20
"""A batch is cut at 8 MiB; one row may have 15 MiB, then its slot is replaced by a larger one."""
MAXIMUM_BATCH = 32 << 20
_PLACE = struct.Struct("!BQ")
"""Number of the slot, length of the batch in it."""
_ADD_SEALS, _GET_SEALS = 1033, 1034
_SEAL, _SHRINK, _GROW = 0x1, 0x2, 0x4
_SEALS = _SEAL | _SHRINK | _GROW
"""fcntl(2): what the worker promises once and for all, so that the length looked at stays true."""


@dataclass
class _Slot:
    """Worker side. ``is_announced``: the front holds the descriptor."""

    descriptor: int
    memory: mmap.mmap
    is_announced: bool = False

    @classmethod
    def of(cls, size: int) -> _Slot:
        descriptor = os.memfd_create("batches", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, _ADD_SEALS, _SEALS)
        return cls(descriptor, mmap.mmap(descriptor, size))

    def close(self) -> None:
        with contextlib.suppress(BufferError):  # a failed write's traceback still holds it; it goes with that
            self.memory.close()
        os.close(self.descriptor)


class BatchSender:
    """Worker side: the answer to one query, in order: schema, batches, end. Small frames wait for the next flush.

    ``sending`` is entered around each wait for the reader. ``reading``: JSON of what the query has read so far; it goes
    before the first rows that leave before the end, and with the end. Raises OSError when the reader is gone. ``close``
    it.
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
        encoded = schema.serialize()
        self._around = encoded.size + 1024  # schema and end of stream around a batch
        self._held = bytearray(packed(SCHEMA, memoryview(encoded)))
        self._slots: dict[int, _Slot] = {}
        self._free = list(range(SLOTS))

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
        self._flush()
        number = self._take()
        slot = self._slot(number, size + self._around)
        sink = pa.FixedSizeBufferWriter(pa.py_buffer(slot.memory))
        _write(sink, batch)
        place = _PLACE.pack(number, sink.tell())
        sink.close()
        with self._sending():
            if slot.is_announced:
                send_frame(self._peer, SHARED, place)
            else:
                send_frame(self._peer, LENT, place, slot.descriptor)
        slot.is_announced = True

    def end(self) -> None:
        """Say that this was all."""
        self._held += packed(DONE, self._reading() if self._reading is not None else b"null")
        self._flush()

    def close(self) -> None:
        """Let go of the memory."""
        for slot in self._slots.values():
            slot.close()
        self._slots.clear()

    def _take(self) -> int:
        """A free slot's number; waits for the reader when none is."""
        if not self._free:
            with self._sending():
                freed = self._peer.recv(SLOTS)
            if not freed:
                raise BrokenPipeError("expected the reader to free a slot, found it gone")
            self._free += freed
        return self._free.pop()

    def _slot(self, number: int, size: int) -> _Slot:
        found = self._slots.get(number)
        if found is not None and len(found.memory) >= size:
            return found
        if found is not None:
            found.close()
        self._slots[number] = _Slot.of(max(size, SLOT_BYTES))
        return self._slots[number]

    def _flush(self) -> None:
        if self._held:
            with self._sending():
                self._peer.sendall(self._held)
            self._held.clear()


def _write(sink: object, batch: pa.RecordBatch) -> None:
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)


class BatchReceiver:
    """Front side of one stream. ``close`` it; that ends the connection as well."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._frames = FrameReader(peer, SLOTS)
        self._slots: dict[int, int] = {}

    @property
    def was_reset(self) -> bool:
        """The worker ended and had not read all that was sent to it."""
        return self._frames.was_reset

    def receive(self, while_waiting: Callable[[], None] | None = None) -> tuple[bytes, pa.Buffer] | None:
        """The next frame with its content, or None at a clean end; a shared batch comes as BATCH.

        Raises BrokenFrameError.
        """
        frame = self._frames.receive(while_waiting)
        if frame is None:
            return None
        kind, content = frame
        if kind not in (SHARED, LENT):
            return kind, pa.py_buffer(content)
        if len(content) != _PLACE.size:
            raise BrokenFrameError("expected the place of a shared batch, found another frame")
        number, size = _PLACE.unpack(content)
        if kind == LENT:
            descriptor = self._frames.take_descriptor()
            if descriptor is None:
                raise BrokenFrameError("expected a descriptor with a shared batch, found none")
            self._keep(number, descriptor)
        return BATCH, self._copy(number, size)

    def is_all_here(self) -> bool:
        """The rest of the answer, to its end, has arrived already and came without shared memory: a small one."""
        return next((kind for kind in self._frames.kinds_at_hand() if kind not in (BATCH, READ)), None) == DONE

    def close(self) -> None:
        """Hang up and let go of the slots. Harmless when called again."""
        self._peer.close()
        self._frames.close()
        while self._slots:
            os.close(self._slots.popitem()[1])

    def _keep(self, number: int, descriptor: int) -> None:
        replaced = self._slots.pop(number, None)
        if replaced is not None:
            os.close(replaced)
        self._slots[number] = descriptor
        seals = -1
        with contextlib.suppress(OSError):  # only memory files have seals
            seals = fcntl.fcntl(descriptor, _GET_SEALS)
        if number >= SLOTS or seals < 0 or seals & _SEALS != _SEALS:
            raise BrokenFrameError("expected a memory file that cannot shrink, found another descriptor")

    def _copy(self, number: int, size: int) -> pa.Buffer:
        descriptor = self._slots.get(number)
        if descriptor is None:
            raise BrokenFrameError("expected a descriptor with a shared batch, found none")
        if not 0 < size <= min(MAXIMUM_BATCH, os.fstat(descriptor).st_size):
            raise BrokenFrameError(f"expected a batch of at most {MAXIMUM_BATCH} bytes that lies in its memory file")
        content = pa.allocate_buffer(size)
        with memoryview(content) as target:
            copied = 0
            while copied < size:
                count = os.preadv(descriptor, [target[copied:]], copied)
                if count <= 0:
                    raise BrokenFrameError("expected a whole batch in its memory file, found less")
                copied += count
        with contextlib.suppress(OSError):  # the worker may have ended after its last batch
            self._peer.send(bytes([number]))
        return content
