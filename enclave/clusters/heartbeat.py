"""What of a scheduler's heartbeat is believed. Pure.

The scheduler is the researcher's code. dask-gateway would let it name the addresses that the proxy and the server
themselves connect to: those are replaced by ours, whatever it says. Names of workers are compared with the known ones,
counts are capped. What has not the form of a heartbeat is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

_LISTS = ("active_workers", "closing_workers", "closed_workers")
_MOST_NAMES = 10_000


class HeartbeatError(ValueError):
    """It is none; the sentence is for the scheduler's log."""


def believed(
    said: object, *, known: Collection[str], running: Collection[str], most_workers: int, address: str
) -> dict[str, Any]:
    """A heartbeat that can do no harm. ``running``: workers it has to mention, and is taken to have. Raises
    HeartbeatError."""
    if not isinstance(said, dict):
        raise HeartbeatError("Expected a heartbeat as an object, found something else.")
    count = said.get("count")
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise HeartbeatError("Expected a number of workers, found something else.")
    active, closing, closed = (_names(said.get(name)) & set(known) for name in _LISTS)
    active |= set(running) - closing - closed
    return {
        "scheduler_address": address,
        "dashboard_address": "",
        "api_address": "",
        "count": min(count, most_workers),
        "active_workers": sorted(active),
        "closing_workers": sorted(closing - active),
        "closed_workers": sorted(closed - active - closing),
    }


def _names(given: object) -> set[str]:
    if not isinstance(given, list) or len(given) > _MOST_NAMES or not all(isinstance(name, str) for name in given):
        raise HeartbeatError("Expected lists of workers' names, found something else.")
    return set(given)
