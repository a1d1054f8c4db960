"""A page about one person, project, dataset or query: numbers, where the records lie, the newest ones."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.index import LogIndex, Wanted
from audit.index.mapping import texts
from enclave.portal.auditing.filters import address
from enclave.portal.auditing.rows import EventRow, row_of
from enclave.portal.auditing.timeline import Timeline, timeline_of

NEWEST = 15
_SHOWN_GROUPS = 8
_GROUP_TITLES: dict[str, str | Promise] = {
    "person": _("People"),
    "project": _("Projects"),
    "dataset": _("Datasets"),
    "table": _("Tables"),
    "type": _("Events"),
}


@dataclass(frozen=True)
class GroupRow:
    """One value with its number of records; ``query`` is the filtered list, ``name`` the person's name if it is one."""

    value: str
    name: str
    count: int
    query: str


@dataclass(frozen=True)
class Group:
    """The commonest values of one kind."""

    by: str
    title: str | Promise
    rows: tuple[GroupRow, ...]


@dataclass(frozen=True)
class Portrait:
    """Everything such a page shows."""

    query: str
    total: int
    queries: int
    refused: int
    timeline: Timeline | None
    groups: tuple[Group, ...]
    newest: tuple[EventRow, ...]


def portrait_of(
    index: LogIndex, wanted: Wanted, query: dict[str, str], by: tuple[str, ...], names: dict[str, str]
) -> Portrait:
    """Ask the index; ``query`` is the same filter as an address, ``by`` the kinds to group by."""
    types = dict(index.groups(wanted, "type"))
    decisions = dict(index.groups(wanted, "decision"))
    return Portrait(
        query=address(query),
        total=index.count(wanted),
        queries=types.get("query:intent", 0),
        refused=decisions.get("deny", 0),
        timeline=timeline_of(index.histogram(wanted), query),
        groups=tuple(_group(index, wanted, query, kind, names) for kind in by),
        newest=tuple(row_of(found, names) for found in index.search(wanted, limit=NEWEST)),
    )


def _group(index: LogIndex, wanted: Wanted, query: dict[str, str], by: str, names: dict[str, str]) -> Group:
    found = index.groups(wanted, by, limit=_SHOWN_GROUPS)
    rows = tuple(GroupRow(value, names.get(value, ""), count, address(query, **{by: value})) for value, count in found)
    return Group(by, _GROUP_TITLES[by], rows)


@dataclass(frozen=True)
class QueryStory:
    """One query from intent to outcome, and how often the same form was asked."""

    request_id: str
    intent: EventRow | None
    records: tuple[EventRow, ...]
    facts: tuple[tuple[str | Promise, int], ...]
    status: str
    reading: tuple[tuple[str | Promise, tuple[str, ...]], ...]
    """Titles with names the record holds: columns read, filters, tables with the rows looked at."""
    template: str
    same_form: int
    same_form_query: str


_FACTS: tuple[tuple[str, str | Promise], ...] = (
    ("rows", _("Rows sent")),
    ("bytes", _("Bytes sent")),
    ("duration_ms", _("Milliseconds")),
    ("persons", _("People behind the result")),
    ("min_cell", _("Smallest count shown")),
)
_READING: tuple[tuple[str, str | Promise], ...] = (
    ("columns_read", _("Columns read")),
    ("filters", _("Filters (without their values)")),
    ("tables_scanned", _("Rows looked at, by table")),
)


def _reading(data: object) -> tuple[tuple[str | Promise, tuple[str, ...]], ...]:
    """What the outcome says was read; a list of the wrong form is left out."""
    held = data if isinstance(data, dict) else {}
    found = ((title, texts(held.get(name))) for name, title in _READING)
    return tuple((title, tuple(names)) for title, names in found if names)


def story_of(index: LogIndex, request_id: str, names: dict[str, str]) -> QueryStory | None:
    """None when no record carries this query's id."""
    found = index.search(Wanted(request_id=request_id))
    if not found:
        return None
    intent = next((row for row in found if row.type == "query:intent"), None)
    outcome = next((row for row in found if row.type == "query:outcome"), None)
    template = next((row.template for row in found if row.template), "") or ""
    person = intent.actor if intent and intent.actor else ""
    same = Wanted(persons=frozenset({person}), type="query:intent", template=template)
    numbers = [(title, getattr(outcome, name)) for name, title in _FACTS] if outcome else []
    return QueryStory(
        request_id=request_id,
        intent=row_of(intent, names) if intent else None,
        records=tuple(row_of(row, names) for row in reversed(found)),
        facts=tuple((title, value) for title, value in numbers if value is not None),
        status=(outcome.status or "") if outcome else "",
        reading=_reading(outcome.leaf.get("data")) if outcome else (),
        template=template,
        same_form=index.count(same) if template and person else 0,
        same_form_query=address({}, person=person, type="query:intent", template=template),
    )
