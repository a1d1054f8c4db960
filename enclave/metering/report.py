"""All figures of a month, put together from workspaces' ledgers, storage ledgers and the audit log.

SATRE 2.2.13 and 4.4.02.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

from audit.index import LogIndex
from enclave.domain.ids import PROJECT_ID, ProjectId
from enclave.domain.usage import Asked, Computed, Month, Usage, total
from enclave.metering.ledger import LedgerUnreadableError, ledgers
from enclave.metering.queries import asked_by_day
from enclave.metering.storage import NOTHING, StorageLedger, StoredUsage, add_measurement


@dataclass(frozen=True)
class ProjectMonth:
    """One project's use of one month. ``unreadable``: files that could not be read, so the figures are too low."""

    project: ProjectId
    month: Month
    days: Mapping[date, Usage]
    unreadable: int

    @property
    def usage(self) -> Usage:
        """The whole month."""
        return total(self.days.values())


def metered_projects(folder: Path) -> list[ProjectId]:
    """Projects that have a folder here."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(ProjectId(path.name) for path in found if PROJECT_ID.fullmatch(path.name))


def month_of_project(folder: Path, index: LogIndex, project: ProjectId, month: Month) -> ProjectMonth:
    """Raises what the index raises (``LogUnreadable``)."""
    return _put_together(folder, project, month, asked_by_day(index, month).get(project, {}))


def month_of_all(folder: Path, index: LogIndex, month: Month) -> list[ProjectMonth]:
    """Every project that used something, in the order of their ids."""
    asked = asked_by_day(index, month)
    projects = sorted({*metered_projects(folder), *asked})
    found = (_put_together(folder, project, month, asked.get(project, {})) for project in projects)
    return [one for one in found if one.days or one.unreadable]


def _put_together(folder: Path, project: ProjectId, month: Month, asked: Mapping[date, Asked]) -> ProjectMonth:
    days: dict[date, Usage] = {day: Usage(asked=figures) for day, figures in asked.items()}
    unreadable = 0
    for found in workspace_days(folder, project, month):
        if found is None:
            unreadable += 1
            continue
        for day, computed in found.items():
            days[day] = days.get(day, Usage()) + Usage(computed=computed)
    stored = stored_until_now(folder, project)
    unreadable += stored is None
    for day, kinds in (stored or NOTHING).days.items():
        if Month.of(day) == month:
            days[day] = replace(days.get(day, Usage()), stored_byte_seconds=kinds)
    return ProjectMonth(project, month, dict(sorted(days.items())), unreadable)


def workspace_days(folder: Path, project: ProjectId, month: Month) -> Iterator[dict[date, Computed] | None]:
    """What each workspace used in ``month``; None for a file that cannot be read."""
    for ledger in ledgers(folder, project, month):
        try:
            yield {day: used for day, used in ledger.read().days.items() if Month.of(day) == month}
        except (OSError, LedgerUnreadableError):
            yield None


def stored_until_now(folder: Path, project: ProjectId) -> StoredUsage | None:
    """With what is stored since the last measurement; None when the file cannot be read."""
    try:
        known = StorageLedger(folder, project).read()
    except (OSError, LedgerUnreadableError):
        return None
    return add_measurement(known, known.now, datetime.now(UTC))
