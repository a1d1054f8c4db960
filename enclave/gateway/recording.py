"""What the gateway writes to the audit log. Literals, parameters and refusal sentences go only into the payload.

Invariants 1 and 8 of DESIGN.md: ``intent`` returns only when the record is durable, ``outcome`` gives what the stream
waits for before its end; both raise RecordingFailedError otherwise, so that nothing is released without them. What
could not be recorded is made up for when the log answers again (``late_records``). SATRE 2.2.14.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import structlog

from audit.client import AuditClient, AuditUnavailable, PendingRecord
from audit.event import AuditEvent
from enclave.domain.events import EventType
from enclave.domain.ids import ProjectId
from enclave.gateway.admission import Caller, CallRefusedError, Door
from enclave.gateway.gate import ExaminedStatement
from enclave.gateway.late_records import LateRecords
from enclave.gateway.record_payloads import columns_payload, statement_payload, tables_payload
from enclave.gateway.scans import Reading, capped
from enclave.gateway.set_aside import CANNOT_BE_SENT, is_refused_for_good
from enclave.gateway.statements import Prepared
from enclave.tokens import DoorKind, TokenClaims

_log = structlog.get_logger()
UNKNOWN_ACTOR = "unknown"
_RECEIPT_SECONDS = 5.0
"""From the moment somebody waits: rows that are on their way meanwhile may take their time."""
_AWAY = (
    "The audit log does not answer, so no query is answered either. "
    "Try again soon; if it stays, tell the administrator."
)
_NOT_TAKEN = (
    "The audit log does not take the record of this query, so the query is not answered. Tell the administrator."
)


class RecordingFailedError(Exception):
    """Nothing may be released: the record is not durable. The sentence is for the reader."""


@dataclass(frozen=True)
class Outcome:
    """How a query ended.

    ``digest``: ``blake3:`` and BLAKE3 over the Arrow IPC streams relayed, one per batch, in order. Records of earlier
    versions hold 64 digits alone: SHA-256 over the same.
    """

    status: str
    rows: int
    bytes: int
    duration_ms: int
    digest: str
    columns: tuple[str, ...]
    persons: int | None = None
    """Distinct people behind the result, when it tells."""
    min_cell: int | None = None
    """Smallest count shown, when the result is one of counts."""
    reading: Reading | None = None
    """Columns, filters and rows read, when the worker said so before the end."""


class OutgoingRecord:
    """A record on its way to the log; what depends on it happens after ``wait``. Thread-safe."""

    def __init__(self, client: AuditClient, late: LateRecords, event: AuditEvent) -> None:
        self._late, self._event, self._envelope = late, event, client.new_envelope()
        self._lock = threading.Lock()
        self._failure: Exception | None = None
        self._pending: PendingRecord | None = None
        try:
            self._pending = client.send(event, envelope=self._envelope)
        except CANNOT_BE_SENT as error:
            self._fail(error)
        self.is_sent = self._pending is not None and self._pending.is_sent
        """False when the log could not be reached at first."""

    def is_answered(self) -> bool:
        """``wait`` finds the log's answer there, or a connection that has ended."""
        with self._lock:
            return self._pending is None or self._pending.is_answered()

    def wait(self) -> None:
        """Return when it is durable; raise RecordingFailedError when it is not: then it is made up for later."""
        with self._lock:
            pending, self._pending = self._pending, None
            if pending is not None:
                try:
                    pending.wait(_RECEIPT_SECONDS)
                except AuditUnavailable as error:
                    self._fail(error)
        if self._failure is not None:
            sentence = _NOT_TAKEN if is_refused_for_good(self._failure) else _AWAY
            raise RecordingFailedError(sentence) from self._failure

    def _fail(self, error: Exception) -> None:
        _log.error("record-failed", event_type=str(self._event.type))
        self._late.keep(self._event, self._envelope)
        self._failure = error


