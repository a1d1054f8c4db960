"""A small answer is here as a whole with its schema: its outcome is on its way while the rows leave."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest

from enclave.domain.ids import PersonId, ProjectId
from enclave.domain.permits import QueryCaps
from enclave.gateway.batch_content import BatchRefusedError, read_schema
from enclave.gateway.extract_source import ExtractSource
from enclave.gateway.gate import ExaminedStatement
from enclave.gateway.handover import BatchSender
from enclave.gateway.recording import Outcome, RecordingFailedError
from enclave.gateway.relay import Relay
from enclave.gateway.statements import Prepared
from enclave.gateway.usage import DailyUsage
from enclave.gateway.worker_stream import QueryFailedError, WorkerRequest, WorkerStream

BATCH = pa.record_batch([pa.array([1, 2])], names=["n"])
PERSON = PersonId("u-000000000001")


class Recorder:
    """``waited``: how often somebody waited for the outcome's receipt."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.outcomes: list[Outcome] = []
        self.waited, self._is_away = 0, is_away

    def intent(self, *arguments: Any) -> None:
        arguments[-1]()

    def outcome(self, *arguments: Any) -> SimpleNamespace:
        self.outcomes.append(arguments[-1])
        return SimpleNamespace(wait=self._wait, is_answered=lambda: True)

    def _wait(self) -> None:
        self.waited += 1
        if self._is_away:
            raise RecordingFailedError("away")


class Worker:
    """Has written its answer before the front reads: ``size`` batches, and the end if it ``ends``."""

    def __init__(self, batches: list[pa.RecordBatch], *, ends: bool = True) -> None:
        self._ours, self.end = socket.socketpair()
        sender = BatchSender(self.end, BATCH.schema, nullcontext)
        for batch in batches:
            sender.send(batch)
        if ends:
            sender.end()
        else:
            sender._flush()
        self.running = 0

    def enter(self, maximum: int) -> None:
        self.running += 1

    def leave(self) -> None:
        self.running -= 1

    def find_line(self, source: ExtractSource) -> None:
        return

    def open_stream(
        self, source: ExtractSource, request: WorkerRequest, is_cancelled: Callable[[], bool]
    ) -> WorkerStream:
        return WorkerStream(self._ours, request, is_cancelled, cast(Any, SimpleNamespace(kill=lambda: None)))


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Relay]]:
    workers: list[Worker] = []

    def start(worker: Worker, recorder: Recorder, caps: QueryCaps = QueryCaps()) -> Relay:  # noqa: B008
        workers.append(worker)
        caller = SimpleNamespace(
            files=SimpleNamespace(permit=SimpleNamespace(caps=caps), person_columns=frozenset(), columns={}),
            source=ExtractSource(Path("/extract")),
            record=SimpleNamespace(id=ProjectId("heart-study")),
            person=SimpleNamespace(id=PERSON),
        )
        usage = DailyUsage(tmp_path)
        relay = Relay(cast(Any, None), cast(Any, caller), cast(Any, recorder), cast(Any, worker), usage, lambda: False)
        relay.begin(Prepared(PERSON, "SELECT n", 0.0), ExaminedStatement((), "0" * 64))
        return relay

    yield start
    for worker in workers:
        worker.end.close()


Begin = Callable[..., Relay]


def test_the_outcome_is_on_its_way_before_the_rows_and_confirmed_before_the_end(begin: Begin) -> None:
    recorder, worker = Recorder(), Worker([BATCH, BATCH])
    relay = begin(worker, recorder)
    (outcome,) = recorder.outcomes
    assert (outcome.status, outcome.rows, recorder.waited) == ("ok", 4, 0)
    assert worker.running == 1  # its rows are not with the reader yet
    assert [next(relay).num_rows, next(relay).num_rows] == [2, 2]
    assert recorder.waited == 0
    with pytest.raises(StopIteration):
        next(relay)
    relay.close()
    assert (recorder.waited, worker.running, len(recorder.outcomes)) == (1, 0, 1)


def test_an_answer_that_is_not_here_to_its_end_is_not_looked_ahead_into(begin: Begin) -> None:
    recorder, worker = Recorder(), Worker([BATCH], ends=False)
    relay = begin(worker, recorder)
    assert recorder.outcomes == []
    assert next(relay).num_rows == 2
    relay.close()
    assert [outcome.status for outcome in recorder.outcomes] == ["cancelled"]
    assert (recorder.waited, worker.running) == (1, 0)


def test_the_stream_ends_with_an_error_when_its_outcome_cannot_be_recorded(begin: Begin) -> None:
    recorder, worker = Recorder(is_away=True), Worker([BATCH])
    relay = begin(worker, recorder)
    assert next(relay).num_rows == 2
    with pytest.raises(RecordingFailedError):
        next(relay)
    assert worker.running == 0


def test_a_reader_who_leaves_has_the_outcome_confirmed_once(begin: Begin) -> None:
    recorder, worker = Recorder(is_away=True), Worker([BATCH])
    relay = begin(worker, recorder)
    relay.settle()
    relay.close()
    relay.close()
    assert (recorder.waited, worker.running, len(recorder.outcomes)) == (2, 0, 1)


def test_whoever_is_withdrawn_before_the_rows_leave_gets_none(begin: Begin) -> None:
    recorder, worker = Recorder(), Worker([BATCH])
    relay = begin(worker, recorder)
    relay.withdraw("Your access has been revoked.")
    with pytest.raises(QueryFailedError, match="revoked") as found:
        next(relay)
    assert found.value.status == "revoked"
    assert (recorder.waited, worker.running) == (1, 0)


def test_a_cap_ends_a_small_answer_after_its_schema_as_it_ends_any_other(begin: Begin) -> None:
    recorder, worker = Recorder(), Worker([BATCH, BATCH])
    relay = begin(worker, recorder, QueryCaps(rows=3))
    assert next(relay).num_rows == 2
    with pytest.raises(QueryFailedError, match="3 rows"):
        next(relay)
    with pytest.raises(StopIteration):
        next(relay)
    assert [(outcome.status, outcome.rows) for outcome in recorder.outcomes] == [("cap", 2)]
    assert (recorder.waited, worker.running) == (1, 0)


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\0" * 8, b"\xff\xff\xff\xff\x10\0\0\0" + b"\x01" * 16])
def test_what_is_no_schema_is_refused(content: bytes) -> None:
    with pytest.raises(BatchRefusedError):
        read_schema(pa.py_buffer(content))


def test_a_batch_is_no_schema() -> None:
    assert read_schema(BATCH.schema.serialize()) == BATCH.schema
    with pytest.raises(BatchRefusedError, match="expected a schema"):
        read_schema(BATCH.serialize())
