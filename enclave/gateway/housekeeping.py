"""The front's chores, again and again: what is done about once a second whoever asks meanwhile.

Contract: ``turn`` starts each row of chores that is not being done already, on threads of its own, and waits for none
of them. So a row that has to wait (for a worker that is just starting, for a client that does not hang up, for the log)
puts off no other: a revoked person's query ends all the same. Within a row one chore follows the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import structlog

_log = structlog.get_logger()
Chore = Callable[[], object]


@dataclass
class _Row:
    chores: tuple[Chore, ...]
    under_way: asyncio.Task[None] | None = None


class Housekeeping:
    """Call ``turn`` in one event loop; what is under way when the loop ends is not waited for."""

    def __init__(self, *rows: tuple[Chore, ...]) -> None:
        self._rows = [_Row(chores) for chores in rows]
        self._threads = ThreadPoolExecutor(len(rows), "housekeeping")

    def turn(self) -> None:
        """Begin what is not under way."""
        for row in self._rows:
            if row.under_way is None or row.under_way.done():
                row.under_way = asyncio.create_task(_do_each(row.chores, self._threads))


async def _do_each(chores: Iterable[Chore], threads: Executor) -> None:
    """One that fails is logged, tried again at the next turn, and keeps none of the others from being done."""
    for chore in chores:
        try:
            await asyncio.get_running_loop().run_in_executor(threads, chore)
        except Exception as error:
            _log.error("housekeeping-failed", kind=type(error).__name__)


def seldom(chore: Chore, seconds: float) -> Chore:
    """The chore, done when it is so long since it was done last."""
    due_at = time.monotonic()

    def do() -> None:
        nonlocal due_at
        if time.monotonic() >= due_at:
            due_at = time.monotonic() + seconds
            chore()

    return do
