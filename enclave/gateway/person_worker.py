"""The worker of one person in one project: started on demand, replaced when dead, asked for streams and names."""

from __future__ import annotations

import base64
import json
import math
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from enclave.domain.ids import PersonId, ProjectId
from enclave.gateway.checked_extracts import CheckedExtracts, take_stamp
from enclave.gateway.extract_source import ExtractSource
from enclave.gateway.frames import DONE, QUERY, receive_frame, send_frame, until
from enclave.gateway.scratch_names import NO_SCRATCH, ScratchNames, ScratchObject, objects_from_json
from enclave.gateway.scratch_store import LOCK_SECONDS, SCRATCH_FILE
from enclave.gateway.shared_files import is_locked
from enclave.gateway.worker_process import WorkerLimits, WorkerPlan, WorkerProcess, WorkerUnavailableError
from enclave.gateway.worker_stream import QueryFailedError, WorkerRequest, WorkerStream

MAXIMUM_STREAMS = 8
"""Running queries of one person in one project: a stalled reader holds up to three batches, 27 MB (``handover``)."""
_ANSWER_SECONDS = 30.0
_END_SECONDS = 1.0
_HELD_ELSEWHERE_SECONDS = 3.0
WorkerKey = tuple[ProjectId, PersonId]


@dataclass(frozen=True)
class WorkerPlace:
    """Where one worker lives and what it may use."""

    key: WorkerKey
    socket_path: Path
    scratch: Path
    uid: int
    limits: WorkerLimits = field(default_factory=WorkerLimits)


@dataclass(frozen=True)
class ScratchTable:
    """A table or view of the person's own, for catalogue answers. A view that no longer fits has no columns."""

    item: ScratchObject
    schema: pa.Schema


@dataclass
class WorkerLine:
    """A connection to a worker, before it is asked anything."""

    process: WorkerProcess
    peer: socket.socket

    def close(self) -> None:
        """Hang up; the worker goes on to the next."""
        self.peer.close()


