"""One running query as the front sees it: frames of the worker become Arrow batches, troubles QueryFailedError.

Contract: iterate once; whoever stops early calls ``abandon``, which interrupts the query and, if the worker does not
obey within ``GRACE_SECONDS``, kills it. The front never lets a query run longer than its time plus that grace.
A worker that ends before it has read the whole query has run nothing of it: that query goes to a new worker, once. One
that has read it may have run it (and changed the scratch space): that query fails.
"""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import orjson
import pyarrow as pa
import structlog

from audit.wire import encode_body
from enclave.gateway.batch_content import BatchRefusedError, read_batch, read_schema
from enclave.gateway.frames import (
    BATCH,
    DONE,
    ERROR,
    QUERY,
    READ,
    SCHEMA,
    BrokenFrameError,
    discard,
    send_frame,
    until,
)
from enclave.gateway.handover import BatchReceiver
from enclave.gateway.scratch_names import ScratchWrite

log = structlog.get_logger()

GRACE_SECONDS = 5.0
_END_SECONDS = 1.0
_ABORTED = 128 + signal.SIGABRT
"""How a process ends whose allocation fails where nothing can catch it (std::terminate)."""
_LONGEST_MESSAGE = 1000
"""Characters; no digest and no cap holds for what a worker that was taken over writes there."""
_ENDED = "The project's worker ended while this query ran. Nothing more is released; run the query again."
_GIVEN_UP = "The client gave up, so the query was stopped."


class QueryFailedError(Exception):
    """The query ends without a full result. ``status``: error, cancelled or cap; the sentence is for the reader."""

    def __init__(self, status: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True)
class WorkerRequest:
    """What a worker is asked to run."""

    sql: str
    seconds: int
    parameters: bytes | None = None
    """Arrow IPC stream of one row."""
    schema_only: bool = False
    write: ScratchWrite | None = None
    """What to run instead of ``sql`` when the statement changes the scratch space."""

    @cached_property
    def encoded(self) -> bytes:
        """For the worker."""
        encoded = base64.b64encode(self.parameters).decode() if self.parameters else None
        content = {
            "sql": self.sql,
            "seconds": self.seconds,
            "parameters": encoded,
            "schema_only": self.schema_only,
            "write": self.write.as_json() if self.write else None,
        }
        return encode_body(content)


class RunningWorker(Protocol):
    """The process behind a stream, as ``worker_process`` has it."""

    @property
    def memory_sentence(self) -> str: ...

    def wait_for_end(self, seconds: float) -> int | None: ...

    def kill(self) -> None: ...


