"""At its start the front closes what an earlier front left open: query:outcome with status ``lost`` for each
query:intent without an outcome, so that a front that was killed leaves no query of unknown end in the log.

Contract: reads the published log only, in a thread of its own, while the front already serves. It looks again for
``SETTLE_SECONDS``, because the last records of the killed front may be published a little later. Records of this start
are never touched (told by ``boot``, not by a clock: the log's may be another machine's, and clocks are set back). How
many rows had been sent is not known, so the outcome carries no counts – unless the earlier front could not record an
outcome and left it on disk (``late_records``): then that one is recorded, or set aside when the log refuses it for
good. While the daemon is away the looking goes on until it is back.
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
from pathlib import Path
from typing import Any

import structlog

from audit.client import AuditClient
from audit.event import AuditEvent, Envelope
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

    def __init__(self, log_dir: Path, mark: Path, client: AuditClient, late: LateRecords) -> None:
        self._log_dir = log_dir
        self._mark = mark
        self._client = client
        self._late = late
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

        Raises LogUnreadable, AuditUnavailable, OSError.
        """
        for leaf in self._leaves():
            request = leaf.get("request_id")
            if leaf.get("writer") != self._client.writer or not isinstance(request, str):
                continue
            if leaf.get("type") == EventType.QUERY_OUTCOME:
                self._open.pop(request, None)
            elif leaf.get("type") == EventType.QUERY_INTENT and leaf.get("boot") != self._client.boot:
                self._open[request] = leaf
        closed = 0
        for request, leaf in list(self._open.items()):
            if self._late.find_earlier(request) is None or not self._late.make_earlier(request):
                self._client.record(_lost(leaf), envelope=self._envelope_for(request))
            del self._open[request]
            closed += 1
        return closed

    def _envelope_for(self, request: str) -> Envelope:
        if request not in self._envelopes:
            self._envelopes[request] = self._client.new_envelope()
        return self._envelopes[request]

    def _run(self) -> None:
        turns = 0
        while turns < _TURNS:
            try:
                # a daemon that is away may publish records of the earlier front when it comes back
                closed = self.turn() if self._client.is_reachable() else None
                if closed:
                    _log.warning("open-intents-closed", count=closed)
            except Exception as error:  # this thread must live on, or nothing would be closed before the next start
                closed = None
                _log.warning("open-intents-not-closed", kind=type(error).__name__)
            turns += closed is not None
            time.sleep(_TURN_SECONDS if closed is not None else _PAUSE_SECONDS)
        try:
            self._mark.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._mark, json.dumps({"closed_below": self._published_at_start}).encode(), mode=0o600)
        except OSError as error:  # the next start reads from the old mark on
            _log.error("mark-not-written", kind=type(error).__name__)
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