class PersonWorker:
    """Thread-safe. ``admit`` is asked before a start and may refuse; ``on_restart`` hears of a worker that died."""

    def __init__(
        self,
        place: WorkerPlace,
        checked: CheckedExtracts,
        admit: Callable[[PersonWorker], None],
        on_restart: Callable[[ProjectId], None],
    ) -> None:
        self.key = place.key
        self.place = place
        self.is_started = False
        """True from admission to the end of the process; kept by the pool's count."""
        self._checked = checked
        self._admit = admit
        self._on_restart = on_restart
        self._lock = threading.Lock()
        self._process: WorkerProcess | None = None
        self._streams = 0
        self._writes = 0
        self._is_changing = False
        self._names: ScratchNames | None = None
        self.used_at = time.monotonic()
        self._ended_at = -math.inf

    def find_line(self, source: ExtractSource) -> WorkerLine | None:
        """A line to the worker if one runs for this source and takes it at once; waits for nothing, asks nothing.

        Give it to ``open_stream`` or close it. None: ``open_stream`` finds or starts the worker.
        """
        if not self._lock.acquire(blocking=False):
            return None  # it is being started or stopped
        try:
            process = self._process
            if process is None or not process.is_running() or not _is_for(process.plan, source):
                return None
            self.used_at = time.monotonic()
        finally:
            self._lock.release()
        try:
            return WorkerLine(process, process.connect(seconds=0))
        except OSError:
            return None

    def open_stream(
        self,
        source: ExtractSource,
        request: WorkerRequest,
        is_cancelled: Callable[[], bool],
        line: WorkerLine | None = None,
    ) -> WorkerStream:
        """Send a query to the worker, starting it when needed. Raises QueryFailedError."""
        if line is not None and self._is_current(line):
            process, peer = line.process, line.peer
        else:
            process, peer = self._connect(source)
        if request.write is not None:
            with self._lock:
                self._writes += 1
                self._is_changing, self._names = True, None
        return WorkerStream(peer, request, is_cancelled, process, lambda: self._connect(source))

    def table_schemas(self, source: ExtractSource) -> dict[str, pa.Schema]:
        """Arrow schema of each table of the extract. Raises QueryFailedError."""
        return _schemas(self._ask(source, {"tables": True}))

    def scratch_names(self, source: ExtractSource) -> ScratchNames:
        """What the person keeps; remembered until something changes. Raises QueryFailedError.

        A worker is not started for somebody who has never kept anything. One that runs without scratch, because a
        worker of another front had the file open, is started anew once that one has ended and nothing runs in it.
        """
        with self._lock:
            self._leave_when_scratch_is_free()
            names, writes, running = self._names, self._writes, self._process is not None
        if not running and not (self.place.scratch / SCRATCH_FILE).exists():
            return NO_SCRATCH
        if names is not None:
            return names
        answer = self._ask(source, {"scratch": True})
        if answer["problem"]:
            raise QueryFailedError("error", answer["problem"])
        found = objects_from_json(answer["objects"])
        with self._lock:
            if writes == self._writes and not self._is_changing:
                self._names = found
        return found

    def scratch_tables(self, source: ExtractSource) -> list[ScratchTable]:
        """Tables and views the person keeps, with their columns; none without scratch. Raises QueryFailedError."""
        if self._is_without_scratch() or not self.scratch_names(source).objects:
            return []
        answer = self._ask(source, {"scratch": True, "schemas": True})
        schemas = _schemas(answer["schemas"])
        objects = objects_from_json(answer["objects"]).objects
        return [ScratchTable(item, schemas[item.name]) for item in objects if item.name in schemas]

    def enter(self, maximum: int = MAXIMUM_STREAMS) -> None:
        """Count one more running query. Raises QueryFailedError when there are too many."""
        with self._lock:
            if self._streams >= maximum:
                raise QueryFailedError(
                    "cap", f"You already run {maximum} queries in this project. Wait until one has ended."
                )
            self._streams += 1

    def leave(self) -> None:
        """Count one query less."""
        with self._lock:
            self._streams -= 1
            if self._is_changing:
                self._names, self._is_changing = None, self._streams > 0
            self.used_at = time.monotonic()

    def stop_if_idle(self, now: float, seconds: float) -> bool:
        """Stop the worker when nothing ran for so long; True when none runs afterwards."""
        return self._stop_if(lambda _: now - self.used_at > seconds)

    def stop_unless_for(self, source: ExtractSource) -> None:
        """Stop the worker when nothing runs and it was started for something else."""
        self._stop_if(lambda process: not _is_for(process.plan, source))

    def _stop_if(self, is_due: Callable[[WorkerProcess], bool]) -> bool:
        """Waits for nobody who uses or starts it just now. True when none runs afterwards."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._process is not None and self._streams == 0 and is_due(self._process):
                self._end()
            return not self.is_started and self._streams == 0
        finally:
            self._lock.release()

    def stop(self) -> None:
        """End the process now; its streams end with an error."""
        with self._lock:
            self._end()

    def _is_without_scratch(self) -> bool:
        with self._lock:
            self._leave_when_scratch_is_free()
            return self._process is not None and self._process.is_scratch_held

    def _leave_when_scratch_is_free(self) -> None:
        waits = self._process is not None and self._process.is_scratch_held and self._streams == 0
        if waits and not is_locked(self.place.scratch / SCRATCH_FILE):
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._ended_at = time.monotonic()
        self._process, self._names, self.is_started = None, None, False

    def _is_current(self, line: WorkerLine) -> bool:
        """Its worker is still this person's; else the line is closed."""
        with self._lock:
            if line.process is self._process and line.process.is_running():
                return True
        line.close()
        return False

    def _ask(self, source: ExtractSource, question: dict[str, Any]) -> dict[str, Any]:
        """A question changes nothing: one that a worker ended over is asked once more."""
        process, peer = self._connect(source)
        frame = _answer(peer, question)
        if frame is None and process.wait_for_end(_END_SECONDS) is not None:
            frame = _answer(self._connect(source)[1], question)
        if frame is None or frame[0] != DONE:
            raise QueryFailedError("error", "The project's worker does not answer. Try again.")
        answer: dict[str, Any] = json.loads(frame[1])
        return answer

    def _connect(self, source: ExtractSource) -> tuple[WorkerProcess, socket.socket]:
        for _ in range(2):
            process = self._running(source)
            try:
                return process, process.connect()
            except OSError:
                process.kill()
        raise QueryFailedError("error", "The project's worker does not stay up. Tell the administrator.")

    def _running(self, source: ExtractSource) -> WorkerProcess:
        with self._lock:
            self.used_at = time.monotonic()
            process = self._process
            if process is not None and process.is_running() and _is_for(process.plan, source):
                return process
            if process is not None:
                died = not process.is_running()
                self._end()
                if died:
                    self._on_restart(self.key[0])
            self._admit(self)
            try:
                self._process = self._start(source)
            except WorkerUnavailableError as error:
                raise QueryFailedError("error", str(error)) from error
            finally:
                self.is_started = self._process is not None
            return self._process

    def _start(self, source: ExtractSource) -> WorkerProcess:
        place, folder, stamp = self.place, source.folder, take_stamp(source.folder)
        plan = WorkerPlan(folder, place.socket_path, place.uid, limits=place.limits)
        plan = replace(plan, spill=place.socket_path.parent / "spill", scratch=place.scratch, rules=source.rules)
        if time.monotonic() - self._ended_at > LOCK_SECONDS:
            # whoever holds the scratch file is no worker of this front that is just ending
            plan = replace(plan, scratch_wait=_HELD_ELSEWHERE_SECONDS)
        process = WorkerProcess.start(replace(plan, is_checked=self._checked.is_checked(folder, stamp)))
        self._checked.keep(folder, stamp)
        return process


def _answer(peer: socket.socket, question: dict[str, Any]) -> tuple[bytes, bytearray] | None:
    """None: the worker ended, or took too long."""
    with peer:
        try:
            send_frame(peer, QUERY, json.dumps(question).encode())
            return receive_frame(peer, until(time.monotonic() + _ANSWER_SECONDS))
        except OSError:
            return None


def _is_for(plan: WorkerPlan, source: ExtractSource) -> bool:
    return plan.folder == source.folder and plan.rules == source.rules


def _schemas(content: dict[str, str]) -> dict[str, pa.Schema]:
    return {name: pa.ipc.read_schema(pa.py_buffer(base64.b64decode(raw))) for name, raw in content.items()}
