"""The row that SQL_TYPES gives and the values SQL_PARAMETERS takes, as Python sees them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

from checks import ODD_TEXT

NUMBERS_AND_TEXT = (7, "name-7", 0.5, True)
OTHER_VALUES = (
    date(2020, 1, 8),
    Decimal("12.34"),
    datetime(2024, 2, 29, 23, 59, 59, 123000),  # noqa: DTZ001 a time stamp without a zone
    b"\x00\x01",
    None,
    time(12, 34, 56),
)
ROW = {
    "tiny": -128,
    "big": 9223372036854775807,
    "decimal": Decimal("12345678901234567890123456789.123456789"),
    "double": 1.5,
    "yes": True,
    "day": date(2024, 2, 29),
    "moment": datetime(2024, 2, 29, 23, 59, 59, 123456),  # noqa: DTZ001
    "instant": datetime(2024, 2, 29, 12, 0, tzinfo=UTC),
    "clock": time(12, 34, 56, 789000),
    "nothing": None,
    "odd": ODD_TEXT,
    "bytes": b"\x00\xff",
    "list": [1, None, 3],
    "pair": {"a": 1, "b": "x"},
}


def from_pandas(row: tuple[object, ...]) -> dict[str, object]:
    """A row that came through pandas, which makes time stamps of dates and arrays of lists."""
    found = dict(zip(ROW, row, strict=True))
    return {**found, "day": found["day"].date(), "list": found["list"].tolist()}  # type: ignore[attr-defined]