class WorkerStream:
    """``is_cancelled`` is asked about every 100 ms while the worker has nothing to say."""

    def __init__(
        self,
        peer: socket.socket,
        request: WorkerRequest,
        is_cancelled: Callable[[], bool],
        process: RunningWorker,
        renew: Callable[[], tuple[RunningWorker, socket.socket]] | None = None,
    ) -> None:
        """``renew``: a connection to a new worker, when this one has ended; may raise QueryFailedError."""
        self._request = request.encoded
        self._seconds = request.seconds
        self._may_annotate = request.schema_only
        self._is_cancelled = is_cancelled
        self._renew = renew
        self._waited = 0.0
        self._ended = self._has_heard = False
        self._schema = pa.schema([])
        self.read_so_far: Any = None
        """What the worker says the query has read (``scans``), unchecked; None while it has said nothing."""
        self._send(process, peer)

    def _send(self, process: RunningWorker, peer: socket.socket) -> None:
        self._process, self._peer, self._receiver = process, peer, BatchReceiver(peer)
        try:
            send_frame(peer, QUERY, self._request)
        except OSError as error:
            self._finish()
            if self._renew is None:
                raise QueryFailedError("error", _ENDED) from error
            self._send_again()

    def _send_again(self) -> None:
        """To a new worker. The old one read no whole query, so it has run nothing of it."""
        assert self._renew is not None  # noqa: S101
        log.warning("worker-ended-before-query")
        self._finish()
        self._process.kill()
        if self._is_cancelled():
            raise QueryFailedError("cancelled", _GIVEN_UP)
        renew, self._renew = self._renew, None
        found = renew()
        self._ended = False
        self._send(*found)

    def read_schema(self) -> pa.Schema:
        """Wait for the first frame. Raises QueryFailedError."""
        kind, content = self._next_frame()
        if kind != SCHEMA:
            self.abandon()
            raise QueryFailedError("error", _ENDED)
        schema: pa.Schema = self._read(content, read_schema)
        self._schema = schema if self._may_annotate else schema.remove_metadata()
        return self._schema

    def batches(self) -> Iterator[tuple[pa.RecordBatch, pa.Buffer]]:
        """Each batch with the bytes it came in, which it lies in. Raises QueryFailedError."""
        may_tell = True  # what it has read, once: a worker that told on and on would never be waited for
        while True:
            kind, content = self._next_frame()
            if kind == DONE:
                self._finish()
                self._note(content)
                return
            if kind == READ and may_tell:
                may_tell = False
                self._note(content)
                continue
            if kind != BATCH:
                self.abandon()
                raise QueryFailedError("error", _ENDED)
            yield self._checked(content), content

    def is_all_here(self) -> bool:
        """Reading to the end waits for nothing."""
        return self._receiver.is_all_here()

    def _note(self, content: pa.Buffer) -> None:
        with contextlib.suppress(ValueError, RecursionError):
            self.read_so_far = orjson.loads(memoryview(content))

    def _checked(self, content: pa.Buffer) -> pa.RecordBatch:
        """The one batch in ``content``; its offsets lie within its buffers, whatever the worker wrote."""
        return self._read(content, lambda found: read_batch(found, self._schema))

    def _read(self, content: pa.Buffer, read: Callable[[pa.Buffer], Any]) -> Any:
        try:
            return read(content)
        except (pa.ArrowException, BatchRefusedError, OSError, EOFError) as error:
            self.abandon()
            raise QueryFailedError("error", _ENDED) from error

    def abandon(self) -> None:
        """Interrupt the query; returns at once. Harmless after the end."""
        if self._ended:
            return
        self._ended = True
        with contextlib.suppress(OSError):
            self._peer.shutdown(socket.SHUT_WR)
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        """Read on until the worker has noticed, so that it is not stuck writing; kill it when it does not obey."""
        try:
            with contextlib.closing(self._receiver):
                discard(self._peer, until(time.monotonic() + GRACE_SECONDS))
        except TimeoutError:
            self._process.kill()
        except OSError:
            pass

    def _next_frame(self) -> tuple[bytes, pa.Buffer]:
        started_at = time.monotonic()
        try:
            frame = self._receiver.receive(lambda: self._check(started_at))
        except BrokenFrameError:
            frame = None
        self._waited += time.monotonic() - started_at
        if frame is None and self._receiver.was_reset and not self._has_heard and self._renew is not None:
            self._send_again()
            return self._next_frame()
        self._has_heard = True
        if frame is None:
            self._finish()
            code = self._process.wait_for_end(_END_SECONDS)
            self._process.kill()  # waits for its end, so that the person's next query does not meet it still dying
            if code == _ABORTED:
                raise self._out_of_memory()
            log.warning("worker-ended-in-query", exit_code=code)
            raise QueryFailedError("error", _ENDED)
        if frame[0] == ERROR:
            self._finish()
            content = _read_error(frame[1])
            if content is None or content.get("ends_worker"):
                self._process.kill()
            raise self._failure(content or {})
        return frame

    def _check(self, waits_since: float) -> None:
        """Only time spent waiting for the worker counts: a slow reader is not a slow query."""
        if self._is_cancelled():
            self.abandon()
            raise QueryFailedError("cancelled", _GIVEN_UP)
        if self._waited + time.monotonic() - waits_since > self._seconds + GRACE_SECONDS:
            self._finish()
            self._process.kill()
            raise QueryFailedError("cap", seconds_sentence(self._seconds))

    def _failure(self, content: dict[str, Any]) -> QueryFailedError:
        if content.get("status") == "seconds":
            return QueryFailedError("cap", seconds_sentence(self._seconds))
        if content.get("status") == "memory":
            return self._out_of_memory()
        status = "cancelled" if content.get("status") == "cancelled" else "error"
        message = content.get("message")
        return QueryFailedError(status, message[:_LONGEST_MESSAGE] if isinstance(message, str) else _ENDED)

    def _out_of_memory(self) -> QueryFailedError:
        return QueryFailedError("cap", self._process.memory_sentence)

    def _finish(self) -> None:
        self._ended = True
        self._receiver.close()


def _read_error(content: pa.Buffer) -> dict[str, Any] | None:
    """None: it is no error as a worker of ours writes one."""
    try:
        found = json.loads(content.to_pybytes())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def seconds_sentence(seconds: int) -> str:
    """Says which cap of the permit was met."""
    return (
        f"The data permit allows {seconds} seconds for one query; this one took longer and was stopped. Ask for less."
    )
