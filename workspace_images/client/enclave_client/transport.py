"""One query in one round trip: the statement travels in the ticket of a Flight DoGet, and the rows come back.

The call runs on a thread of its own, because pyarrow does not see an interrupt while it waits: the caller's thread
waits here, can be interrupted, and then asks the gateway to stop the query. Connections are kept per process.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import struct
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from functools import partial
from typing import TYPE_CHECKING, Any

from enclave_client.session import gateway_address, read_token

if TYPE_CHECKING:
    import pyarrow

_PREFIX = b"enclave.query/1\n"
_ID_BYTES = 16
_LENGTH = struct.Struct("!I")
_TICK_SECONDS = 0.2
_CANCEL_SECONDS = 5.0

Progress = Callable[[int, float], None]
"""Told the rows here so far and the seconds since the start, about five times a second."""


class _Connections:
    """Flight clients and threads, kept between queries; a forked child makes its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = 0
        self._clients: dict[str, Any] = {}
        self._threads = ThreadPoolExecutor(max_workers=1)

    def client(self, address: str) -> Any:
        import pyarrow.flight as flight

        with self._lock:
            self._begin()
            if address not in self._clients:
                self._clients[address] = flight.connect(address)
            return self._clients[address]

    def forget(self, address: str) -> None:
        """The next query connects anew: a restarted gateway is found at once."""
        with self._lock:
            self._clients.pop(address, None)

    def submit(self, work: Callable[[], pyarrow.Table]) -> Future[pyarrow.Table]:
        with self._lock:
            self._begin()
            return self._threads.submit(work)

    def _begin(self) -> None:
        if self._process != os.getpid():
            self._process = os.getpid()
            self._clients = {}
            self._threads = ThreadPoolExecutor(max_workers=32, thread_name_prefix="enclave-query")


_connections = _Connections()


class _Query:
    """One running query: what came so far, and how to stop it."""

    def __init__(self, query: str, params: Sequence[Any] | None) -> None:
        import pyarrow.flight as flight

        self._id = secrets.token_bytes(_ID_BYTES)
        text = query.encode()
        bound = _one_row(params) if params else b""
        self._ticket = flight.Ticket(_PREFIX + self._id + _LENGTH.pack(len(text)) + text + bound)
        self._options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {read_token()}".encode())])
        self._address = gateway_address()
        self._client = _connections.client(self._address)
        self.rows = 0

    def run(self, *, counts: bool) -> pyarrow.Table:
        """All rows. ``counts``: somebody wants to know how many are here, which takes a step of Python per batch."""
        import pyarrow
        import pyarrow.flight as flight

        try:
            reader = self._client.do_get(self._ticket, self._options)
            if not counts:
                return reader.read_all()
            batches = []
            for chunk in reader:
                batches.append(chunk.data)
                self.rows += chunk.data.num_rows
            return pyarrow.Table.from_batches(batches, reader.schema)
        except flight.FlightUnavailableError:
            _connections.forget(self._address)
            raise

    def cancel(self) -> None:
        import pyarrow.flight as flight

        with contextlib.suppress(flight.FlightError, OSError):
            list(self._client.do_action(flight.Action("enclave.cancel_query", self._id), self._options))


def fetch(query: str, params: Sequence[Any] | None, progress: Progress | None = None) -> pyarrow.Table:
    """All rows of one statement. Raises FlightError; an interrupt stops the query at the gateway, then goes on."""
    running = _Query(query, params)
    started_at = time.monotonic()
    future = _connections.submit(partial(running.run, counts=progress is not None))
    try:
        while True:
            with contextlib.suppress(StillRunning):
                return future.result(timeout=_TICK_SECONDS)
            if future.done():
                return future.result()
            if progress is not None:
                progress(running.rows, time.monotonic() - started_at)
    except KeyboardInterrupt:
        running.cancel()
        with contextlib.suppress(Exception):
            future.result(timeout=_CANCEL_SECONDS)
        raise


def _one_row(params: Sequence[Any]) -> bytes:
    import pyarrow

    arrays = [pyarrow.array([value]) for value in params]
    batch = pyarrow.RecordBatch.from_arrays(arrays, names=[str(number) for number in range(len(arrays))])
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())
