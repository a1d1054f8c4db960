"""Records as the pages show them: one row each, with names beside pseudonymous ids."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.index import Row
from audit.reader import LogEntry
from enclave.portal.models import User


@dataclass(frozen=True)
class EventRow:
    """One line of a list. Empty text where the record has nothing."""

    index: int
    at: datetime | None
    type: str
    actor: str
    actor_name: str
    project: str
    subject: str
    subject_name: str
    decision: str
    request_id: str
    dataset: str
    tables: tuple[str, ...]
    status: str
    rows: int | None

    @property
    def is_person(self) -> bool:
        """Has the actor a page of its own?"""
        return self.actor.startswith("u-")


def names_by_id() -> dict[str, str]:
    """Person id → name, for auditors."""
    return {user.person_id: str(user) for user in User.objects.all()}


def row_of(found: Row, names: dict[str, str]) -> EventRow:
    """A row of the index."""
    actor, subject = found.actor or "", found.subject or ""
    return EventRow(
        index=found.index,
        at=found.at,
        type=found.type or "",
        actor=actor,
        actor_name=names.get(actor, ""),
        project=found.project or "",
        subject=subject,
        subject_name=names.get(subject, ""),
        decision=found.decision or "",
        request_id=found.request_id or "",
        dataset=found.dataset or "",
        tables=found.tables,
        status=found.status or "",
        rows=found.rows,
    )


def row_of_entry(entry: LogEntry, names: dict[str, str]) -> EventRow:
    """The same from the log itself."""
    leaf = entry.leaf
    found = leaf.get("data")
    data: dict[str, Any] = found if isinstance(found, dict) else {}
    actor, subject = _text(leaf, "actor"), _text(leaf, "subject")
    return EventRow(
        index=entry.index,
        at=datetime.fromisoformat(_text(leaf, "at")),
        type=_text(leaf, "type"),
        actor=actor,
        actor_name=names.get(actor, ""),
        project=_text(leaf, "project"),
        subject=subject,
        subject_name=names.get(subject, ""),
        decision=_text(leaf, "decision"),
        request_id=_text(leaf, "request_id"),
        dataset=_text(data, "dataset"),
        tables=tuple(str(table) for table in data.get("tables", ())),
        status=_text(data, "status"),
        rows=None,
    )


def fields_of(entry: LogEntry) -> list[tuple[str, str]]:
    """Every field of the leaf that says something, as text, in the leaf's own words."""
    return [
        (key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for key, value in sorted(entry.leaf.items())
        if value not in ({}, [])
    ]


def payload_text(payload: dict[str, Any]) -> list[tuple[str, str]]:
    """The protected part of a record as (name, text)."""
    return [
        (key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1))
        for key, value in sorted(payload.items())
    ]


def _text(fields: Any, name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
