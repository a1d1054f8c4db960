"""One query through the front: intent on record, worker runs, batches counted on their way, outcome on record, end.

Contract: ``begin`` returns after the intent is durable and the worker has answered with a schema. Iterating releases
batches while the permit's caps hold. The outcome is recorded exactly once – before the end of the stream, or when the
client, a cap or an error ends it – and a stream whose outcome cannot be recorded ends with an error instead of its end.
Invariant 1 of DESIGN.md. A small answer is here as a whole with its schema: then the outcome is on its way to the log
while Flight sends the rows, and says of them that they were sent even when the reader leaves in that moment.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import pyarrow as pa
import structlog
from blake3 import blake3

from enclave.domain.permits import QueryCaps
from enclave.gateway.admission import Caller, Door
from enclave.gateway.gate import ExaminedStatement
from enclave.gateway.parameters import encoded_parameters, shown_parameters
from enclave.gateway.person_worker import PersonWorker, WorkerLine
from enclave.gateway.populations import PopulationMeter
from enclave.gateway.recording import Outcome, OutgoingRecord, Recorder, RecordingFailedError
from enclave.gateway.scans import Reading, checked_reading
from enclave.gateway.statements import Prepared
from enclave.gateway.todays_share import TodaysShare
from enclave.gateway.usage import DailyUsage
from enclave.gateway.worker_stream import QueryFailedError, WorkerRequest, WorkerStream

_log = structlog.get_logger()
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
        self._today = TodaysShare(usage, caller)
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
        self._batches: Iterator[tuple[pa.RecordBatch, pa.Buffer]] = iter(())
        self._ready: deque[pa.RecordBatch] = deque()
        self._failure: BaseException | None = None
        self._record: OutgoingRecord | None = None
        self._is_open = self._has_begun = False
        self.on_end: Callable[[Outcome], None] | None = None

    def begin(self, statement: Prepared, examined: ExaminedStatement, *, schema_only: bool = False) -> pa.Schema:
        """Record the intent, start the query, wait for its schema. Raises QueryFailedError, RecordingFailedError."""
        self._worker.enter(self._caps.streams)
        lines: list[WorkerLine] = []
        try:
            request = _request(statement, examined, self._caps.seconds, schema_only=schema_only)
            self._today.begin(self._caps)
            self._record_intent(statement, examined, request, lines)
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
            self._confirm(found)
            raise found from None
        self._columns = tuple(schema.names)
        self._batches = self._stream.batches()
        if self._stream.is_all_here():
            self._take_all()
        return schema

    def _record_intent(
        self, statement: Prepared, examined: ExaminedStatement, request: WorkerRequest, lines: list[WorkerLine]
    ) -> None:
        """``lines`` gets the worker's, found while the log writes; nothing is asked over it before that."""

        def find_line() -> None:
            line = self._worker.find_line(self._caller.source)
            if line is not None:
                lines.append(line)
            _ = request.encoded  # needed as soon as the log has answered

        shown = shown_parameters(statement.parameters)
        purpose = "schema" if request.schema_only else "rows"
        self._recorder.intent(
            self._door, self._caller, self._request_id, statement, examined, shown, purpose, find_line
        )

    def __iter__(self) -> Relay:
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._ready and self._cancel.is_set():
            self._ready.clear()
            self._failure = self._explained(QueryFailedError("cancelled", "The query was cancelled."))
        if self._ready:
            return self._ready.popleft()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            self._confirm(failure)
            raise failure
        if self._is_open:
            return self._advance()
        self._confirm()
        raise StopIteration

    def _take_all(self) -> None:
        """Count what is here and send the outcome, so that the log writes while Flight sends."""
        try:
            while True:
                self._ready.append(self._advance(confirms=False))
        except StopIteration:
            return
        except BaseException as error:
            self._failure = error  # told after the schema, as in any other stream

    def _advance(self, *, confirms: bool = True) -> pa.RecordBatch:
        """The next batch, counted. At the end the outcome is recorded, or, unless ``confirms``, on its way."""
        try:
            batch, content = next(self._batches)
            self._count(batch, content)
        except StopIteration:
            self._end("ok")
            if confirms:
                self._confirm()
            raise
        except BaseException as error:
            found = self._explained(error)
            self._end("error", found)
            self._confirm(found)
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
        if self._is_open or self._record is not None:
            gone = QueryFailedError("cancelled", "The client gave up, so the query was stopped.")
            self._end("cancelled", gone)
            self._confirm(gone)

    def settle(self) -> None:
        """Called now and then: whoever takes the rows slowly does not put off what the log says. Never raises."""
        record = self._record
        if record is not None and record.is_answered():
            with contextlib.suppress(RecordingFailedError):
                record.wait()

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
        self._today.add(batch.num_rows, batch.nbytes, caps)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        self._digest.update(memoryview(content))
        self._people.add(batch)

    def _reading(self) -> Reading | None:
        sent = self._stream.read_so_far if self._stream is not None else None
        return checked_reading(sent, self._caller.files.columns, self._scratch)

    def _end(self, status: str, error: BaseException | None = None) -> None:
        """Stop the worker's side and put the outcome on its way, once."""
        if not self._is_open:
            return
        self._is_open = False
        if self._stream is not None:
            self._stream.abandon()
        self._today.end()
        outcome = Outcome(
            status=error.status if isinstance(error, QueryFailedError) else status,
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
            self._record = self._recorder.outcome(self._door, self._caller, self._request_id, outcome)
        except BaseException:
            self._worker.leave()
            raise

    def _confirm(self, error: BaseException | None = None) -> None:
        """Wait for the outcome's receipt, once; a failing record wins over a normal end."""
        record, self._record = self._record, None
        if record is None:
            return
        self._worker.leave()
        try:
            record.wait()
        except RecordingFailedError:
            _log.error("outcome-not-recorded", request_id=self._request_id)
            if error is None:
                raise


def _request(statement: Prepared, examined: ExaminedStatement, seconds: int, *, schema_only: bool) -> WorkerRequest:
    parameters = encoded_parameters(statement.parameters)
    return WorkerRequest(statement.sql, seconds, parameters, schema_only, examined.write)


def _cap_sentence(limit: int, unit: str, advice: str) -> str:
    return f"The data permit allows {limit} {unit} for one query; this one has more and was stopped. {advice}"
