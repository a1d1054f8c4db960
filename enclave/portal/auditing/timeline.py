"""The bars above a list of records: how many at what time, each bar a link that narrows the filter to its time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from audit.index import Histogram
from enclave.portal.auditing.filters import MOMENT, address

HEIGHT = 56
WIDTH = 1000
_GAP = 0.15


@dataclass(frozen=True)
class Bar:
    """Geometry in the units of the drawing; ``query`` narrows the list to this bar's time."""

    x: str
    y: str
    width: str
    height: str
    at: datetime
    count: int
    query: str


@dataclass(frozen=True)
class Timeline:
    """``first`` and ``last``: start of the first bar, end of the last."""

    bars: tuple[Bar, ...]
    first: datetime
    last: datetime
    most: int


def timeline_of(found: Histogram, query: dict[str, str]) -> Timeline | None:
    """None when there is nothing to draw: no record, or one bar that would say no more than the number."""
    if len(found.bars) < 2:
        return None
    most = max(count for _, count in found.bars)
    step = WIDTH / len(found.bars)
    bars = []
    for position, (at, count) in enumerate(found.bars):
        if not count:
            continue
        height = max(2.0, HEIGHT * count / most)
        bars.append(
            Bar(
                x=f"{position * step:.1f}",
                y=f"{HEIGHT - height:.1f}",
                width=f"{step * (1 - _GAP):.1f}",
                height=f"{height:.1f}",
                at=at,
                count=count,
                query=address(query, since=at.strftime(MOMENT), until=(at + found.step).strftime(MOMENT)),
            )
        )
    return Timeline(tuple(bars), found.bars[0][0], found.bars[-1][0] + found.step, most)
