"""The line to a worker that is found while the intent is written: nothing is asked over it before the log has it."""

from __future__ import annotations

import enum
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from enclave.domain.ids import PersonId, ProjectId
from enclave.domain.permits import QueryCaps, TableRule
from enclave.domain.person_rules import PersonRules
from enclave.gateway.checked_extracts import CheckedExtracts
from enclave.gateway.extract_source import ExtractSource
from enclave.gateway.frames import ERROR, QUERY, receive_frame, send_frame
from enclave.gateway.gate import ExaminedStatement
from enclave.gateway.person_worker import PersonWorker, WorkerPlace
from enclave.gateway.recording import RecordingFailedError
from enclave.gateway.relay import Relay
from enclave.gateway.scratch_names import ScratchKind, ScratchWrite
from enclave.gateway.statements import Prepared
from enclave.gateway.usage import DailyUsage
from enclave.gateway.worker_process import WorkerPlan
from enclave.gateway.worker_stream import QueryFailedError, WorkerRequest

SOURCE = ExtractSource(Path("/extract"))
REQUEST = WorkerRequest("SELECT 1", 5)


class Process:
    """A worker's process whose connections end here. ``takes``: whether it accepts one at once."""

    memory_sentence = ""

    def __init__(self, *, takes: bool = True) -> None:
        self.plan = WorkerPlan(SOURCE.folder, Path("/socket"), 1)
        self.running, self.takes = True, takes
        self.ends: list[socket.socket] = []

    def is_running(self) -> bool:
        return self.running

    def connect(self, seconds: float = 10) -> socket.socket:
        if seconds == 0 and not self.takes:
            raise BlockingIOError
        ours, theirs = socket.socketpair()
        self.ends.append(theirs)
        return ours

    def wait_for_end(self, seconds: float) -> int | None:
        return 0

    def kill(self) -> None:
        self.running = False
        for end in self.ends:
            end.close()


@pytest.fixture
def process() -> Iterator[Process]:
    found = Process()
    yield found
    found.kill()


def worker(process: Process | None) -> PersonWorker:
    key = (ProjectId("heart-study"), PersonId("u-000000000001"))
    place = WorkerPlace(key, Path("/socket"), Path("/scratch"), 1)
    found = PersonWorker(place, CheckedExtracts(), lambda _: None, lambda _: None)
    found._process = cast(Any, process)
    return found


def asked(end: socket.socket) -> bool:
    """Whether a query came before the end."""
    end.settimeout(60)
    frame = receive_frame(end)
    return frame is not None and frame[0] == QUERY


def test_a_line_found_early_is_the_one_the_query_goes_over(process: Process) -> None:
    person = worker(process)
    line = person.find_line(SOURCE)
    stream = person.open_stream(SOURCE, REQUEST, lambda: False, line)
    assert len(process.ends) == 1
    assert asked(process.ends[0])
    process.ends[0].close()
    with pytest.raises(QueryFailedError):
        stream.read_schema()


def test_a_line_to_a_worker_that_was_replaced_is_not_used(process: Process) -> None:
    person, successor = worker(process), Process()
    line = person.find_line(SOURCE)
    person._process = cast(Any, successor)
    stream = person.open_stream(SOURCE, REQUEST, lambda: False, line)
    assert not asked(process.ends[0])
    assert asked(successor.ends[0])
    successor.kill()
    with pytest.raises(QueryFailedError):
        stream.read_schema()


@pytest.mark.parametrize("case", ["none runs", "it has ended", "another extract", "it is being started", "it is busy"])
def test_nothing_is_waited_for(process: Process, case: str) -> None:
    person = worker(None if case == "none runs" else process)
    process.running, process.takes = case != "it has ended", case != "it is busy"
    source = ExtractSource(Path("/other")) if case == "another extract" else SOURCE
    if case == "it is being started":
        with person._lock:
            assert person.find_line(source) is None
    assert case == "it is being started" or person.find_line(source) is None


@pytest.mark.parametrize(
    ("source", "streams", "stays"),
    [
        (SOURCE, 0, True),
        (ExtractSource(Path("/rebuilt")), 0, False),
        (ExtractSource(SOURCE.folder, PersonRules((TableRule((), "visit", (), "age > 17"),))), 0, False),
        (ExtractSource(Path("/rebuilt")), 1, True),
    ],
    ids=["the same", "another extract", "other rules", "something runs"],
)
def test_a_worker_for_something_else_goes_before_anybody_asks(
    process: Process, source: ExtractSource, streams: int, stays: bool
) -> None:
    """It may hold copies of rows that its person may not see any more, or that are not in the extract any more."""
    person = worker(process)
    for _ in range(streams):
        person.enter()
    person.stop_unless_for(source)
    assert process.running is stays