class Recorder:
    """One per front; thread-safe as the client is."""

    def __init__(self, client: AuditClient, late: LateRecords) -> None:
        self._client = client
        self._late = late

    def call_refused(self, door: Door, error: CallRefusedError, kind: EventType) -> None:
        """token:refused when the token is at fault, else ``kind``. Never raises: the call is refused either way."""
        event_type = EventType.TOKEN_REFUSED if error.about_token else kind
        self._try(
            AuditEvent(
                type=event_type,
                **_who(door, error.claims),
                decision="deny",
                policies=error.policies,
                data={"rule": error.rule, **_at(door)},
                payload={"reason": error.sentence},
            )
        )

    def statement_refused(self, door: Door, caller: Caller, rule: str, sentence: str, sql: str) -> None:
        """query:refused by the gate, or before the worker ran. Never raises."""
        self._try(
            AuditEvent(
                type=EventType.QUERY_REFUSED,
                **_who(door, caller.claims),
                decision="deny",
                policies=caller.policies,
                data={"rule": rule, **_at(door)},
                payload={"reason": sentence, **statement_payload(sql, None)},
            )
        )

    def intent(
        self,
        door: Door,
        caller: Caller,
        request_id: str,
        statement: Prepared,
        examined: ExaminedStatement,
        parameters: list[str] | None,
        purpose: str,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        """query:intent, durable before the worker sees the statement. Raises RecordingFailedError.

        ``meanwhile``: what needs no record, done while the log writes; must not raise.
        """
        event = AuditEvent(
            type=EventType.QUERY_INTENT,
            **_who(door, caller.claims),
            subject=caller.record.extract_version,
            decision="allow",
            policies=caller.policies,
            request_id=request_id,
            counts={
                "characters": len(statement.sql),
                "parameters": len(parameters or []),
                "tables": len(examined.tables),
            },
            data={"purpose": purpose, **_at(door), **statement.noted, **_asked(caller, examined)},
            payload={**statement_payload(statement.sql, parameters), **_unlisted(examined)},
        )
        record = OutgoingRecord(self._client, self._late, event)
        if meanwhile is not None and record.is_sent:
            meanwhile()
        try:
            record.wait()
        except RecordingFailedError:
            # it may be in the log all the same, or comes there late: the query that did not run gets its end
            self._late.keep(_not_run(event), self._client.new_envelope())
            raise

    def outcome(self, door: Door, caller: Caller, request_id: str, outcome: Outcome) -> OutgoingRecord:
        """query:outcome, on its way; ``wait`` for it before the end of the stream."""
        return OutgoingRecord(
            self._client,
            self._late,
            AuditEvent(
                type=EventType.QUERY_OUTCOME,
                **_who(door, caller.claims),
                subject=caller.record.extract_version,
                request_id=request_id,
                counts={
                    "rows": outcome.rows,
                    "bytes": outcome.bytes,
                    "duration_ms": outcome.duration_ms,
                    "columns": len(outcome.columns),
                    **_known(persons=outcome.persons, min_cell=outcome.min_cell),
                    **_read_counts(outcome.reading),
                },
                data={"status": outcome.status, "digest": outcome.digest, **_read_names(outcome.reading)},
                payload=columns_payload(outcome.columns),
            ),
        )

    def worker_restarted(self, project: ProjectId) -> None:
        """process:restarted. Never raises."""
        self._try(
            AuditEvent(
                type=EventType.PROCESS_RESTARTED,
                actor="system:gateway",
                project=project,
                subject="gateway-worker",
            )
        )

    def _try(self, event: AuditEvent) -> None:
        envelope = self._client.new_envelope()
        try:
            self._client.record(event, envelope=envelope)
        except (AuditUnavailable, *CANNOT_BE_SENT):
            _log.error("refusal-not-recorded", event_type=str(event.type))
            self._late.keep(event, envelope)


def _who(door: Door, claims: TokenClaims | None) -> dict[str, Any]:
    """The token's person; the project and workspace of the socket it was used on, or at the TCP port the token's."""
    workspace = door.workspace or (claims.workspace if claims else None)
    project = door.project or (claims.project if claims else None)
    return {"actor": claims.person if claims else UNKNOWN_ACTOR, "project": project, "workspace": workspace}


def _at(door: Door) -> dict[str, str]:
    """Said only of the TCP port: every other record is of a socket."""
    return {} if door.kind is DoorKind.UNIX else {"door": door.kind}


def _asked(caller: Caller, examined: ExaminedStatement) -> dict[str, Any]:
    """Under which token, and what the statement is about: its form, tables, scratch table it writes, dataset."""
    return {
        "token": caller.claims.token_id,
        "template_sha256": examined.template_sha256,
        "tables": list(capped(examined.tables)),
        "verb": examined.verb,
        **({"scratch": [examined.write.name]} if examined.write else {}),
        **_narrowed(caller, examined),
        "dataset": f"{caller.files.manifest.dataset}@{caller.files.manifest.dataset_version}",
    }


def _unlisted(examined: ExaminedStatement) -> dict[str, Any]:
    """A person's own names may be so many that the leaf has no room for all."""
    return {} if len(capped(examined.tables)) == len(examined.tables) else tables_payload(examined.tables)


def _narrowed(caller: Caller, examined: ExaminedStatement) -> dict[str, Any]:
    """Which of the tables read the permit's rules narrow for this person, and which rules (their digest)."""
    ruled = [table for table in examined.tables if caller.rules.find(table) is not None]
    return {"ruled_tables": list(capped(ruled)), "rules_sha256": caller.rules.digest} if ruled else {}


def _read_counts(reading: Reading | None) -> dict[str, int]:
    return {} if reading is None else {"rows_scanned": reading.rows, "columns_read": reading.all_columns}


def _read_names(reading: Reading | None) -> dict[str, list[str]]:
    if reading is None:
        return {}
    return {
        "columns_read": list(reading.columns),
        "filters": list(reading.filters),
        "tables_scanned": list(reading.scanned),
    }


def _not_run(intent: AuditEvent) -> AuditEvent:
    """The outcome of a query whose intent did not become durable in time: no row was sent."""
    counts, data = {"rows": 0, "bytes": 0}, {"status": "error"}
    return replace(
        intent, type=EventType.QUERY_OUTCOME, decision=None, policies=(), counts=counts, data=data, payload=None
    )


def _known(**counts: int | None) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count is not None}
