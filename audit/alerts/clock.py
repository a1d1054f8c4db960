"""The time the rules look at, in the site's time zone. Pure.

Days are whole local days: a day either lies in the span or does not, so that what a rule finds for a day does not
depend on the minute it is asked. The index holds UTC; the change to local time is whole-number arithmetic in SQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from audit.alerts.thresholds import Thresholds

DAY_US = 86_400_000_000
_EPOCH = date(1970, 1, 1)
# offsets are exact for this many days before the span; what lies further back counts only in days
_EXACT_DAYS = 400


@dataclass(frozen=True)
class Span:
    """Facts are looked for from ``start`` (a local midnight) to ``now``, both aware UTC."""

    now: datetime
    start: datetime
    start_day: int
    zone: ZoneInfo

    def midnight(self, days_before: int) -> datetime:
        """The local midnight so many days before the span's start, naive UTC as the index has it."""
        return naive(_midnight(day_date(self.start_day - days_before), self.zone))

    @property
    def bounds(self) -> dict[str, object]:
        """The parameters most rules need."""
        return {"start": naive(self.start), "start_day": self.start_day, "now": naive(self.now)}

    @property
    def local_us(self) -> str:
        """SQL: microseconds of local time since 1970, of the column ``at``."""
        changes = offset_changes(self.start - timedelta(days=_EXACT_DAYS), self.now + timedelta(days=1), self.zone)
        if len(changes) == 1:
            return f'(epoch_us("at") + {changes[0][1]})'
        whens = " ".join(
            f'WHEN epoch_us("at") < {until} THEN {offset}' for (_, offset), (until, _) in pairwise(changes)
        )
        return f'(epoch_us("at") + CASE {whens} ELSE {changes[-1][1]} END)'

    @property
    def day(self) -> str:
        """SQL: the local day of the column ``at``, in days since 1970."""
        return f"({self.local_us} // {DAY_US})"


def span_of(thresholds: Thresholds, now: datetime) -> Span:
    """The span that ends at ``now`` (aware) and begins ``lookback_days`` local days before that day."""
    if now.tzinfo is None:
        raise ValueError("Expected a time with its zone; give an aware datetime.")
    zone = thresholds.site.time_zone
    first = now.astimezone(zone).date() - timedelta(days=thresholds.site.lookback_days)
    return Span(now.astimezone(UTC), _midnight(first, zone), (first - _EPOCH).days, zone)


def offset_changes(start: datetime, end: datetime, zone: ZoneInfo) -> list[tuple[int, int]]:
    """Offsets from UTC between two times: (from when on, offset), both in microseconds; the first one holds before."""
    changes = [(_us(start), _offset_us(start, zone))]
    earlier = start
    while earlier < end:
        later = min(earlier + timedelta(days=1), end)
        if (offset := _offset_us(later, zone)) != changes[-1][1]:
            changes.append((_us(_change_between(earlier, later, zone)), offset))
        earlier = later
    return changes


def _change_between(earlier: datetime, later: datetime, zone: ZoneInfo) -> datetime:
    """The first second with the later offset."""
    wanted = _offset_us(later, zone)
    low, high = 0, int((later - earlier).total_seconds()) + 1
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_us(earlier + timedelta(seconds=middle), zone) == wanted:
            high = middle
        else:
            low = middle
    return (earlier + timedelta(seconds=high)).replace(microsecond=0)


def _offset_us(moment: datetime, zone: ZoneInfo) -> int:
    offset = moment.astimezone(zone).utcoffset()
    return (offset or timedelta()) // timedelta(microseconds=1)


def _us(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def naive(moment: datetime) -> datetime:
    """UTC without zone, as the index stores times."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def day_date(day: int) -> date:
    """The date of a day number since 1970."""
    return _EPOCH + timedelta(days=day)
