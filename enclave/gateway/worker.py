"""The worker of one project: ``python -m enclave.gateway.worker``, started by the front inside the sandbox.

Contract: it inherits one listening unix socket (``--descriptor``), opens the extract in ``--folder``, writes one JSON
line to standard output – ``{"ready": true}`` or ``{"error": sentence}`` – and then answers one query per connection:
a QUERY frame in; SCHEMA, BATCH … and DONE, or ERROR, out. When the front hangs up or the time is over, the query is
interrupted. It knows no token, no person and no other project.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import select
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from enclave.gateway.engine import (
    BATCH_ROWS,
    Engine,
    EngineLimits,
    ExtractRefusedError,
    RowTooLargeError,
    bind,
    cut,
    open_extract,
)
from enclave.gateway.engine_errors import describe_engine_error, is_fatal
from enclave.gateway.frames import BATCH, DONE, ERROR, QUERY, SCHEMA, receive_frame, send_frame
from enclave.gateway.plain_arrow import plain_batch, plain_schema

_TICK_SECONDS = 0.2
EXIT_UNUSABLE = 70
"""Exit code after an error that leaves the database instance unusable; the front starts a new worker."""


class _Watch:
    """Interrupts one query when its time is over or the front hangs up (it sends nothing after the request)."""

    def __init__(self, peer: socket.socket, cursor: duckdb.DuckDBPyConnection, seconds: float) -> None:
        self._peer, self._cursor, self._ends_at = peer, cursor, time.monotonic() + seconds
        self._over = threading.Event()
        self.reason: str | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._peer, select.POLLIN | select.POLLRDHUP)
        while not self._over.is_set():
            if self.reason is None and time.monotonic() > self._ends_at:
                self.reason = "seconds"
            if self.reason is None and poll.poll(int(_TICK_SECONDS * 1000)):
                self.reason = "cancelled"
            if self.reason is not None:
                self._cursor.interrupt()  # again and again: an interrupt between two calls is lost
                self._over.wait(_TICK_SECONDS)

    def end(self) -> None:
        self._over.set()


class Server:
    """Answers queries on the inherited socket, one thread per connection."""

    def __init__(self, engine: Engine, listener: socket.socket) -> None:
        self._engine = engine
        self._listener = listener

    def serve_forever(self) -> None:
        while True:
            peer, _ = self._listener.accept()
            threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            frame = receive_frame(peer)
            if frame is None or frame[0] != QUERY:
                return
            request = json.loads(frame[1])
            if request.get("tables"):
                self._send_tables(peer)
            else:
                self._run(peer, request)

    def _send_tables(self, peer: socket.socket) -> None:
        schemas = {
            name: plain_schema(schema).serialize().to_pybytes() for name, schema in self._engine.table_schemas().items()
        }
        content = {name: base64.b64encode(raw).decode() for name, raw in schemas.items()}
        send_frame(peer, DONE, json.dumps(content).encode())

    def _run(self, peer: socket.socket, request: dict[str, Any]) -> None:
        cursor = self._engine.cursor()
        watch = _Watch(peer, cursor, float(request["seconds"]))
        try:
            self._stream(peer, cursor, request)
        except duckdb.InterruptException:
            _send_error(peer, watch.reason or "cancelled", "The query was stopped.")
        except RowTooLargeError as error:
            _send_error(peer, "error", str(error))
        except OSError:
            raise
        except Exception as error:
            reason = watch.reason or "error"
            _send_error(peer, reason, describe_engine_error(error))
            if is_fatal(error):
                os._exit(EXIT_UNUSABLE)
        finally:
            watch.end()
            cursor.close()

    def _stream(self, peer: socket.socket, cursor: duckdb.DuckDBPyConnection, request: dict[str, Any]) -> None:
        relation = bind(cursor, request["sql"], read_parameters(request.get("parameters")))
        if request.get("schema_only"):
            relation = relation.limit(0)
        reader = relation.to_arrow_reader(BATCH_ROWS)
        schema = plain_schema(reader.schema)
        send_frame(peer, SCHEMA, memoryview(schema.serialize()))
        for batch in reader:
            for piece in cut(plain_batch(batch, schema)):
                send_frame(peer, BATCH, memoryview(_one_batch_stream(piece)))
        send_frame(peer, DONE, b"{}")


def _one_batch_stream(batch: pa.RecordBatch) -> pa.Buffer:
    """A whole IPC stream for one batch: the frame carries everything that is needed to read it."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _send_error(peer: socket.socket, status: str, sentence: str) -> None:
    with contextlib.suppress(OSError):
        send_frame(peer, ERROR, json.dumps({"status": status, "message": sentence}).encode())


def read_parameters(encoded: str | None) -> list[Any] | None:
    """Bound values from a base64 Arrow IPC stream of one row; None when there are none."""
    if not encoded:
        return None
    table = pa.ipc.open_stream(base64.b64decode(encoded)).read_all()
    return [column[0].as_py() for column in table.columns]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Gateway worker; started by the front.")
    parser.add_argument("--descriptor", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--memory-mb", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()


def main() -> int:
    """Open, say so, serve until killed."""
    arguments = _arguments()
    listener = socket.socket(fileno=arguments.descriptor)
    try:
        engine = open_extract(arguments.folder, EngineLimits(arguments.memory_mb, arguments.threads))
    except (ExtractRefusedError, duckdb.Error) as error:
        sentence = str(error) if isinstance(error, ExtractRefusedError) else describe_engine_error(error)
        sys.stdout.write(json.dumps({"error": sentence}) + "\n")
        return 2
    sys.stdout.write(json.dumps({"ready": True}) + "\n")
    sys.stdout.flush()
    Server(engine, listener).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
