"""The worker of one person in one project, started by the front inside the sandbox through ``worker_start``.

Contract: it inherits one listening unix socket (``--descriptor``), opens the extract in ``--folder`` and the person's
scratch file, writes one JSON line to standard output – ``{"ready": true, "landlock": version, "scratch": problem}`` or
``{"error": sentence}`` – and then answers one query per connection: a QUERY frame in; SCHEMA, BATCH … and DONE, or
ERROR, out. When the front hangs up or the time is over, the query is interrupted, and if it goes on the worker ends
itself (``watchdog``). It knows no token, no name, no other person and no other project.
"""

from __future__ import annotations

import _thread
import argparse
import base64
import contextlib
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from enclave.gateway.describe import describe, read_parameters
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
from enclave.gateway.engine_errors import (
    binding_message,
    describe_engine_error,
    is_fatal,
    is_out_of_memory,
    stream_error,
)
from enclave.gateway.frames import DONE, ERROR, QUERY, SCHEMA, receive_frame, send_frame
from enclave.gateway.handover import BatchSender
from enclave.gateway.plain_arrow import plain_batch, plain_schema
from enclave.gateway.scans import scans_to_json
from enclave.gateway.scratch_names import ScratchWrite, objects_to_json
from enclave.gateway.scratch_store import ScratchFullError, ScratchRefusedError
from enclave.gateway.watchdog import QueryWatch

EXIT_UNUSABLE = 70
"""Exit code after an error that leaves the database instance unusable; the front starts a new worker."""
_COUNT = pa.schema([pa.field("Count", pa.int64())])


