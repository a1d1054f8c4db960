"""The worker of one person in one project, started by the front inside the sandbox through ``worker_start``.

Contract: it inherits one listening unix socket (``--descriptor``) and, if its person has any, the permit's rules
(``--rules``), opens the extract in ``--folder`` and the person's scratch file, writes one JSON line to its output –
``{"ready": true, "landlock": version, "scratch": problem, "scratch_held": whether another worker has it}`` or
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
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from audit.wire import decode_body
from enclave.domain.person_rules import NO_RULES, PersonRules
from enclave.gateway.describe import describe, read_parameters
from enclave.gateway.engine import (
    Engine,
    EngineLimits,
    ExtractRefusedError,
    RowTooLargeError,
    cut,
    open_extract,
    run,
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
from enclave.gateway.scratch_store import LOCK_SECONDS, ScratchFullError, ScratchRefusedError
from enclave.gateway.watchdog import QueryWatch, Watchdog

EXIT_UNUSABLE = 70
"""Exit code after an error that leaves the database instance unusable; the front starts a new worker."""
_WAITING_THREADS = 8
"""Threads that wait for a connection, at most: as many as one person may run queries. They come when all are busy."""
_COUNT = pa.schema([pa.field("Count", pa.int64())])


class Server:
    """Answers queries on the inherited socket. Threads stay: DuckDB is slower on one it has not seen (measured)."""

    def __init__(self, engine: Engine, listener: socket.socket) -> None:
        self._engine = engine
        self._listener = listener
        self._watchdog = Watchdog()
        self._lock = threading.Lock()
        self._waiting = 0

    def serve_forever(self) -> None:
        self._engine.prepare_cursors()
        _thread.start_new_thread(self._serve, ())
        threading.Event().wait()

    def _serve(self) -> None:
        """Answer one connection after the other, while few others wait for one as well."""
        while True:
            with self._lock:
                if self._waiting >= _WAITING_THREADS:
                    return
                self._waiting += 1
            try:
                peer, _ = self._listener.accept()
            except (OSError, MemoryError):
                os._exit(EXIT_UNUSABLE)  # the front starts another worker and asks that one what waits here
            with self._lock:
                self._waiting -= 1
                is_last = self._waiting == 0
            if is_last:
                with contextlib.suppress(RuntimeError, MemoryError):  # no room for one more: who connects waits
                    _thread.start_new_thread(self._serve, ())  # does not wait for its start, as Thread does
            self._answer(peer)

    def _answer(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError, MemoryError):
            frame = receive_frame(peer)
            if frame is None or frame[0] != QUERY:
                return
            request = decode_body(bytes(frame[1]))
            if request.get("tables"):
                _send_schemas(peer, self._engine.table_schemas())
            elif request.get("scratch"):
                self._send_scratch(peer, with_schemas=bool(request.get("schemas")))
            else:
                self._run(peer, request)

    def _send_scratch(self, peer: socket.socket, *, with_schemas: bool) -> None:
        objects = self._engine.scratch.objects()
        schemas = _encoded(self._engine.schemas_of(objects)) if with_schemas else {}
        problem = "" if self._engine.scratch.is_attached else self._engine.scratch.problem
        answer = {"objects": objects_to_json(objects), "schemas": schemas, "problem": problem}
        send_frame(peer, DONE, json.dumps(answer).encode())

    def _run(self, peer: socket.socket, request: dict[str, Any]) -> None:
        write = ScratchWrite.from_json(request["write"]) if request.get("write") else None
        try:
            room = self._engine.scratch.room() if write is not None and write.grows else None
        except (ScratchFullError, ScratchRefusedError) as error:
            _send_error(peer, "error", str(error))
            return
        cursor, is_clean = self._engine.cursor(), False
        watch = self._watchdog.watch(peer, cursor, float(request["seconds"]), room.is_exceeded if room else None)
        try:
            if write is None:
                self._stream(peer, cursor, request, watch)
            else:
                self._change(peer, cursor, request, write)
            is_clean = write is None
        except (RowTooLargeError, ScratchRefusedError) as error:
            watch.end()
            _send_error(peer, "error", str(error))
        except OSError:
            raise
        except Exception as error:
            sql = write.sql if write is not None else str(request["sql"])
            self._report(peer, error, watch, lambda: binding_message(cursor, sql), str(request["sql"]))
        finally:
            watch.end()
            # given back only when no interrupt meant for this query can meet the next
            self._engine.give_back(cursor, is_clean=is_clean and watch.reason is None)

    def _report(
        self,
        peer: socket.socket,
        error: Exception,
        watch: QueryWatch,
        at_binding: Callable[[], str | None],
        typed: str,
    ) -> None:
        reason, status, sentence = watch.reason, "cancelled", "The query was stopped."
        if reason == "quota":
            reason, status, sentence = None, "error", self._engine.scratch.full_sentence()
        elif not isinstance(error, duckdb.InterruptException):
            status = "memory" if is_out_of_memory(error) else "error"
            sentence = describe_engine_error(error, typed, at_binding)
        watch.end()  # once its reader hears of the end, the watchdog ends no worker for it: the next query may be here
        _send_error(peer, reason or status, sentence, ends_worker=is_fatal(error))
        if is_fatal(error):
            os._exit(EXIT_UNUSABLE)

    def _stream(
        self, peer: socket.socket, cursor: duckdb.DuckDBPyConnection, request: dict[str, Any], watch: QueryWatch
    ) -> None:
        if request.get("schema_only"):
            send_frame(peer, SCHEMA, memoryview(describe(cursor, request["sql"]).serialize()))
            send_frame(peer, DONE, b"null")
            return
        parameters = read_parameters(cursor, request["sql"], request.get("parameters"))
        reader = run(cursor, request["sql"], parameters)
        schema = plain_schema(reader.schema)
        with contextlib.closing(BatchSender(peer, schema, watch.sending, lambda: self._reading(cursor))) as sender:
            for batch in _read(reader):
                for piece in cut(plain_batch(batch, schema)):
                    sender.send(piece)
            sender.end()
        self._engine.note_end(cursor)

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
        reading = read[0] if read else b"null"
        with contextlib.closing(BatchSender(peer, _COUNT, contextlib.nullcontext, lambda: reading)) as sender:
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
    parser.add_argument("--scratch-wait", type=float, default=LOCK_SECONDS)
    parser.add_argument("--rules", type=int, help="Descriptor of the rules as JSON; closed once they are read.")
    parser.add_argument("--checked", action="store_true", help="The files have passed the check of their hashes.")
    return parser.parse_args()


def _read_rules(descriptor: int | None) -> PersonRules:
    if descriptor is None:
        return NO_RULES
    with os.fdopen(descriptor, "rb") as content:
        return PersonRules.from_json(json.load(content))


def main(landlock: int = 0) -> int:
    """Open, say so, serve until killed. ``landlock``: the version in force, for the front's report."""
    a = _arguments()
    listener = socket.socket(fileno=a.descriptor)
    limits = EngineLimits(a.memory_mb, a.threads, a.spill, a.spill_mb, a.scratch, a.scratch_mb, a.scratch_wait)
    try:
        engine = open_extract(a.folder, limits, is_checked=a.checked, rules=_read_rules(a.rules))
    except (ExtractRefusedError, duckdb.Error) as error:
        sentence = str(error) if isinstance(error, ExtractRefusedError) else describe_engine_error(error)
        sys.stdout.write(json.dumps({"error": sentence}) + "\n")
        return 2
    scratch = engine.scratch
    ready = {"ready": True, "landlock": landlock, "scratch": scratch.problem, "scratch_held": scratch.is_held}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    Server(engine, listener).serve_forever()
    return 0
