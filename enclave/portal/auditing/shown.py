"""The archives of displayed output as auditors see them: that they exist, since when, for how long, whether they hold.

Never what they hold: it is sealed to a key that is not on this machine. Days are compared with the log on demand only,
because that reads every line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.conf import settings

from enclave.access import AccessFiles
from enclave.domain.ids import ProjectId
from enclave.edge.budgets import Budgets
from enclave.portal.models import Project
from enclave.shown.lines import Head
from enclave.shown.reader import Chained, Comparison, read_lines
from enclave.shown.reading import commitments, hold_against, list_places
from enclave.shown.sealing import Place


@dataclass(frozen=True)
class Archive:
    """One project's. ``days``: how long each day is kept; None: the permit orders none any more or cannot be read."""

    project: str
    title: str
    since: date
    until: date
    people: int
    files: int
    bytes: int
    keys: tuple[str, ...]
    """Fingerprints, of the first line of the oldest and of the newest day."""
    days: int | None
    next_end: date | None
    """When the oldest day goes."""


@dataclass(frozen=True)
class Day:
    """One file. ``comparison`` None: not compared. ``is_missing``: the log names it; it is neither here nor over."""

    place: Place
    bytes: int
    key: str
    ends: date | None
    comparison: Comparison | None
    is_missing: bool = False


def archives() -> list[Archive]:
    """Every project that keeps any."""
    titles = dict(Project.objects.values_list("pk", "title"))
    by_project: dict[str, list[tuple[Place, int]]] = {}
    for place, size in list_places(settings.ENCLAVE):
        by_project.setdefault(place.project, []).append((place, size))
    return [_archive(project, titles.get(project, project), kept) for project, kept in by_project.items()]


def _archive(project: str, title: str, kept: list[tuple[Place, int]]) -> Archive:
    by_day = sorted((place for place, _ in kept), key=lambda place: place.day)
    days = _kept_days(project)
    since, until = date.fromisoformat(by_day[0].day), date.fromisoformat(by_day[-1].day)
    return Archive(
        project=project,
        title=title,
        since=since,
        until=until,
        people=len({place.username for place in by_day}),
        files=len(kept),
        bytes=sum(size for _, size in kept),
        keys=tuple(dict.fromkeys(key for key in (_key_of(by_day[0]), _key_of(by_day[-1])) if key)),
        days=days,
        next_end=_end(by_day[0], days),
    )


def days_of(project: str, *, is_compared: bool) -> list[Day]:
    """Newest first, with the days that the log names and that are not here, when asked to compare. LogUnreadable."""
    kept_days = _kept_days(project)
    known = commitments(settings.ENCLAVE, project) if is_compared else {}
    here = {place: size for place, size in list_places(settings.ENCLAVE) if place.project == project}
    found = [_day(place, size, kept_days, known if is_compared else None) for place, size in here.items()]
    today = datetime.now(UTC).date()
    for place in known.keys() - here.keys():
        ends = _end(place, kept_days)
        if ends is None or ends >= today:
            found.append(Day(place, 0, "", ends, Comparison(0, 0, 0, tuple(known[place]), 0), is_missing=True))
    return sorted(found, key=lambda day: (day.place.day, day.place.username), reverse=True)


def _day(place: Place, size: int, kept_days: int | None, known: Mapping[Place, list[Head]] | None) -> Day:
    compared = None if known is None else hold_against(settings.ENCLAVE, place, known.get(place, []))
    return Day(place, size, _key_of(place), _end(place, kept_days), compared)


def _kept_days(project: str) -> int | None:
    return Budgets(AccessFiles(settings.ENCLAVE)).terms(ProjectId(project)).archive_days


def _end(place: Place, days: int | None) -> date | None:
    """The last day it is kept; the runner destroys it on the day after."""
    return None if days is None else date.fromisoformat(place.day) + timedelta(days=days)


def _key_of(place: Place) -> str:
    for found in read_lines(place.path(settings.ENCLAVE.shown_dir)):
        if isinstance(found, Chained):
            return found.line.key
    return ""
