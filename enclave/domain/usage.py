"""What a project used in a month, in the units it is charged in, and what that costs. Pure.

A GB is 1,000,000,000 bytes. A month is one of the UTC calendar; a GB-month is one GB kept from its first to its last
second. Costs are computed from exact quantities and rounded to the cent per line, half up, so that the lines of a grid
add up to its total. Non-goals: taxes, discounts, invoices.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

CENT = Decimal("0.01")
_GB = Decimal(10**9)
_HOUR = Decimal(3600)
_NANOSECONDS = Decimal(10**9)


class StorageKind(StrEnum):
    """Where a project's bytes lie."""

    HOME = "home"
    """Homes of its members, without their outboxes."""
    OUTBOX = "outbox"
    SHARED = "shared"
    """What the members' shared folder takes on the disk."""
    SCRATCH = "scratch"
    """Intermediate results of queries."""
    EXTRACTS = "extracts"
    PACKAGES = "packages"
    VAULT = "vault"
    """Snapshots of output requests."""
    SHOWN = "shown"
    """The archive of displayed output, where the permit orders one; also after the project is closed."""


class Position(StrEnum):
    """What has a price."""

    CPU_HOUR = "cpu-hour"
    MEMORY_GB_HOUR = "memory-gb-hour"
    STORAGE_GB_MONTH = "storage-gb-month"
    THOUSAND_QUERIES = "thousand-queries"


@dataclass(frozen=True, order=True)
class Month:
    """A month of the UTC calendar."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """``2026-11``; of this century, so that the months around it are months as well. Raises ValueError."""
        found = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
        if text != f"{found:%Y-%m}" or not 2000 <= found.year < 2100:
            raise ValueError("Expected a month such as 2026-11.")
        return cls(found.year, found.month)

    @classmethod
    def of(cls, day: date) -> Month:
        return cls(day.year, day.month)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"

    @property
    def first(self) -> date:
        return date(self.year, self.month, 1)

    @property
    def days(self) -> int:
        return monthrange(self.year, self.month)[1]

    @property
    def before(self) -> Month:
        return Month(self.year - 1, 12) if self.month == 1 else Month(self.year, self.month - 1)

    @property
    def after(self) -> Month:
        return Month(self.year + 1, 1) if self.month == 12 else Month(self.year, self.month + 1)


@dataclass(frozen=True)
class Computed:
    """What workspaces used: processor time, memory over time, the most memory at one moment, time open."""

    cpu_ns: int = 0
    memory_byte_seconds: int = 0
    memory_peak_bytes: int = 0
    seconds: int = 0

    def __add__(self, other: Computed) -> Computed:
        return Computed(
            self.cpu_ns + other.cpu_ns,
            self.memory_byte_seconds + other.memory_byte_seconds,
            max(self.memory_peak_bytes, other.memory_peak_bytes),
            self.seconds + other.seconds,
        )


@dataclass(frozen=True)
class Asked:
    """Queries that ran (whatever their end), and what they gave; the time is that from intent to outcome."""

    queries: int = 0
    rows: int = 0
    bytes: int = 0
    duration_ms: int = 0

    def __add__(self, other: Asked) -> Asked:
        return Asked(
            self.queries + other.queries,
            self.rows + other.rows,
            self.bytes + other.bytes,
            self.duration_ms + other.duration_ms,
        )


@dataclass(frozen=True)
class Usage:
    """What one project used on one day, or in one month."""

    computed: Computed = Computed()
    asked: Asked = Asked()
    stored_byte_seconds: Mapping[StorageKind, int] = field(default_factory=dict)

    def __add__(self, other: Usage) -> Usage:
        kinds = {*self.stored_byte_seconds, *other.stored_byte_seconds}
        stored = {k: self.stored_byte_seconds.get(k, 0) + other.stored_byte_seconds.get(k, 0) for k in kinds}
        return Usage(self.computed + other.computed, self.asked + other.asked, stored)

    @property
    def cpu_hours(self) -> Decimal:
        return Decimal(self.computed.cpu_ns) / _NANOSECONDS / _HOUR

    @property
    def memory_gb_hours(self) -> Decimal:
        return Decimal(self.computed.memory_byte_seconds) / _GB / _HOUR

    @property
    def memory_peak_gb(self) -> Decimal:
        return Decimal(self.computed.memory_peak_bytes) / _GB

    @property
    def open_hours(self) -> Decimal:
        return Decimal(self.computed.seconds) / _HOUR

    def stored_gb(self, seconds: int, kind: StorageKind | None = None) -> Decimal:
        """GB kept on average over ``seconds``; with those of a month: GB-months. ``kind`` None: all kinds."""
        stored = self.stored_byte_seconds
        total = sum(stored.values()) if kind is None else stored.get(kind, 0)
        return Decimal(total) / _GB / Decimal(seconds)


def total(usages: Iterable[Usage]) -> Usage:
    """The sum; of peaks the highest."""
    return sum(usages, Usage())


@dataclass(frozen=True)
class Prices:
    """Per unit; a position without a price is not charged, and the grid says so."""

    currency: str = "EUR"
    units: Mapping[Position, Decimal] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """One line of a grid. ``price`` and ``cost`` None: no price is set."""

    position: Position
    quantity: Decimal
    price: Decimal | None
    cost: Decimal | None


def quantity_of(position: Position, usage: Usage, month: Month) -> Decimal:
    """How many units of ``position``."""
    match position:
        case Position.CPU_HOUR:
            return usage.cpu_hours
        case Position.MEMORY_GB_HOUR:
            return usage.memory_gb_hours
        case Position.STORAGE_GB_MONTH:
            return usage.stored_gb(month.days * 86_400)
        case Position.THOUSAND_QUERIES:
            return Decimal(usage.asked.queries) / 1000


def grid_of(usage: Usage, month: Month, prices: Prices) -> tuple[Line, ...]:
    """A line per position, in the order of the table of positions."""
    return tuple(_line(position, quantity_of(position, usage, month), prices) for position in Position)


def _line(position: Position, quantity: Decimal, prices: Prices) -> Line:
    price = prices.units.get(position)
    cost = None if price is None else (quantity * price).quantize(CENT, ROUND_HALF_UP)
    return Line(position, quantity, price, cost)


def cost_of(lines: Iterable[Line]) -> Decimal | None:
    """Sum of the lines that have a price; None when none has."""
    costs = [line.cost for line in lines if line.cost is not None]
    return sum(costs, Decimal(0)) if costs else None
