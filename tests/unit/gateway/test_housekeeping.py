"""The front's housekeeping: no part of it waits for another to be well."""

from __future__ import annotations

import asyncio

from enclave.gateway.front import do_each


def test_a_part_that_fails_keeps_no_other_from_being_done() -> None:
    done = []

    def full_disk() -> None:
        raise OSError("No space left on device")

    asyncio.run(do_each(lambda: done.append("first"), full_disk, lambda: done.append("last")))
    assert done == ["first", "last"]
