"""What one person has running and has run in one project, for that person's own eyes, kept in memory by the front.

Contract: ``show`` lists the caller's queries of this project, newest first: all that run and the last ``KEPT`` that
ended. Nobody sees a query of somebody else, not even of the same project. A front that restarts has forgotten them.
Non-goal: the record of who asked what; that is the audit log, and ``id`` is the request id it carries.
"""

from __future__ import annotations

import threading
import time
import weakref
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from enclave.domain.ids import PersonId, ProjectId
from enclave.gateway.admission import Caller
from enclave.gateway.recording import Outcome
from enclave.gateway.relay import Relay

KEPT = 50
SHOWN_CHARACTERS = 1000
_Key = tuple[ProjectId, PersonId]


@dataclass
class OwnQuery:
    """One query from its start; ``end`` closes it. It does not keep its relay alive (Flight ends a query by that)."""

    id: str
    statement: str
    relay: weakref.ref[Relay]
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = field(default_factory=time.monotonic)
    outcome: Outcome | None = None

    def end(self, outcome: Outcome) -> None:
        """The relay has recorded this outcome, or tried to."""
        self.outcome = outcome

    def as_json(self) -> dict[str, Any]:
        """``status`` is ``running`` or what the log's outcome says; ``rows`` are those sent so far."""
        relay, outcome = self.relay(), self.outcome
        status = outcome.status if outcome else "running" if relay else "lost"
        running_ms = int((time.monotonic() - self.began) * 1000)
        return {
            "id": self.id,
            "statement": self.statement,
            "started_at": self.started_at.isoformat(timespec="seconds"),
            "duration_ms": outcome.duration_ms if outcome else running_ms,
            "rows": outcome.rows if outcome else relay.rows if relay else 0,
            "status": status,
        }


class OwnQueries:
    """One per front; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queries: dict[_Key, list[OwnQuery]] = {}

    def add(self, caller: Caller, sql: str, relay: Relay) -> OwnQuery:
        """This query is about to start."""
        query = OwnQuery(relay.request_id, sql[:SHOWN_CHARACTERS], weakref.ref(relay))
        relay.on_end = query.end
        with self._lock:
            held = self._queries.setdefault(_key(caller), [])
            held.append(query)
            _drop_surplus(held)
        return query

    def forget(self, caller: Caller, query: OwnQuery) -> None:
        """It never began: nothing of it is in the log as a query either."""
        with self._lock:
            held = self._queries.get(_key(caller), [])
            if query in held:
                held.remove(query)

    def show(self, caller: Caller) -> list[dict[str, Any]]:
        """The caller's own, newest first."""
        with self._lock:
            held = list(self._queries.get(_key(caller), ()))
        return [query.as_json() for query in reversed(held)]

    def find_relay(self, caller: Caller, query_id: str) -> Relay | None:
        """The caller's running query with this id; None when it has ended, is unknown, or is somebody else's."""
        with self._lock:
            held = list(self._queries.get(_key(caller), ()))
        return next((query.relay() for query in held if query.id == query_id and query.outcome is None), None)


def _key(caller: Caller) -> _Key:
    return caller.record.id, caller.person.id


def _drop_surplus(held: list[OwnQuery]) -> None:
    """Ended ones beyond ``KEPT`` go, the oldest first."""
    ended = [query for query in held if query.outcome is not None or query.relay() is None]
    for query in ended[: max(0, len(ended) - KEPT)]:
        held.remove(query)
