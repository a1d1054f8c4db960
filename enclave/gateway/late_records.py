"""Records the audit log could not take when they were due: kept, and made as soon as it answers again.

Contract: ``keep`` never raises. Each record is sent again under the envelope it was first sent under, and the log keeps
one envelope once – so a record whose receipt alone was lost does not come twice. Records go out in the order in which
they were kept: an intent before its outcome. One made late says so: ``late`` is true and ``happened_at`` is the time it
was due; the log's own time is that of the recording. It is late also when rows had been sent: their reader got an error
instead of the end.

An outcome lies on disk, too, one file per query beside the daily usage, so that a front that is started again finds it
(``open_intents`` closes the query with it, or drops it when the log holds the outcome already). The file holds what
the leaf holds and nothing of the payload: no statement and no column's name. Everything else – intents whose receipt is
missing, refusals – is kept in memory alone: nothing ran because of them.

A record that the log refuses for good is set aside (``set_aside``), so that it neither holds up the others nor is lost.

Non-goal: letting a query run without the log. Whoever asks meanwhile gets an error.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from audit.client import AuditClient, AuditUnavailable
from audit.event import (
    AuditEvent,
    Envelope,
    EventError,
    check_envelope,
    event_fields,
    event_from_fields,
    timestamp,
)
from enclave.domain.events import EventType
from enclave.files import write_atomically
from enclave.gateway.set_aside import CANNOT_BE_SENT, is_refused_for_good, set_aside

_log = structlog.get_logger()
MOST_RECORDS = 10_000
"""So many are kept in memory; outcomes beyond them wait on disk for the next start."""
MOST_PAYLOAD = 64 << 20
"""Characters of payloads kept in memory; records beyond them are made without."""
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class LateRecord:
    """An event and what it was first sent under."""

    event: AuditEvent
    envelope: Envelope


class LateRecords:
    """One per writer of the log (a front, the clusters' service); thread-safe. ``folder`` is this writer's alone."""

    def __init__(self, folder: Path, client: AuditClient, clock: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._folder, self._client, self._clock = folder, client, clock
        self._lock = threading.Lock()
        self._kept: deque[LateRecord] = deque()
        self._characters = 0
        self._is_running = False
        self._earlier = self._read_folder()

    def keep(self, event: AuditEvent, envelope: Envelope) -> None:
        """Make this record as soon as the log answers. Never raises."""
        happened_at = timestamp(self._clock())
        item = LateRecord(replace(event, data={**event.data, "late": True, "happened_at": happened_at}), envelope)
        if _is_outcome(event):
            self._write(item)
        with self._lock:
            if len(self._kept) >= MOST_RECORDS:
                _log.error("late-records-full", event_type=str(event.type))
                return
            size = len(str(event.payload or ""))
            if self._characters + size > MOST_PAYLOAD:
                item = replace(item, event=replace(item.event, payload=None))
            else:
                self._characters += size
            self._kept.append(item)
            if not self._is_running:
                self._is_running = _start(self._run)

    def turn(self) -> int:
        """Send what is kept; how many records were made or set aside.

        Raises AuditUnavailable at the first that cannot be made now, OSError when it cannot be set aside.
        """
        made = 0
        while self._kept:
            item = self._kept[0]
            self.make(item.event, item.envelope)
            self._forget(item)
            made += 1
        return made

    def find_earlier(self, request_id: str) -> LateRecord | None:
        """The outcome that a front before this one could not record."""
        return self._earlier.get(request_id)

    def make(self, event: AuditEvent, envelope: Envelope) -> bool:
        """Record it now. False: the log refuses it for good, so it was set aside. Raises AuditUnavailable, OSError."""
        try:
            self._client.record(event, envelope=envelope)
        except (AuditUnavailable, *CANNOT_BE_SENT) as error:
            if not is_refused_for_good(error):
                raise
            set_aside(self._folder, self._client, event, envelope, error)
            return False
        return True

    def make_earlier(self, request_id: str) -> bool:
        """``make`` for what ``find_earlier`` found; one that was set aside is found no more."""
        item = self._earlier[request_id]
        is_made = self.make(item.event, item.envelope)
        if not is_made:
            del self._earlier[request_id]
            self._remove(request_id)
        return is_made

    def settle_earlier(self) -> None:
        """The log holds an outcome for each query of earlier fronts: their files have done their work."""
        for request_id in list(self._earlier):
            del self._earlier[request_id]
            self._remove(request_id)

    def _run(self) -> None:
        while True:
            try:
                made = self.turn()
            except AuditUnavailable:
                time.sleep(_PAUSE_SECONDS)
                continue
            except Exception as error:  # this thread must live on, or nothing would be made up for any more
                _log.error("late-records-not-made", kind=type(error).__name__)
                time.sleep(_PAUSE_SECONDS)
                continue
            if made:
                _log.warning("late-records-made", count=made)
            with self._lock:
                if not self._kept:
                    self._is_running = False
                    return

    def _forget(self, item: LateRecord) -> None:
        with self._lock:
            self._kept.popleft()
            self._characters -= len(str(item.event.payload or ""))
        if _is_outcome(item.event):
            self._remove(str(item.event.request_id))

    def _remove(self, request_id: str) -> None:
        """A file that stays does no harm: the log keeps its record once, and the next start drops it."""
        try:
            self._path(request_id).unlink(missing_ok=True)
        except OSError as error:
            _log.error("late-record-not-removed", kind=type(error).__name__)

    def _path(self, request_id: str) -> Path:
        return self._folder / f"{request_id}.json"

    def _write(self, item: LateRecord) -> None:
        content = {"event": event_fields(replace(item.event, payload=None)), "envelope": asdict(item.envelope)}
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(self._path(str(item.event.request_id)), json.dumps(content).encode(), mode=0o600)
        except (OSError, EventError) as error:
            _log.error("late-record-not-written", kind=type(error).__name__)

    def _read_folder(self) -> dict[str, LateRecord]:
        found = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                content = json.loads(path.read_bytes())
                envelope = Envelope(**content["envelope"])
                check_envelope(envelope)
                found[path.stem] = LateRecord(event_from_fields(content["event"]), envelope)
            except (OSError, ValueError, KeyError, TypeError) as error:  # EventError is a ValueError
                _log.error("late-record-unreadable", kind=type(error).__name__)
        return found


def _start(run: Callable[[], None]) -> bool:
    """False when there is no room for one more thread: the next record that is kept tries again."""
    try:
        threading.Thread(target=run, name="late-records", daemon=True).start()
    except (RuntimeError, MemoryError):
        return False
    return True


def _is_outcome(event: AuditEvent) -> bool:
    return event.type == EventType.QUERY_OUTCOME and event.request_id is not None
