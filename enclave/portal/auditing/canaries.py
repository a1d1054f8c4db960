"""Test queries and what became of them, from the log itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from audit.completeness import CANARY_GRACE
from audit.index import LogIndex, Row, Wanted

_SHOWN = 50


@dataclass(frozen=True)
class CanaryRow:
    """``state``: ``found`` (its record is there), ``waiting``, or ``missing``; ``found_at``: index of its record."""

    ordered: Row
    due: datetime | None
    state: str
    found_at: int | None


def canary_rows(index: LogIndex, now: datetime) -> list[CanaryRow]:
    """The newest orders first."""
    return [_row(index, ordered, now) for ordered in index.search(Wanted(type="canary:scheduled"), limit=_SHOWN)]


def _row(index: LogIndex, ordered: Row, now: datetime) -> CanaryRow:
    data = ordered.leaf.get("data", {})
    due = _time(data.get("due"))
    template = str(data.get("template_sha256", ""))
    wanted = Wanted(type="query:intent", template=template, project=ordered.project)
    found = index.search(wanted, limit=1) if template else []
    if found:
        return CanaryRow(ordered, due, "found", found[0].index)
    waiting = due is not None and now < due + CANARY_GRACE
    return CanaryRow(ordered, due, "waiting" if waiting else "missing", None)


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except ValueError:
        return None
