"""What somebody asks of the index, and the SQL for it. Pure.

Every value reaches DuckDB as a bound parameter; the SQL itself is put together from the constants of this file only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Clause = tuple[str, list[Any]]


@dataclass(frozen=True)
class Wanted:
    """Filters; None (or empty) means any. All given must hold.

    ``persons``: any of them as actor or as subject. ``dataset``: a name (any version of it) or ``name@version``.
    ``since``/``until``: aware, ``until`` is exclusive. ``text``: somewhere in the leaf's text, in any case.
    """

    persons: Sequence[str] | frozenset[str] | None = None
    project: str | None = None
    dataset: str | None = None
    table: str | None = None
    verb: str | None = None
    type: str | None = None
    types: Sequence[str] | frozenset[str] | None = None
    decision: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None
    request_id: str | None = None
    template: str | None = None
    subject: str | None = None
    workspace: str | None = None


def clauses(wanted: Wanted) -> list[Clause]:
    """The conditions on ``records`` with their parameters; none means every record."""
    found = [_equal(column, getattr(wanted, column)) for column in _EQUAL if getattr(wanted, column)]
    if wanted.persons is not None:
        found.append(_any_person(sorted(set(wanted.persons))))
    if wanted.types is not None:
        found.append(_any_of("type", sorted(set(wanted.types))))
    found += [make(value) for name, make in _SPECIAL.items() if (value := getattr(wanted, name))]
    return found


def passes(row: Mapping[str, Any], wanted: Wanted) -> bool:
    """The same question asked of one row in Python, for reading a log without an index."""
    if any(row[name] != value for name in _EQUAL if (value := getattr(wanted, name))):
        return False
    if wanted.persons is not None and row["actor"] not in wanted.persons and row["subject"] not in wanted.persons:
        return False
    if wanted.types is not None and row["type"] not in wanted.types:
        return False
    if wanted.table and wanted.table not in (row["tables"] or ()):
        return False
    dataset = row["dataset"] or ""
    if wanted.dataset and not (dataset == wanted.dataset or dataset.startswith(f"{wanted.dataset}@")):
        return False
    if wanted.text and wanted.text.lower() not in row["leaf"].lower():
        return False
    if wanted.since and (row["at"] is None or row["at"] < naive_utc(wanted.since)):
        return False
    return not wanted.until or (row["at"] is not None and row["at"] < naive_utc(wanted.until))


def joined_names(names: Sequence[str]) -> str:
    """Names as one text that contains ``joined_names([name])`` if and only if ``name`` is one of them."""
    escaped = (name.replace("\x1e", "\x1e0").replace("\x1f", "\x1e1") for name in names)
    return "\x1f" + "".join(f"{name}\x1f" for name in escaped)


def naive_utc(moment: datetime) -> datetime:
    """A time as the index stores it; raise :class:`ValueError` for one without zone."""
    if moment.tzinfo is None:
        raise ValueError("Expected a time with its zone, found one without; add the zone.")
    return moment.astimezone(UTC).replace(tzinfo=None)


def _equal(column: str, value: str) -> Clause:
    return f'"{column}" = ?', [value]


def _any_of(column: str, values: Sequence[str]) -> Clause:
    if not values:
        return "false", []
    return f'"{column}" IN ({", ".join("?" * len(values))})', list(values)


def _any_person(persons: Sequence[str]) -> Clause:
    (actor, values), (subject, again) = _any_of("actor", persons), _any_of("subject", persons)
    return f"({actor} OR {subject})", values + again


def _dataset(name: str) -> Clause:
    return "(dataset = ? OR starts_with(dataset, ?))", [name, f"{name}@"]


_EQUAL = ("project", "verb", "type", "decision", "request_id", "template", "subject", "workspace")
_SPECIAL: dict[str, Callable[[Any], Clause]] = {
    "dataset": _dataset,
    "table": lambda name: ("contains(table_names, ?)", [joined_names([name])]),
    "since": lambda moment: ('"at" >= ?', [naive_utc(moment)]),
    "until": lambda moment: ('"at" < ?', [naive_utc(moment)]),
}

GROUPINGS: dict[str, str] = {
    "person": "actor",
    "project": "project",
    "type": "type",
    "table": "unnest(tables)",
    "dataset": "dataset",
    "verb": "verb",
    "day": "strftime(\"at\", '%Y-%m-%d')",
    "decision": "decision",
    "status": "status",
    "rule": "rule",
    "template": "template",
    "workspace": "workspace",
    "subject": "subject",
    "writer": "writer",
}
"""What records can be counted by, each with its SQL expression."""
