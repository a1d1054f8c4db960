"""Reading and saying times. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def parse_at(text: str) -> datetime | None:
    """A record's RFC 3339 time as an aware datetime, None when it is not one with a zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else None


def seconds_between(earlier: str, later: str) -> float | None:
    """From one record's time to another's, None when one of them is no time."""
    first, second = parse_at(earlier), parse_at(later)
    return None if first is None or second is None else (second - first).total_seconds()


def say_duration(span: timedelta | float) -> str:
    """``2 d 3 h``, ``5 min 4 s``, ``12 s``: the two greatest units."""
    seconds = round(span.total_seconds() if isinstance(span, timedelta) else span)
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, seconds = divmod(max(0, seconds), size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def say_time(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
