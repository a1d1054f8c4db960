"""Destroying archives whose time is over; each file is on record before it goes (carried out by the runner)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from audit.event import AuditEvent
from enclave.access import AccessFiles
from enclave.domain.events import EventType
from enclave.domain.ids import ProjectId
from enclave.edge.budgets import Budgets
from enclave.settings import Settings
from enclave.shown.reading import list_places

Record = Callable[[AuditEvent], object]


def destroy_expired(settings: Settings, record: Record, today: date) -> int:
    """How many files went. A permit that cannot be read keeps its files; one that orders no archive any more lets them
    end when their days are over. Raises AuditUnavailable, OSError."""
    budgets, destroyed = Budgets(AccessFiles(settings)), 0
    for place, size in list_places(settings):
        day, days = date.fromisoformat(place.day), budgets.terms(ProjectId(place.project)).kept_days
        if days is None or day + timedelta(days=days) >= today:
            continue
        event = AuditEvent(
            type=EventType.SHOWN_ARCHIVE_DESTROYED,
            actor="system:runner",
            project=place.project,
            subject=budgets.person(place.username),
            counts={"bytes": size, "kept_days": days},
            data={"day": place.day},
        )
        record(event)
        _unlink(place.path(settings.shown_dir), record, event)
        destroyed += 1
    return destroyed


def _unlink(path: Path, record: Record, event: AuditEvent) -> None:
    """What is on record as destroyed and is still there gets a record of that as well."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        failed = replace(event, type=EventType.ACTION_FAILED, counts={}, data={**event.data, "event": event.type})
        record(failed)
        raise
