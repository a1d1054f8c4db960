"""Batches handed over in shared memory, and what a hostile worker could send instead."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.gateway.batch_content import BatchRefusedError, read_batch
from enclave.gateway.frames import (
    BATCH,
    DONE,
    LENT,
    READ,
    SCHEMA,
    SHARED,
    BrokenFrameError,
    packed,
    receive_frame,
    send_frame,
)
from enclave.gateway.handover import INLINE_BYTES, MAXIMUM_BATCH, SLOT_BYTES, SLOTS, BatchReceiver, BatchSender
from enclave.gateway.worker_stream import QueryFailedError, WorkerRequest, WorkerStream

_SEALS = 0x7
_PLACE = struct.Struct("!BQ")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def _open_memory_files() -> int:
    """And files handed over in their place; what else this process has open is other threads' as well."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            found += str(link.readlink()).startswith(("/memfd:", "/etc/passwd"))
    return found


def _large() -> pa.RecordBatch:
    return pa.record_batch({"number": pa.array(range(50_000), pa.int64()), "text": pa.array(["a", None] * 25_000)})


def _ipc(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def _memory_file(content: bytes, seals: int = _SEALS) -> int:
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.write(descriptor, content)
    if seals:
        fcntl.fcntl(descriptor, 1033, seals)
    return descriptor


def _hand_over(peer: socket.socket, descriptor: int, length: int, slot: int = 0) -> None:
    send_frame(peer, LENT, _PLACE.pack(slot, length), descriptor)
    os.close(descriptor)


def _received(send: Callable[[BatchSender], None], schema: pa.Schema) -> list[pa.RecordBatch]:
    """What arrives of what ``send`` sends on a thread of its own."""
    theirs, worker = socket.socketpair()

    def work() -> None:
        with worker, contextlib.closing(BatchSender(worker, schema, contextlib.nullcontext)) as sender:
            send(sender)
            sender.end()

    thread = threading.Thread(target=work)
    thread.start()
    found = []
    with contextlib.closing(BatchReceiver(theirs)) as receiver:
        while (frame := receiver.receive()) is not None and frame[0] != DONE:
            if frame[0] == BATCH:
                found.append(pa.ipc.open_stream(frame[1]).read_next_batch())
    thread.join(10)
    return found


def test_large_batches_arrive_whole_and_leave_no_descriptor() -> None:
    batch, before = _large(), _open_memory_files()
    small = batch.slice(0, 10)

    def send(sender: BatchSender) -> None:
        for number in range(4 * SLOTS):
            sender.send(batch.slice(number))
            sender.send(small)

    found = _received(send, batch.schema)
    expected = [piece for number in range(4 * SLOTS) for piece in (batch.slice(number), small)]
    assert found == expected, "a slot used again changes nothing that was received before"
    assert _open_memory_files() == before


def test_a_row_larger_than_a_slot_gets_a_larger_one() -> None:
    before = _open_memory_files()
    rows = [pa.record_batch({"text": ["x" * size]}) for size in (70_000, SLOT_BYTES + 5, 80_000, SLOT_BYTES + 9) * 3]
    found = _received(lambda sender: [sender.send(row) for row in rows] and None, rows[0].schema)
    assert found == rows
    assert _open_memory_files() == before


def test_a_small_answer_is_one_write(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    batch = pa.record_batch({"one": [1]})
    sender = BatchSender(theirs, batch.schema, contextlib.nullcontext)
    sender.send(batch)
    ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        ours.recv(1)
    sender.end()
    ours.setblocking(True)
    receiver = BatchReceiver(ours)
    kinds = [frame[0] for _ in range(3) if (frame := receiver.receive()) is not None]
    assert kinds == [SCHEMA, BATCH, DONE]


def test_a_reader_that_stalls_holds_only_a_few_batches(pair: tuple[socket.socket, socket.socket]) -> None:
    _, theirs = pair
    theirs.settimeout(0.5)
    sent = 0
    sender = BatchSender(theirs, _large().schema, contextlib.nullcontext)
    with pytest.raises(TimeoutError):
        for _ in range(50):
            sender.send(_large())
            sent += 1
    assert sent == SLOTS
    sender.close()


@pytest.mark.parametrize(
    ("case", "seals", "length", "slot"),
    [
        ("not sealed", 0, None, 0),
        ("may still shrink", 0x1 | 0x4, None, 0),
        ("may lose its seals", 0x2 | 0x4, None, 0),
        ("announces more than it has", _SEALS, 1 << 21, 0),
        ("announces nothing", _SEALS, 0, 0),
        ("announces too much", _SEALS, MAXIMUM_BATCH + 1, 0),
        ("a slot too many", _SEALS, None, SLOTS),
    ],
)
def test_a_memory_file_that_is_not_as_promised_is_refused(
    pair: tuple[socket.socket, socket.socket], case: str, seals: int, length: int | None, slot: int
) -> None:
    ours, theirs = pair
    before = _open_memory_files()
    content = _ipc(_large())
    _hand_over(theirs, _memory_file(content, seals), len(content) if length is None else length, slot)
    receiver = BatchReceiver(ours)
    with pytest.raises(BrokenFrameError):
        receiver.receive()
    receiver.close()
    assert ours.fileno() == -1
    assert _open_memory_files() == before, case


def test_another_file_a_missing_descriptor_and_surplus_ones_are_refused(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    receiver, before = BatchReceiver(ours), _open_memory_files()
    descriptor = os.open("/etc/passwd", os.O_RDONLY)
    _hand_over(theirs, descriptor, os.fstat(descriptor).st_size)
    with pytest.raises(BrokenFrameError):
        receiver.receive()
    send_frame(theirs, SHARED, _PLACE.pack(1, 100))
    with pytest.raises(BrokenFrameError):
        receiver.receive()
    send_frame(theirs, LENT, _PLACE.pack(1, 100))
    with pytest.raises(BrokenFrameError):
        receiver.receive()
    send_frame(theirs, SHARED, _PLACE.pack(1, 100) + b"more")
    with pytest.raises(BrokenFrameError):
        receiver.receive()
    many = [_memory_file(b"x") for _ in range(5)]
    socket.send_fds(theirs, [struct.pack("!cI", DONE, 2)], many)
    theirs.sendall(b"{}")
    for surplus in many:
        os.close(surplus)
    frame = receiver.receive()
    assert frame is not None and frame[0] == DONE
    receiver.close()
    assert ours.fileno() == -1
    assert _open_memory_files() == before


def test_descriptors_nobody_asked_for_do_not_pile_up(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    receiver, before = BatchReceiver(ours), _open_memory_files()
    for _ in range(SLOTS + 1):
        descriptor = _memory_file(b"x")
        send_frame(theirs, DONE, b"{}", descriptor)
        os.close(descriptor)
    with pytest.raises(BrokenFrameError, match="at most 3 descriptors"):
        for _ in range(SLOTS + 1):
            receiver.receive()
    receiver.close()
    assert ours.fileno() == -1
    assert _open_memory_files() == before


def test_frames_that_arrive_together_and_in_pieces_are_the_same(pair: tuple[socket.socket, socket.socket]) -> None:
    """Descriptors stay with the frames they were sent with."""
    ours, theirs = pair
    contents = [_ipc(_large().slice(number)) for number in range(SLOTS)]
    for byte in packed(SCHEMA, b"schema"):
        theirs.sendall(bytes([byte]))
    for slot, content in enumerate(contents):
        _hand_over(theirs, _memory_file(content), len(content), slot)
        send_frame(theirs, READ, b"")
        send_frame(theirs, SHARED, _PLACE.pack(0, len(contents[0])))
    send_frame(theirs, DONE, b"null")
    theirs.close()
    receiver = BatchReceiver(ours)
    frames = []
    while (frame := receiver.receive()) is not None:
        frames.append((frame[0], frame[1].to_pybytes()))
    receiver.close()
    shared = [
        (kind, sent) for content in contents for kind, sent in ((BATCH, content), (READ, b""), (BATCH, contents[0]))
    ]
    assert frames == [(SCHEMA, b"schema"), *shared, (DONE, b"null")]


def test_what_was_received_does_not_change_when_the_worker_writes_on(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """What was checked and hashed is what is sent."""
    ours, theirs = pair
    content = _ipc(_large())
    descriptor = _memory_file(content)
    kept = os.dup(descriptor)
    _hand_over(theirs, descriptor, len(content))
    receiver = BatchReceiver(ours)
    frame = receiver.receive()
    os.pwrite(kept, b"\xff" * len(content), 0)
    os.close(kept)
    assert frame is not None and frame[1].to_pybytes() == content
    receiver.close()


class DeadWorker:
    """A worker process that has ended."""

    memory_sentence = ""

    def wait_for_end(self, seconds: float) -> int | None:
        return 0

    def kill(self) -> None:
        return


class CountedWorker(DeadWorker):
    """Knows that it was killed."""

    def __init__(self) -> None:
        self.is_killed = threading.Event()

    def kill(self) -> None:
        self.is_killed.set()


@pytest.mark.parametrize("obeys", [True, False])
def test_an_abandoned_worker_is_read_on_whatever_was_half_read(monkeypatch: pytest.MonkeyPatch, obeys: bool) -> None:
    """Part of a frame lies in the reader; what follows would be nonsense as a frame, and ends nothing early."""
    monkeypatch.setattr("enclave.gateway.worker_stream.GRACE_SECONDS", 3600.0 if obeys else 0.2)
    ours, theirs = socket.socketpair()
    batch, worker = pa.record_batch({"one": [1]}), CountedWorker()
    with theirs:
        stream = WorkerStream(ours, WorkerRequest("select 1", 5), lambda: False, worker)
        receive_frame(theirs)
        frames = packed(SCHEMA, memoryview(batch.schema.serialize())) + packed(BATCH, _ipc(batch))
        theirs.sendall(frames + packed(BATCH, b"0123456789")[:-7])
        stream.read_schema()
        assert next(stream.batches())[0] == batch
        stream.abandon()
        theirs.sendall(b"3456789" + b"\xff" * 200_000)
        if not obeys:
            assert worker.is_killed.wait(60)
            return
    ends_at = time.monotonic() + 60
    while ours.fileno() != -1:
        assert time.monotonic() < ends_at, "the front has not hung up"
        time.sleep(0.01)
    assert not worker.is_killed.is_set()


def test_bytes_that_are_no_arrow_end_only_that_stream() -> None:
    schema = _large().schema
    broken = (b"\xff" * (INLINE_BYTES + 1), _ipc(_large())[: INLINE_BYTES + 64], b"\xff\xff\xff\xff" + bytes(4))
    for content in broken:
        ours, theirs = socket.socketpair()
        stream = WorkerStream(ours, WorkerRequest("select 1", 5), lambda: False, DeadWorker())
        receive_frame(theirs)
        send_frame(theirs, SCHEMA, memoryview(schema.serialize()))
        _hand_over(theirs, _memory_file(content), len(content))
        theirs.close()
        assert stream.read_schema() == schema
        with pytest.raises(QueryFailedError):
            next(stream.batches())


def test_offsets_that_point_beyond_their_buffer_are_refused() -> None:
    """Flight would send whatever lies behind the buffer in the front's memory."""
    honest = pa.record_batch({"text": pa.array(["abc"] * 40_000)})
    content = bytearray(_ipc(honest))
    last_offset = struct.pack("<i", 3 * 40_000)
    position = content.index(last_offset)
    content[position : position + 4] = struct.pack("<i", 1 << 30)
    ours, theirs = socket.socketpair()
    stream = WorkerStream(ours, WorkerRequest("select 1", 5), lambda: False, DeadWorker())
    receive_frame(theirs)
    send_frame(theirs, SCHEMA, memoryview(honest.schema.serialize()))
    _hand_over(theirs, _memory_file(bytes(content)), len(content))
    theirs.close()
    stream.read_schema()
    with pytest.raises(QueryFailedError):
        next(stream.batches())


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_compressed_batch_is_refused_before_it_is_unpacked(compression: str) -> None:
    """Sixteen megabytes of zeros fit into a few kilobytes; a worker could fill the front's memory with them."""
    bomb, schema = pa.record_batch({"zeros": pa.array([0] * 2_000_000, pa.int64())}), pa.schema([("zeros", pa.int64())])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_batch(bomb)
    before = pa.total_allocated_bytes()
    with pytest.raises(BatchRefusedError, match="not compressed"):
        read_batch(sink.getvalue(), schema)
    assert pa.total_allocated_bytes() - before < 1 << 20


def test_other_columns_than_announced_are_refused() -> None:
    content = pa.py_buffer(_ipc(_large()))
    assert read_batch(content, _large().schema) == _large()
    for schema in (pa.schema([("number", pa.string())]), pa.schema([(str(n), pa.string()) for n in range(5)])):
        with pytest.raises(BatchRefusedError):
            read_batch(content, schema)


@given(st.binary(max_size=200), st.integers(0, 500))
def test_altered_bytes_give_a_batch_or_a_refusal_and_never_a_crash(noise: bytes, position: int) -> None:
    honest = pa.record_batch({"number": [1, 2, 3], "text": ["a", None, "c"], "list": [[1], [], None]})
    content = bytearray(_ipc(honest))
    content[position : position + len(noise)] = noise
    with contextlib.suppress(BatchRefusedError):
        read_batch(pa.py_buffer(bytes(content)), honest.schema).serialize()
