"""Batches handed over in shared memory, and what a hostile worker could send instead."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from handed_over import PLACE, SEALS, hand_over, ipc, large, memory_file  # type: ignore[import-not-found]

from enclave.gateway.frames import (
    BATCH,
    DONE,
    LENT,
    READ,
    SCHEMA,
    SHARED,
    BrokenFrameError,
    packed,
    send_frame,
)
from enclave.gateway.handover import MAXIMUM_BATCH, SLOT_BYTES, SLOTS, BatchReceiver, BatchSender


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
    batch, before = large(), _open_memory_files()
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
    sender = BatchSender(theirs, large().schema, contextlib.nullcontext)
    with pytest.raises(TimeoutError):
        for _ in range(50):
            sender.send(large())
            sent += 1
    assert sent == SLOTS
    sender.close()


@pytest.mark.parametrize(
    ("case", "seals", "length", "slot"),
    [
        ("not sealed", 0, None, 0),
        ("may still shrink", 0x1 | 0x4, None, 0),
        ("may lose its seals", 0x2 | 0x4, None, 0),
        ("announces more than it has", SEALS, 1 << 21, 0),
        ("announces nothing", SEALS, 0, 0),
        ("announces too much", SEALS, MAXIMUM_BATCH + 1, 0),
        ("a slot too many", SEALS, None, SLOTS),
    ],
)
def test_a_memory_file_that_is_not_as_promised_is_refused(
    pair: tuple[socket.socket, socket.socket], case: str, seals: int, length: int | None, slot: int
) -> None:
    ours, theirs = pair
    before = _open_memory_files()
    content = ipc(large())
    hand_over(theirs, memory_file(content, seals), len(content) if length is None else length, slot)
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
    hand_over(theirs, descriptor, os.fstat(descriptor).st_size)
    with pytest.raises(BrokenFrameError):
        receiver.receive()
    send_frame(theirs, SHARED, PLACE.pack(1, 100))
    with pytest.raises(BrokenFrameError):
        receiver.receive()
    send_frame(theirs, LENT, PLACE.pack(1, 100))
    with pytest.raises(BrokenFrameError):
        receiver.receive()
    send_frame(theirs, SHARED, PLACE.pack(1, 100) + b"more")
    with pytest.raises(BrokenFrameError):
        receiver.receive()
    many = [memory_file(b"x") for _ in range(5)]
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
        descriptor = memory_file(b"x")
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
    contents = [ipc(large().slice(number)) for number in range(SLOTS)]
    for byte in packed(SCHEMA, b"schema"):
        theirs.sendall(bytes([byte]))
    for slot, content in enumerate(contents):
        hand_over(theirs, memory_file(content), len(content), slot)
        send_frame(theirs, READ, b"")
        send_frame(theirs, SHARED, PLACE.pack(0, len(contents[0])))
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
    content = ipc(large())
    descriptor = memory_file(content)
    kept = os.dup(descriptor)
    hand_over(theirs, descriptor, len(content))
    receiver = BatchReceiver(ours)
    frame = receiver.receive()
    os.pwrite(kept, b"\xff" * len(content), 0)
    os.close(kept)
    assert frame is not None and frame[1].to_pybytes() == content
    receiver.close()
