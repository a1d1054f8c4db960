"""What the hub puts on record beside its looks at workspaces, in one thread of its own.

A look ends a workspace whose person was revoked, and the time it may take is promised
(``enclave.workspaces.standing``). So it waits for no record, neither here nor for a thread that others need: it begins
one and goes on. What is not on record then is found by a later look. Non-goal: what has to be on record first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache


class Bookkeeping:
    """Does one thing after the other; what it is given does not raise."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bookkeeping")
        self._begun: Future[object] | None = None

    def begin(self, work: Callable[[], object]) -> None:
        """Return at once. While what was begun before is under way this is not: a later look comes again."""
        if self._begun is None or self._begun.done():
            self._begun = self._thread.submit(work)

    async def do(self, work: Callable[[], object]) -> None:
        """Return when it is done."""
        await asyncio.wrap_future(self._thread.submit(work))


@cache
def bookkeeping() -> Bookkeeping:
    """This hub's."""
    return Bookkeeping()
