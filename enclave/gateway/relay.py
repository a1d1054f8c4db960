"""One query through the front: intent on record, worker runs, batches counted on their way, outcome on record, end.

Contract: ``begin`` returns after the intent is durable and the worker has answered with a schema. Iterating releases
batches while the permit's caps hold. The outcome is recorded exactly once – before the end of the stream, or when the
client, a cap or an error ends it – and a stream whose outcome cannot be recorded ends with an error instead of its end.
Invariant 1 of DESIGN.md.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator

import pyarrow as pa
import structlog
from blake3 import blake3

from enclave.domain.permits import QueryCaps
from enclave.gateway.admission import Caller, Door
from enclave.gateway.gate import ExaminedStatement
from enclave.gateway.person_worker import PersonWorker, WorkerLine
from enclave.gateway.populations import PopulationMeter
from enclave.gateway.recording import Outcome, Recorder, RecordingFailedError
from enclave.gateway.scans import Reading, checked_reading
from enclave.gateway.statements import Prepared
from enclave.gateway.usage import DailyCapError, DailyUsage
from enclave.gateway.worker_stream import QueryFailedError, WorkerRequest, WorkerStream

_log = structlog.get_logger()
_SHOWN_PARAMETER = 1000
_DIGEST = "blake3"
_ASK_SECONDS = 0.1


class Relay:
    """Iterator over the batches of one query; ``close`` ends it early."""

    def __init__(
        self,
        door: Door,
        caller: Caller,
        recorder: Recorder,
        worker: PersonWorker,
        usage: DailyUsage,
        is_cancelled: Callable[[], bool],
    ) -> None:
        self._usage = usage
        self._door, self._caller, self._recorder, self._worker = door, caller, recorder, worker
        self._client_is_gone = is_cancelled
        self._cancel = threading.Event()
        self._objection: str | None = None
        self._request_id = f"q-{secrets.token_hex(8)}"
        self._started_at = time.monotonic()
        self._digest = blake3()
        self._rows = self._bytes = 0
        self._ask_at = self._started_at + _ASK_SECONDS
        self._columns: tuple[str, ...] = ()
        self._people = PopulationMeter((), frozenset())
        self._scratch: frozenset[str] = frozenset()
        self._stream: WorkerStream | None = None
        self._batches: Iterator[tuple[pa.RecordBatch, pa.Buffer]] | None = None
        self._is_open = self._has_begun = False
        self.on_end: Callable[[Outcome], None] | None = None

    def begin(self, statement: Prepared, examined: ExaminedStatement, *, schema_only: bool = False) -> pa.Schema:
        """Record the intent, start the query, wait for its schema. Raises QueryFailedError, RecordingFailedError."""
        self._worker.enter(self._caps.streams)
        lines: list[WorkerLine] = []
        try:
            request = _request(statement, examined, self._caps.seconds, schema_only=schema_only)
            self._check_today()
            self._record_intent(statement, examined, "schema" if schema_only else "rows", lines)
        except BaseException:
            self._worker.leave()
            for line in lines:
                line.close()
            raise
        self._is_open = self._has_begun = True
        self._scratch = frozenset(name.lower() for name in examined.tables if name.startswith("scratch."))
        self._people = PopulationMeter(examined.counts, self._caller.files.person_columns)
        asked, gone = self._cancel, self._client_is_gone

        def is_cancelled() -> bool:
            """Knows nothing of the relay: a stream that held it would keep it alive after Flight has dropped it."""
            return asked.is_set() or gone()

        try:
            self._stream = self._worker.open_stream(self._caller.source, request, is_cancelled, *lines)
            schema = self._stream.read_schema()
        except BaseException as error:
            found = self._explained(error)
            self._end("error", found)
            raise found from None
        self._columns = tuple(schema.names)
        self._batches = self._stream.batches()
        return schema

    def _record_intent(
        self, statement: Prepared, examined: ExaminedStatement, purpose: str, lines: list[WorkerLine]
    ) -> None:
        """``lines`` gets the worker's, found while the log writes; nothing is asked over it before that."""

        def find_line() -> None:
            line = self._worker.find_line(self._caller.source)
            if line is not None:
                lines.append(line)

        shown = _shown_parameters(statement.parameters)
        self._recorder.intent(
            self._door, self._caller, self._request_id, statement, examined, shown, purpose, find_line
        )

    def __iter__(self) -> Relay:
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._batches is None or not self._is_open:
            raise StopIteration
        try:
            batch, content = next(self._batches)
            self._count(batch, content)
        except StopIteration:
            self._end("ok")
            raise
        except BaseException as error:
            found = self._explained(error)
            self._end("error", found)
            raise found from None
        return batch

    def cancel(self) -> None:
        """Ask the running query to stop; seen within about 100 ms."""
        self._cancel.set()

    def withdraw(self, objection: str) -> None:
        """The caller may have nothing more: stop like ``cancel``; the objection is the sentence they get."""
        self._objection = objection
        self._cancel.set()

    def _explained(self, error: BaseException) -> BaseException:
        if not isinstance(error, QueryFailedError) or not self._cancel.is_set():
            return error
        if self._objection is not None:
            return QueryFailedError("revoked", self._objection)
        if error.status == "cancelled":
            return QueryFailedError("cancelled", "The query was stopped, as you asked.")
        return error

    def close(self) -> None:
        """The client has gone: stop the worker, record the outcome. Harmless after the end."""
        if self._is_open:
            self._end("cancelled", QueryFailedError("cancelled", "The client gave up, so the query was stopped."))

    def __del__(self) -> None:
        self.close()  # Flight drops the stream when the client goes away; this is how we learn of it

    @property
    def request_id(self) -> str:
        """What the records of this query carry."""
        return self._request_id

    @property
    def rows(self) -> int:
        """Sent so far."""
        return self._rows

    @property
    def has_begun(self) -> bool:
        """True once the intent is on record."""
        return self._has_begun

    @property
    def _caps(self) -> QueryCaps:
        return self._caller.files.permit.caps

    def _client_left(self) -> bool:
        """As often as it matters: asking gRPC costs up to a millisecond (measured)."""
        now = time.monotonic()
        if now < self._ask_at:
            return False
        self._ask_at = now + _ASK_SECONDS
        return self._client_is_gone()

    def _count(self, batch: pa.RecordBatch, content: pa.Buffer) -> None:
        caps = self._caps
        if self._rows + batch.num_rows > caps.rows:
            raise QueryFailedError("cap", _cap_sentence(caps.rows, "rows", "Aggregate, filter, or add LIMIT."))
        if self._bytes + batch.nbytes > caps.bytes:
            raise QueryFailedError("cap", _cap_sentence(caps.bytes, "bytes", "Select fewer columns, or aggregate."))
        if self._cancel.is_set() or self._client_left():
            raise QueryFailedError("cancelled", "The query was cancelled.")
        self._add_to_today(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        self._digest.update(memoryview(content))
        self._people.add(batch)

    def _check_today(self) -> None:
        try:
            self._usage.begin(self._caller.record.id, self._caller.person.id, self._caps)
        except DailyCapError as error:
            raise QueryFailedError("cap", str(error)) from error

    def _add_to_today(self, batch: pa.RecordBatch) -> None:
        try:
            self._usage.add(self._caller.record.id, self._caller.person.id, batch.num_rows, batch.nbytes, self._caps)
        except DailyCapError as error:
            raise QueryFailedError("cap", str(error)) from error

    def _close_today(self) -> None:
        try:
            self._usage.end(self._caller.record.id, self._caller.person.id)
        except OSError as error:
            _log.error("usage-not-written", reason=error.strerror)

    def _reading(self) -> Reading | None:
        sent = self._stream.read_so_far if self._stream is not None else None
        return checked_reading(sent, self._caller.files.columns, self._scratch)

    def _end(self, status: str, error: BaseException | None = None) -> None:
        """Stop the worker's side and record the outcome, once; a failing record wins over a normal end."""
        if not self._is_open:
            return
        self._is_open = False
        if self._stream is not None:
            self._stream.abandon()
        self._worker.leave()
        self._close_today()
        found = error.status if isinstance(error, QueryFailedError) else status
        outcome = Outcome(
            status=found,
            rows=self._rows,
            bytes=self._bytes,
            duration_ms=int((time.monotonic() - self._started_at) * 1000),
            digest=f"{_DIGEST}:{self._digest.hexdigest()}",
            columns=self._columns,
            persons=self._people.persons,
            min_cell=self._people.min_cell,
            reading=self._reading(),
        )
        if self.on_end is not None:
            self.on_end(outcome)
        try:
            self._recorder.outcome(self._door, self._caller, self._request_id, outcome)
        except RecordingFailedError:
            _log.error("outcome-not-recorded", request_id=self._request_id, status=found)
            if error is None:
                raise


def _request(statement: Prepared, examined: ExaminedStatement, seconds: int, *, schema_only: bool) -> WorkerRequest:
    parameters = _encoded_parameters(statement.parameters)
    return WorkerRequest(statement.sql, seconds, parameters, schema_only, examined.write)


def _cap_sentence(limit: int, unit: str, advice: str) -> str:
    return f"The data permit allows {limit} {unit} for one query; this one has more and was stopped. {advice}"


def _shown_parameters(batch: pa.RecordBatch | None) -> list[str] | None:
    if batch is None:
        return None
    return [str(column[0].as_py())[:_SHOWN_PARAMETER] for column in batch.columns]


def _encoded_parameters(batch: pa.RecordBatch | None) -> bytes | None:
    if batch is None:
        return None
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())
