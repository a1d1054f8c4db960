"""Limits that workspaces reached, in the audit log: ``workspace:limit-reached`` with person, project and figures.

The hub reads what each host has noted (``enclave.workspaces.limit_notes``) beside its looks at the workspace, and once
more before it clears a workspace away. A note goes when its record is durable, or when it is among those owed: what the
log does not take waits in ``ENCLAVE_HOME/owed/limits``, which outlives workspace, hub and machine. So one may be
recorded twice. Not kept: what a host noted in the last two seconds before the machine failed (``run/`` is emptied), and
what neither log nor disk took.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import structlog

from audit.client import AuditClient, AuditRefused, AuditUnavailable
from audit.event import AuditEvent
from enclave.domain.events import EventType
from enclave.domain.ids import ProjectId, WorkspaceId
from enclave.files import write_atomically
from enclave.settings import Settings, get_settings
from enclave.workspaces.limit_notes import Ended, Limit, LimitNote, read_notes

log = structlog.get_logger()
_RECORD_SECONDS = 2.0
_FORESEEN = frozenset({Limit.HOURS, Limit.IDLE})
"""Nobody asked for more than they may have: no refusal."""
Record = Callable[[AuditEvent], object]


@cache
def limit_records() -> LimitRecords:
    """One for all spawners of this hub; used in its ``enclave.workspaces.bookkeeping``."""
    settings = get_settings()
    client = AuditClient(settings.audit_socket, "hub")

    def record(event: AuditEvent) -> None:
        if not client.is_reachable():
            raise AuditUnavailable("Expected the audit log, found nobody at its socket.")
        client.record(event, timeout=_RECORD_SECONDS)

    return LimitRecords(settings, record)


class LimitRecords:
    """One per hub, used by one thread at a time. ``record`` blocks until the record is durable and raises
    AuditUnavailable. No method raises."""

    def __init__(self, settings: Settings, record: Record) -> None:
        self._owed = settings.root / "owed" / "limits"
        self._record = record

    def settle(self, person: str, project: ProjectId, workspace: WorkspaceId, notes: Path) -> None:
        """Record what is owed from before and what the host of this workspace has noted; that is owed if need be."""
        noted = [(file, event_of(note, person, project, workspace)) for file, note in read_notes(notes)]
        owed = ((file, event) for file in sorted(self._owed.glob("*.json")) if (event := _owed_event(file)) is not None)
        try:
            for file, event in (*owed, *noted):
                if self._is_recorded(event):
                    file.unlink(missing_ok=True)
        except AuditUnavailable as error:
            log.warning("limit-not-recorded-yet", workspace=workspace, reason=str(error))
        except OSError as error:
            log.error("limit-not-recorded", workspace=workspace, error=type(error).__name__)
        for file, event in noted:
            if file.exists() and self._is_owed(event):
                file.unlink(missing_ok=True)

    def idle(
        self, person: str, project: ProjectId, workspace: WorkspaceId, seen: datetime | None, minutes: int
    ) -> None:
        """The hub itself ends a workspace that nobody has used since ``seen``."""
        now = datetime.now(UTC)
        found = int((now - seen).total_seconds()) if seen else 0
        note = LimitNote(Limit.IDLE, Ended.WORKSPACE, found, minutes * 60, now.isoformat(timespec="seconds"))
        event = event_of(note, person, project, workspace)
        try:
            if self._is_recorded(event):
                return
        except AuditUnavailable as error:
            log.warning("limit-not-recorded-yet", workspace=workspace, reason=str(error))
        self._is_owed(event)

    def _is_recorded(self, event: AuditEvent) -> bool:
        """False: the log does not take this one, and may take others. Raises AuditUnavailable."""
        try:
            self._record(event)
        except (AuditRefused, ValueError) as error:
            log.error("limit-not-recorded", workspace=event.workspace, error=type(error).__name__)
            return False
        return True

    def _is_owed(self, event: AuditEvent) -> bool:
        """From now on. False: it cannot be kept either."""
        try:
            self._owed.mkdir(parents=True, exist_ok=True, mode=0o700)
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}.json"
            write_atomically(self._owed / name, json.dumps(asdict(event)).encode(), mode=0o600)
        except OSError as error:
            log.error("limit-not-kept", workspace=event.workspace, error=type(error).__name__)
            return False
        return True


def _owed_event(file: Path) -> AuditEvent | None:
    try:
        given = json.loads(file.read_bytes())
        return AuditEvent(**{**given, "policies": tuple(given["policies"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.error("owed-record-unreadable", file=file.name, error=type(error).__name__)
        return None


def event_of(note: LimitNote, person: str, project: ProjectId, workspace: WorkspaceId) -> AuditEvent:
    """What stands in the log."""
    return AuditEvent(
        type=EventType.WORKSPACE_LIMIT_REACHED.value,
        actor=person,
        project=project,
        workspace=workspace,
        subject=person,
        decision=None if note.limit in _FORESEEN else "deny",
        counts={"found": note.found, "allowed": note.allowed, "times": note.times},
        data={"limit": note.limit.value, "ended": note.ended.value, "at": note.at},
    )
