"""The front's housekeeping: no part of it waits for another to be well, or to be done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from enclave.gateway.housekeeping import Housekeeping


async def turns_until(housekeeping: Housekeeping, is_enough: Callable[[], bool]) -> None:
    """Take turns; the test's own deadline ends one that goes on for ever."""
    async with asyncio.timeout(60):
        while not is_enough():
            housekeeping.turn()
            await asyncio.sleep(0)


def test_a_part_that_fails_keeps_no_other_from_being_done() -> None:
    done = []

    def full_disk() -> None:
        raise OSError("No space left on device")

    row = (lambda: done.append("first"), full_disk, lambda: done.append("last"))
    asyncio.run(turns_until(Housekeeping(row), lambda: len(done) >= 4))
    assert done[:4] == ["first", "last"] * 2


def test_a_part_that_waits_puts_off_no_other() -> None:
    may_end, begun, done = threading.Event(), [], []

    def starting_worker() -> None:
        begun.append(1)
        assert may_end.wait(60)

    housekeeping = Housekeeping((starting_worker, lambda: done.append("behind it")), (lambda: done.append("revoked"),))
    try:
        asyncio.run(turns_until(housekeeping, lambda: len(done) >= 3 and len(begun) == 1))
    finally:
        may_end.set()
    assert done[:3] == ["revoked"] * 3
    assert begun == [1]
