"""At its start the front closes what an earlier front left open: query:outcome with status ``lost`` for each
query:intent without an outcome, so that a front that was killed leaves no query of unknown end in the log.

Contract: reads the published log only, in a thread of its own, while the front already serves. It looks again for
``SETTLE_SECONDS``, because the last records of the killed front may be published a little later; records made since
this front's start are never touched. How many rows had been sent is not known, so the outcome carries no counts –
unless the earlier front could not record an outcome and left it on disk (``late_records``): then that one is recorded.
While the daemon is away the looking goes on until it is back.
A small file remembers how far everything is closed, so that a start reads only what came since the start before.
Several fronts may write one log, each under a writer name of its own that stays the same over its starts: a front
closes what stands under its own name (the client's) and nothing else.

Non-goals: two fronts under one name (each would close the other's running queries), the intents of a name that never
starts again (the verifier reports them as open), and a log that cannot be read (the verifier reports it).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from audit.client import AuditClient, AuditUnavailable
from audit.event import AuditEvent, Envelope, EventError
from audit.reader import LogUnreadable, read_checkpoint, read_raw_entries
from enclave.domain.events import EventType
from enclave.files import write_atomically
from enclave.gateway.late_records import LateRecords

_log = structlog.get_logger()
SETTLE_SECONDS = 10.0
_TURN_SECONDS = 0.5
_PAUSE_SECONDS = 5.0
"""After a turn that failed."""
_TURNS = int(SETTLE_SECONDS / _TURN_SECONDS)
LOST = "lost"


class OpenIntents:
    """One per front. ``start`` returns at once; ``turn`` is one look at the log.

    ``mark``: file of this writer alone. ``client``: records the outcomes; its writer name says whose intents these are.
    """

    def __init__(
        self,
        log_dir: Path,
        mark: Path,
        client: AuditClient,
        started_at: datetime | None = None,
        late: LateRecords | None = None,
    ) -> None:
        self._log_dir = log_dir
        self._mark = mark
        self._client = client
        self._late = late
        now = started_at or datetime.now(UTC)
        # records tell the time in whole milliseconds: one of this very millisecond is not older
        self._started_at = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._next = self._published_at_start = 0
        self._open: dict[str, dict[str, Any]] = {}
        self._envelopes: dict[str, Envelope] = {}
        """Under which each query is closed: a record whose receipt was lost must not come twice."""

    def start(self) -> None:
        """Look and close in the background. Call before the first query can be recorded."""
        self._next, self._published_at_start = self._read_mark(), self._published()
        threading.Thread(target=self._run, name="open-intents", daemon=True).start()

    def turn(self) -> int:
        """Read what was published since the last turn and close what is open. Returns how many were closed.

        Raises LogUnreadable, AuditUnavailable.
        """
        for leaf in self._leaves():
            request = leaf.get("request_id")
            if leaf.get("writer") != self._client.writer or not isinstance(request, str):
                continue
            if leaf.get("type") == EventType.QUERY_OUTCOME:
                self._open.pop(request, None)
            elif leaf.get("type") == EventType.QUERY_INTENT and self._is_earlier(leaf):
                self._open[request] = leaf
        closed = 0
        for request, leaf in list(self._open.items()):
            event, envelope = self._end_of(request, leaf)
            self._client.record(event, envelope=envelope)
            del self._open[request]
            closed += 1
        return closed

    def _end_of(self, request: str, leaf: dict[str, Any]) -> tuple[AuditEvent, Envelope]:
        left = self._late.find_earlier(request) if self._late is not None else None
        if left is not None:
            return left.event, left.envelope
        if request not in self._envelopes:
            self._envelopes[request] = self._client.new_envelope()
        return _lost(leaf), self._envelopes[request]

    def _run(self) -> None:
        turns = 0
        while turns < _TURNS:
            try:
                # a daemon that is away may publish records of the earlier front when it comes back
                closed = self.turn() if self._client.is_reachable() else None
                if closed:
                    _log.warning("open-intents-closed", count=closed)
            except (LogUnreadable, AuditUnavailable, EventError, OSError) as error:
                closed = None
                _log.warning("open-intents-not-closed", kind=type(error).__name__)
            turns += closed is not None
            time.sleep(_TURN_SECONDS if closed is not None else _PAUSE_SECONDS)
        self._mark.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._mark, json.dumps({"closed_below": self._published_at_start}).encode(), mode=0o600)
        if self._late is not None:
            self._late.settle_earlier()

    def _leaves(self) -> Iterator[dict[str, Any]]:
        size = self._published()
        for entry in read_raw_entries(self._log_dir, self._next, size):
            self._next += 1
            try:
                leaf = json.loads(entry)
            except ValueError:
                continue
            if isinstance(leaf, dict):
                yield leaf

    def _published(self) -> int:
        try:
            return read_checkpoint(self._log_dir)[1].size
        except LogUnreadable:
            return 0  # nothing has been published yet

    def _read_mark(self) -> int:
        try:
            return int(json.loads(self._mark.read_bytes())["closed_below"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def _is_earlier(self, leaf: dict[str, Any]) -> bool:
        try:
            return datetime.fromisoformat(str(leaf.get("at"))) < self._started_at
        except (ValueError, TypeError):
            return False


def _lost(intent: dict[str, Any]) -> AuditEvent:
    """The outcome of a query nobody saw the end of: the intent's person, project and workspace."""
    return AuditEvent(
        type=EventType.QUERY_OUTCOME,
        actor=str(intent["actor"]),
        project=intent.get("project"),
        workspace=intent.get("workspace"),
        subject=intent.get("subject"),
        request_id=intent["request_id"],
        data={"status": LOST},
    )
