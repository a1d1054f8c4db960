"""A query's stream whose worker is hostile, and batches that are none: refused, and nothing else ends."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from handed_over import hand_over, ipc, large, memory_file  # type: ignore[import-not-found]
from hypothesis import given
from hypothesis import strategies as st

from enclave.gateway import frames
from enclave.gateway.batch_content import BatchRefusedError, read_batch
from enclave.gateway.frames import BATCH, ERROR, READ, SCHEMA, packed, receive_frame, send_frame
from enclave.gateway.handover import INLINE_BYTES
from enclave.gateway.worker_stream import QueryFailedError, WorkerRequest, WorkerStream


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
        whole = packed(SCHEMA, memoryview(batch.schema.serialize())) + packed(BATCH, ipc(batch))
        theirs.sendall(whole + packed(BATCH, b"0123456789")[:-7])
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
    schema = large().schema
    broken = (b"\xff" * (INLINE_BYTES + 1), ipc(large())[: INLINE_BYTES + 64], b"\xff\xff\xff\xff" + bytes(4))
    for content in broken:
        ours, theirs = socket.socketpair()
        stream = WorkerStream(ours, WorkerRequest("select 1", 5), lambda: False, DeadWorker())
        receive_frame(theirs)
        send_frame(theirs, SCHEMA, memoryview(schema.serialize()))
        hand_over(theirs, memory_file(content), len(content))
        theirs.close()
        assert stream.read_schema() == schema
        with pytest.raises(QueryFailedError):
            next(stream.batches())


@pytest.mark.parametrize("said", [b"\xff", b"[]", b"null", b"[" * 100_000, b'{"message": 3}', b"{}"])
def test_an_error_that_is_none_ends_the_query_in_our_own_words(said: bytes) -> None:
    ours, theirs = socket.socketpair()
    worker = CountedWorker()
    stream = WorkerStream(ours, WorkerRequest("select 1", 5), lambda: False, worker)
    with theirs:
        receive_frame(theirs)
        send_frame(theirs, ERROR, said)
        with pytest.raises(QueryFailedError, match="Nothing more is released") as failure:
            stream.read_schema()
    assert failure.value.status == "error"
    assert worker.is_killed.is_set() == (not said.startswith(b"{"))
    assert ours.fileno() == -1


class Dripping:
    """A socket's other end that always has one more byte, so that nobody ever waits for it."""

    def __init__(self, content: bytes) -> None:
        self._left = bytearray(content)
        self._ready, self._end = socket.socketpair()
        self._end.send(b"x")

    def fileno(self) -> int:
        return self._ready.fileno()

    def recv_into(self, buffer: memoryview) -> int:
        buffer[0] = self._left.pop(0)
        return 1

    def recvmsg(self, *_: int) -> tuple[bytes, list[object], int, None]:
        return bytes([self._left.pop(0)]), [], 0, None

    def close(self) -> None:
        self._ready.close()
        self._end.close()


@pytest.mark.parametrize("reads", ["frame by frame", "as it comes"])
def test_who_sends_just_enough_for_never_being_waited_for_is_given_up_all_the_same(
    monkeypatch: pytest.MonkeyPatch, reads: str
) -> None:
    now = iter(range(10_000))
    monkeypatch.setattr(frames, "time", SimpleNamespace(monotonic=lambda: float(next(now))))
    with contextlib.closing(Dripping(packed(BATCH, bytes(1000)))) as peer:
        ours: Any = peer
        with pytest.raises(TimeoutError):
            if reads == "as it comes":
                frames.FrameReader(ours, 1).receive(frames.until(20.0))
            else:
                receive_frame(ours, frames.until(20.0))


def test_a_worker_that_tells_on_and_on_what_it_has_read_is_ended() -> None:
    ours, theirs = socket.socketpair()
    stream = WorkerStream(ours, WorkerRequest("select 1", 5), lambda: False, DeadWorker())
    with theirs:
        receive_frame(theirs)
        send_frame(theirs, SCHEMA, memoryview(pa.schema([("n", pa.int64())]).serialize()))
        stream.read_schema()
        for _ in range(2):
            send_frame(theirs, READ, b"[]")
        with pytest.raises(QueryFailedError):
            next(stream.batches())


@pytest.mark.parametrize("schema_only", [False, True])
def test_what_no_digest_holds_is_cut(schema_only: bool) -> None:
    """A worker that was taken over could send rows as the schema's metadata, or as the sentence of an error."""
    ours, theirs = socket.socketpair()
    request = WorkerRequest("select 1", 5, schema_only=schema_only)
    stream = WorkerStream(ours, request, lambda: False, DeadWorker())
    with theirs:
        receive_frame(theirs)
        schema = pa.schema([("n", pa.int64())], metadata={b"rows": b"x" * 10_000})
        send_frame(theirs, SCHEMA, memoryview(schema.serialize()))
        assert (stream.read_schema().metadata is None) == (not schema_only)
        send_frame(theirs, ERROR, json.dumps({"status": "error", "message": "x" * 10_000}).encode())
        with pytest.raises(QueryFailedError) as failure:
            next(stream.batches())
    assert len(failure.value.sentence) == 1000


def test_offsets_that_point_beyond_their_buffer_are_refused() -> None:
    """Flight would send whatever lies behind the buffer in the front's memory."""
    honest = pa.record_batch({"text": pa.array(["abc"] * 40_000)})
    content = bytearray(ipc(honest))
    last_offset = struct.pack("<i", 3 * 40_000)
    position = content.index(last_offset)
    content[position : position + 4] = struct.pack("<i", 1 << 30)
    ours, theirs = socket.socketpair()
    stream = WorkerStream(ours, WorkerRequest("select 1", 5), lambda: False, DeadWorker())
    receive_frame(theirs)
    send_frame(theirs, SCHEMA, memoryview(honest.schema.serialize()))
    hand_over(theirs, memory_file(bytes(content)), len(content))
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
    content = pa.py_buffer(ipc(large()))
    assert read_batch(content, large().schema) == large()
    for schema in (pa.schema([("number", pa.string())]), pa.schema([(str(n), pa.string()) for n in range(5)])):
        with pytest.raises(BatchRefusedError):
            read_batch(content, schema)


@given(st.binary(max_size=200), st.integers(0, 500))
def test_altered_bytes_give_a_batch_or_a_refusal_and_never_a_crash(noise: bytes, position: int) -> None:
    honest = pa.record_batch({"number": [1, 2, 3], "text": ["a", None, "c"], "list": [[1], [], None]})
    content = bytearray(ipc(honest))
    content[position : position + len(noise)] = noise
    with contextlib.suppress(BatchRefusedError):
        read_batch(pa.py_buffer(bytes(content)), honest.schema).serialize()
