"""Accepting connections: whoever knocks without a pause takes nobody else's turn."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

from enclave.clusters.islands import accept
from enclave.listening import listen_in

KNOCKS = 100


def test_others_get_their_turn_between_two_connections(tmp_path: Path) -> None:
    seen: list[str] = []

    async def answer(connection: socket.socket) -> None:
        connection.close()
        seen.append("accepted")

    async def other() -> None:
        while seen.count("accepted") < KNOCKS:
            seen.append("turn")
            await asyncio.sleep(0)

    async def run(listening: socket.socket) -> None:
        accepting = asyncio.create_task(accept(listening, answer))
        await asyncio.wait_for(other(), 60)
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)

    with contextlib.ExitStack() as knocking, listen_in(tmp_path, "x.sock") as listening:
        for _ in range(KNOCKS):  # all of them wait already when the first is accepted
            client = knocking.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(tmp_path / "x.sock"))
        asyncio.run(run(listening))
    first, last = seen.index("accepted"), len(seen) - 1 - seen[::-1].index("accepted")
    assert seen[first:last].count("turn") >= KNOCKS - 1