class Recorder:
    """``intent`` looks for the line as the real one does, then fails or not."""

    def __init__(self, *, fails: bool, look: Callable[[], None]) -> None:
        self._fails, self._look = fails, look
        self.on_record: Callable[[], None] = lambda: None

    def intent(self, *arguments: Any) -> None:
        arguments[-1]()
        self._look()
        self.on_record()
        if self._fails:
            raise RecordingFailedError("away")

    def outcome(self, *arguments: Any) -> SimpleNamespace:
        return SimpleNamespace(wait=lambda: None)


@pytest.mark.parametrize("fails", [True, False])
def test_a_worker_hears_of_a_query_only_after_its_intent_is_durable(
    process: Process, tmp_path: Path, fails: bool
) -> None:
    def nothing_yet() -> None:
        (end,) = process.ends
        end.setblocking(False)
        with pytest.raises(BlockingIOError):
            end.recv(1)
        end.setblocking(True)

    permit = SimpleNamespace(caps=QueryCaps())
    files = SimpleNamespace(permit=permit, person_columns=frozenset(), columns={})
    caller = SimpleNamespace(
        files=files,
        source=SOURCE,
        record=SimpleNamespace(id=ProjectId("heart-study")),
        person=SimpleNamespace(id=PersonId("u-000000000001")),
    )
    recorder = Recorder(fails=fails, look=nothing_yet)
    person = worker(process)
    relay = Relay(cast(Any, None), cast(Any, caller), cast(Any, recorder), person, DailyUsage(tmp_path), lambda: False)
    statement, examined = Prepared(caller.person.id, "SELECT 1", 0.0), ExaminedStatement((), "0" * 64)
    heard: list[bool] = []

    def hear_and_hang_up() -> None:
        heard.append(asked(process.ends[0]))
        process.kill()

    thread = threading.Thread(target=hear_and_hang_up)
    recorder.on_record = thread.start
    with pytest.raises(RecordingFailedError if fails else QueryFailedError):
        relay.begin(statement, examined)
    thread.join(60)
    assert heard == [not fails]
    assert len(process.ends) == 1


class Moment(enum.Enum):
    """When a worker ends under a query."""

    BEFORE_IT_IS_SENT = enum.auto()
    BEFORE_IT_IS_READ = enum.auto()
    WHEN_IT_IS_HALF_READ = enum.auto()
    ONCE_IT_IS_READ = enum.auto()


class Successor(Process):
    """Answers at once, with an error that names it; ``stays`` False: ends before it has read anything."""

    def __init__(self, *, stays: bool = True) -> None:
        super().__init__()
        self.stays = stays

    def connect(self, seconds: float = 10) -> socket.socket:
        ours = super().connect(seconds)
        if self.stays:
            send_frame(self.ends[-1], ERROR, b'{"status": "error", "message": "from the successor"}')
        else:
            self.ends[-1].close()
        return ours


WRITE = WorkerRequest("", 5, write=ScratchWrite("t", ScratchKind.TABLE, "CREATE TABLE t AS SELECT 1"))


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("asked_for", [REQUEST, WRITE], ids=["reads", "writes"])
def test_a_query_goes_to_a_new_worker_when_the_old_one_has_run_nothing_of_it(
    process: Process, monkeypatch: pytest.MonkeyPatch, moment: Moment, asked_for: WorkerRequest
) -> None:
    person, successor = worker(process), Successor()
    monkeypatch.setattr(person, "_start", lambda _: successor)
    line = person.find_line(SOURCE)
    (end,) = process.ends
    if moment is Moment.BEFORE_IT_IS_SENT:
        end.close()
    stream = person.open_stream(SOURCE, asked_for, lambda: False, line)
    if moment is Moment.WHEN_IT_IS_HALF_READ:
        end.recv(5)
    elif moment is Moment.ONCE_IT_IS_READ:
        assert asked(end)
    process.kill()
    may_have_run = moment is Moment.ONCE_IT_IS_READ
    with pytest.raises(QueryFailedError, match="ended while this query ran" if may_have_run else "from the successor"):
        stream.read_schema()
    assert len(successor.ends) == (0 if may_have_run else 1)
    if not may_have_run:
        assert asked(successor.ends[0])
    successor.kill()


@pytest.mark.parametrize(("is_cancelled", "found"), [(False, "ended while this query ran"), (True, "gave up")])
def test_it_goes_to_one_new_worker_at_most_and_only_while_somebody_waits(
    process: Process, monkeypatch: pytest.MonkeyPatch, is_cancelled: bool, found: str
) -> None:
    person, successor = worker(process), Successor(stays=False)
    monkeypatch.setattr(person, "_start", lambda _: successor)
    stream = person.open_stream(SOURCE, REQUEST, lambda: is_cancelled)
    process.kill()
    with pytest.raises(QueryFailedError, match=found):
        stream.read_schema()
    assert len(successor.ends) == (0 if is_cancelled else 1)