class Server:
    """Answers queries on the inherited socket, one thread per connection."""

    def __init__(self, engine: Engine, listener: socket.socket) -> None:
        self._engine = engine
        self._listener = listener

    def serve_forever(self) -> None:
        self._engine.prepare_cursors()
        while True:
            peer, _ = self._listener.accept()
            _thread.start_new_thread(self._answer, (peer,))  # does not wait for its start, as Thread does

    def _answer(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            frame = receive_frame(peer)
            if frame is None or frame[0] != QUERY:
                return
            request = json.loads(frame[1])
            if request.get("tables"):
                _send_schemas(peer, self._engine.table_schemas())
            elif request.get("scratch"):
                self._send_scratch(peer, with_schemas=bool(request.get("schemas")))
            else:
                self._run(peer, request)
        self._engine.prepare_cursors()

    def _send_scratch(self, peer: socket.socket, *, with_schemas: bool) -> None:
        objects = self._engine.scratch.objects()
        schemas = _encoded(self._engine.schemas_of(objects)) if with_schemas else {}
        send_frame(peer, DONE, json.dumps({"objects": objects_to_json(objects), "schemas": schemas}).encode())

    def _run(self, peer: socket.socket, request: dict[str, Any]) -> None:
        write = ScratchWrite.from_json(request["write"]) if request.get("write") else None
        try:
            room = self._engine.scratch.room() if write is not None and write.grows else None
        except (ScratchFullError, ScratchRefusedError) as error:
            _send_error(peer, "error", str(error))
            return
        cursor, ended_well = self._engine.cursor(), False
        watch = QueryWatch(peer, cursor, float(request["seconds"]), room.is_exceeded if room else None)
        try:
            if write is None:
                self._stream(peer, cursor, request, watch)
                ended_well = True
            else:
                self._change(peer, cursor, request, write)
        except (RowTooLargeError, ScratchRefusedError) as error:
            _send_error(peer, "error", str(error))
        except OSError:
            raise
        except Exception as error:
            sql = write.sql if write is not None else str(request["sql"])
            self._report(peer, error, watch.reason, lambda: binding_message(cursor, sql), str(request["sql"]))
        finally:
            watch.end()
            if ended_well and watch.reason is None:  # so that no interrupt meant for this query can meet the next
                self._engine.give_back(cursor)
            else:
                cursor.close()

    def _report(
        self,
        peer: socket.socket,
        error: Exception,
        reason: str | None,
        at_binding: Callable[[], str | None],
        typed: str,
    ) -> None:
        if reason == "quota":
            _send_error(peer, "error", self._engine.scratch.full_sentence())
        elif isinstance(error, duckdb.InterruptException):
            _send_error(peer, reason or "cancelled", "The query was stopped.")
        else:
            found = "memory" if is_out_of_memory(error) else "error"
            sentence = describe_engine_error(error, typed, at_binding)
            _send_error(peer, reason or found, sentence, ends_worker=is_fatal(error))
        if is_fatal(error):
            os._exit(EXIT_UNUSABLE)

    def _stream(
        self, peer: socket.socket, cursor: duckdb.DuckDBPyConnection, request: dict[str, Any], watch: QueryWatch
    ) -> None:
        if request.get("schema_only"):
            send_frame(peer, SCHEMA, memoryview(describe(cursor, request["sql"]).serialize()))
            send_frame(peer, DONE, b"null")
            return
        relation = bind(cursor, request["sql"], read_parameters(cursor, request["sql"], request.get("parameters")))
        reader = relation.to_arrow_reader(BATCH_ROWS)
        schema = plain_schema(reader.schema)
        sender = BatchSender(peer, schema, watch.sending, lambda: self._reading(cursor))
        for batch in _read(reader):
            for piece in cut(plain_batch(batch, schema)):
                sender.send(piece)
        sender.end()

    def _reading(self, cursor: duckdb.DuckDBPyConnection) -> bytes:
        scans = self._engine.scans(cursor)
        return json.dumps(None if scans is None else scans_to_json(scans)).encode()

    def _change(
        self, peer: socket.socket, cursor: duckdb.DuckDBPyConnection, request: dict[str, Any], write: ScratchWrite
    ) -> None:
        """Run a scratch statement; the answer is one row, as DuckDB gives it: how many rows it is about."""
        batches, read = [], list[bytes]()
        if not request.get("schema_only"):
            parameters = read_parameters(cursor, write.sql, request.get("parameters"))
            counted = self._engine.scratch.change(cursor, write, parameters, lambda: read.append(self._reading(cursor)))
            batches.append(pa.record_batch([[counted]], _COUNT))
        sender = BatchSender(peer, _COUNT, contextlib.nullcontext, lambda: read[0] if read else b"null")
        for batch in batches:
            sender.send(batch)
        sender.end()


def _read(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The engine's batches; its errors keep their kind, and none is taken for a reader that is gone."""
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except Exception as error:
            raise stream_error(error) from None
        yield batch


def _send_schemas(peer: socket.socket, schemas: dict[str, pa.Schema]) -> None:
    send_frame(peer, DONE, json.dumps(_encoded(schemas)).encode())


def _encoded(schemas: dict[str, pa.Schema]) -> dict[str, str]:
    return {
        name: base64.b64encode(plain_schema(schema).serialize().to_pybytes()).decode()
        for name, schema in schemas.items()
    }


def _send_error(peer: socket.socket, status: str, sentence: str, *, ends_worker: bool = False) -> None:
    content = {"status": status, "message": sentence, "ends_worker": ends_worker}
    with contextlib.suppress(OSError):
        send_frame(peer, ERROR, json.dumps(content).encode())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Gateway worker; started by the front.")
    parser.add_argument("--descriptor", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--memory-mb", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--spill", type=Path)
    parser.add_argument("--spill-mb", type=int, default=0)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--scratch-mb", type=int, default=0)
    parser.add_argument("--checked", action="store_true", help="The files have passed the check of their hashes.")
    return parser.parse_args()


def main(landlock: int = 0) -> int:
    """Open, say so, serve until killed. ``landlock``: the version in force, for the front's report."""
    a = _arguments()
    listener = socket.socket(fileno=a.descriptor)
    limits = EngineLimits(a.memory_mb, a.threads, a.spill, a.spill_mb, a.scratch, a.scratch_mb)
    try:
        engine = open_extract(a.folder, limits, is_checked=a.checked)
    except (ExtractRefusedError, duckdb.Error) as error:
        sentence = str(error) if isinstance(error, ExtractRefusedError) else describe_engine_error(error)
        sys.stdout.write(json.dumps({"error": sentence}) + "\n")
        return 2
    ready = {"ready": True, "landlock": landlock, "scratch": engine.scratch.problem}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    Server(engine, listener).serve_forever()
    return 0
