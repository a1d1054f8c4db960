"""Limits that workspaces reached, in the audit log: ``workspace:limit-reached`` with person, project and figures.

The hub reads what each host has noted (``enclave.workspaces.limit_notes``) when it looks after the workspace, and once
more before it clears a workspace away. A note goes when its record is durable, so one may be recorded twice and none is
lost: what the log does not take when a workspace is cleared away waits in ``ENCLAVE_HOME/owed/limits``.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import structlog

from audit.client import AuditClient, AuditUnavailable
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
    """One for all spawners of this hub. A look after a workspace does not wait for a log that is away."""
    settings = get_settings()
    client = AuditClient(settings.audit_socket, "hub")

    def record(event: AuditEvent) -> None:
        if not client.is_reachable():
            raise AuditUnavailable("Expected the audit log, found nobody at its socket.")
        client.record(event, timeout=_RECORD_SECONDS)

    return LimitRecords(settings, record)


class LimitRecords:
    """One per hub. ``record`` blocks until the record is durable and raises AuditUnavailable."""

    def __init__(self, settings: Settings, record: Record) -> None:
        self._owed = settings.root / "owed" / "limits"
        self._record = record
        self._lock = threading.Lock()
        """Nothing is recorded by two looks at the same time."""

    async def settle(self, person: str, project: ProjectId, workspace: WorkspaceId, notes: Path) -> None:
        """Record what the host of this workspace has noted, and what is owed from before. Never raises."""
        await asyncio.to_thread(self._settle, person, project, workspace, notes)

    async def idle(
        self, person: str, project: ProjectId, workspace: WorkspaceId, seen: datetime | None, minutes: int
    ) -> None:
        """The hub itself ends a workspace that nobody has used since ``seen``. Never raises."""
        now = datetime.now(UTC)
        found = int((now - seen).total_seconds()) if seen else 0
        note = LimitNote(Limit.IDLE, Ended.WORKSPACE, found, minutes * 60, now.isoformat(timespec="seconds"))
        await asyncio.to_thread(self._record_or_owe, event_of(note, person, project, workspace))

    async def last(self, person: str, project: ProjectId, workspace: WorkspaceId, notes: Path) -> None:
        """Before the workspace's folder goes: record, and keep what cannot be recorded now. Never raises."""
        await self.settle(person, project, workspace, notes)
        for _, note in await asyncio.to_thread(read_notes, notes):
            await asyncio.to_thread(self._owe, event_of(note, person, project, workspace))

    def _settle(self, person: str, project: ProjectId, workspace: WorkspaceId, notes: Path) -> None:
        try:
            with self._lock:
                for file in sorted(self._owed.glob("*.json")):
                    if (event := _owed_event(file)) is not None:
                        self._record(event)
                        file.unlink(missing_ok=True)
                for file, note in read_notes(notes):
                    self._record(event_of(note, person, project, workspace))
                    file.unlink(missing_ok=True)
        except AuditUnavailable as error:
            log.warning("limit-not-recorded-yet", workspace=workspace, reason=str(error))
        except OSError as error:
            log.error("limit-not-recorded", workspace=workspace, error=type(error).__name__)

    def _record_or_owe(self, event: AuditEvent) -> None:
        try:
            self._record(event)
        except AuditUnavailable:
            self._owe(event)

    def _owe(self, event: AuditEvent) -> None:
        try:
            self._owed.mkdir(parents=True, exist_ok=True, mode=0o700)
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}.json"
            write_atomically(self._owed / name, json.dumps(asdict(event)).encode(), mode=0o600)
        except OSError as error:
            log.error("limit-not-kept", workspace=event.workspace, error=type(error).__name__)


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
