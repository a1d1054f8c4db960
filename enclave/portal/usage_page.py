"""What the pages of usage show, as plain values for their templates; and the same as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from django.conf import settings

from enclave.domain.ids import ProjectId
from enclave.domain.usage import Line, Month, Position, Prices, StorageKind, Usage, cost_of, grid_of, total
from enclave.metering.prices import NO_PRICES, PricesError, load_prices
from enclave.metering.report import ProjectMonth, stored_until_now

_DAY_SECONDS = 86_400
_MONTHS_OFFERED = 24
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_EXACT = Decimal("0.000001")


@dataclass(frozen=True)
class ProjectRow:
    """A line of the admin's table."""

    project: str
    title: str
    usage: Usage
    stored_gb_months: Decimal
    cost: Decimal | None
    unreadable: int


@dataclass(frozen=True)
class DayRow:
    """A line of a project's days. ``stored_gb``: on average over the day."""

    day: date
    usage: Usage
    stored_gb: Decimal


@dataclass(frozen=True)
class StoredRow:
    """A line of a project's storage."""

    kind: StorageKind
    now_gb: Decimal
    gb_months: Decimal


def present_month() -> Month:
    """In UTC."""
    return Month.of(datetime.now(UTC).date())


def months_offered(chosen: Month) -> list[Month]:
    """The newest first, with the chosen one among them."""
    found = [present_month()]
    while len(found) < _MONTHS_OFFERED:
        found.append(found[-1].before)
    return sorted({*found, chosen}, reverse=True)


def site_prices() -> tuple[Prices, str]:
    """The prices, and what is wrong with their file (empty: nothing)."""
    try:
        return load_prices(settings.ENCLAVE.usage_prices), ""
    except PricesError as error:
        return NO_PRICES, str(error)


def unit_prices(prices: Prices) -> list[tuple[Position, Decimal | None]]:
    """Every position with its price."""
    return [(position, prices.units.get(position)) for position in Position]


def project_rows(found: Iterable[ProjectMonth], titles: Mapping[str, str], prices: Prices) -> list[ProjectRow]:
    """In the order of the projects' ids."""
    return [_row(one, titles.get(one.project, ""), prices) for one in found]


def _row(found: ProjectMonth, title: str, prices: Prices) -> ProjectRow:
    usage, month = found.usage, found.month
    stored = usage.stored_gb(month.days * _DAY_SECONDS)
    cost = cost_of(grid_of(usage, month, prices))
    return ProjectRow(found.project, title or found.project, usage, stored, cost, found.unreadable)


def sum_row(rows: list[ProjectRow]) -> ProjectRow:
    """All projects together; their costs are added as they are shown."""
    costs = [row.cost for row in rows if row.cost is not None]
    stored = sum((row.stored_gb_months for row in rows), Decimal(0))
    return ProjectRow("", "", total(row.usage for row in rows), stored, sum(costs, Decimal(0)) if costs else None, 0)


def day_rows(found: ProjectMonth) -> list[DayRow]:
    """Days on which something was used or stored, the newest first."""
    newest_first = reversed(list(found.days.items()))
    return [DayRow(day, used, used.stored_gb(_seconds_of(day))) for day, used in newest_first]


def _seconds_of(day: date) -> int:
    """A day, or what has passed of the present one."""
    passed = datetime.now(UTC) - datetime.combine(day, datetime.min.time(), UTC)
    return max(1, min(_DAY_SECONDS, int(passed.total_seconds())))


def stored_rows(found: ProjectMonth) -> list[StoredRow]:
    """Every kind, with what lies there now."""
    known = stored_until_now(settings.ENCLAVE.metering_dir, ProjectId(found.project))
    now = known.now if known else {}
    usage, seconds = found.usage, found.month.days * _DAY_SECONDS
    return [StoredRow(k, Decimal(now.get(k, 0)) / 10**9, usage.stored_gb(seconds, k)) for k in StorageKind]


def csv_of(found: Iterable[ProjectMonth], titles: Mapping[str, str], prices: Prices) -> str:
    """A line per project; numbers with a point. A title that a spreadsheet would run gets a quote before it."""
    text = io.StringIO()
    writer = csv.writer(text)
    stored = [f"storage_{kind}_gb_months" for kind in StorageKind]
    writer.writerow(
        ["month", "project", "title", "cpu_hours", "memory_gb_hours", "memory_peak_gb", "workspace_hours", *stored]
        + ["queries", "query_rows", "query_bytes", "query_seconds"]
        + [f"price_{_column(position)}" for position in Position]
        + [f"cost_{_column(position)}" for position in Position]
        + ["cost", "currency", "files_unreadable"]
    )
    for one in found:
        title = titles.get(one.project, "")
        writer.writerow([str(one.month), one.project, harmless(title), *_figures(one), *_costs(one, prices)])
    return text.getvalue()


def _figures(found: ProjectMonth) -> list[object]:
    usage, seconds = found.usage, found.month.days * _DAY_SECONDS
    exact = (usage.cpu_hours, usage.memory_gb_hours, usage.memory_peak_gb, usage.open_hours)
    stored = (usage.stored_gb(seconds, kind) for kind in StorageKind)
    asked = usage.asked
    counted = [asked.queries, asked.rows, asked.bytes, Decimal(asked.duration_ms) / 1000]
    return [*(value.quantize(_EXACT) for value in (*exact, *stored)), *counted]


def _costs(found: ProjectMonth, prices: Prices) -> list[object]:
    lines: tuple[Line, ...] = grid_of(found.usage, found.month, prices)
    values = [*(line.price for line in lines), *(line.cost for line in lines), cost_of(lines)]
    return [*("" if value is None else value for value in values), prices.currency, found.unreadable]


def _column(position: Position) -> str:
    return position.replace("-", "_")


def harmless(text: str) -> str:
    """A spreadsheet takes a cell that begins like this for a formula, and titles are a researcher's words."""
    return f"'{text}" if text.startswith(_FORMULA) else text
