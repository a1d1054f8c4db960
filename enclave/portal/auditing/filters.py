"""From an address to what the index is asked, and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from audit.index import Wanted
from enclave.portal.models import User

MOMENT = "%Y-%m-%dT%H:%M"


def wanted_of(given: dict[str, Any]) -> Wanted:
    """The form's values as a filter; a person may be an id, a log-in name or part of a full name."""
    typed = _text(given, "person")
    return Wanted(
        persons=persons_like(typed) if typed else None,
        project=_text(given, "project") or None,
        dataset=_text(given, "dataset") or None,
        table=_text(given, "table") or None,
        type=_text(given, "type") or None,
        decision=_text(given, "decision") or None,
        since=_utc(given.get("since")),
        until=_utc(given.get("until")),
        text=_text(given, "text") or None,
        template=_text(given, "template") or None,
        request_id=_text(given, "request") or None,
    )


def persons_like(typed: str) -> frozenset[str]:
    """The ids of everybody the text may mean, itself included."""
    wanted = typed.casefold()
    found = {u.person_id for u in User.objects.all() if wanted == u.username or wanted in str(u).casefold()}
    return frozenset(found | {typed})


def recorded(wanted: Wanted) -> dict[str, str | int | bool | list[str]]:
    """What the record of this reading says about the filter; what was typed as free text stays out of the leaf."""
    given = {
        "project": wanted.project,
        "dataset": wanted.dataset,
        "table": wanted.table,
        "event": wanted.type,
        "decision": wanted.decision,
        "request": wanted.request_id,
        "since": wanted.since.isoformat() if wanted.since else None,
        "until": wanted.until.isoformat() if wanted.until else None,
    }
    persons = sorted(p for p in wanted.persons or () if p.startswith(("u-", "system:")))
    return {"persons": persons, **{name: value for name, value in given.items() if value}}


def address(query: dict[str, str], **changed: str) -> str:
    """The same list with other filters, as the query part of an address; without the place in the pages."""
    merged = {**query, **changed}
    merged.pop("before", None)
    return urlencode({name: value for name, value in merged.items() if value})


def _text(given: dict[str, Any], name: str) -> str:
    return str(given.get(name) or "").strip()


def _utc(value: datetime | None) -> datetime | None:
    return value.astimezone(UTC) if value is not None else None
