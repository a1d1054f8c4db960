"""Destroying archives whose time is over; each file is on record before it goes (carried out by the runner)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

from audit.event import AuditEvent
from enclave.access import AccessFiles
from enclave.domain.events import EventType
from enclave.domain.ids import ProjectId
from enclave.edge.budgets import Budgets
from enclave.settings import Settings


def destroy_expired(settings: Settings, record: Callable[[AuditEvent], object], today: date) -> int:
    """How many files went. A permit that cannot be read keeps its files. Raises AuditUnavailable, OSError."""
    budgets, destroyed = Budgets(AccessFiles(settings)), 0
    for path in sorted(settings.shown_dir.glob("*/*/????-??-??.jsonl")):
        project, username, day = path.parts[-3], path.parts[-2], date.fromisoformat(path.stem)
        days = budgets.terms(ProjectId(project)).archive_days
        if days is None or day + timedelta(days=days) >= today:
            continue
        record(
            AuditEvent(
                type=EventType.SHOWN_ARCHIVE_DESTROYED,
                actor="system:runner",
                project=project,
                subject=budgets.person(username),
                counts={"bytes": path.stat().st_size, "kept_days": days},
                data={"day": day.isoformat()},
            )
        )
        path.unlink()
        destroyed += 1
    return destroyed
