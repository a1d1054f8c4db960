"""Frames between machines: half-closed connections stay so, and what is cut is cut on both sides."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from enclave.compute_nodes.parts import Kept
from enclave.compute_nodes.serve import NodeServer
from enclave.compute_nodes.wire import carry, read_frame, write_frame
from enclave.settings import Settings


async def pair() -> tuple[Any, Any]:
    one, other = socket.socketpair()
    return await asyncio.open_connection(sock=one), await asyncio.open_connection(sock=other)


def in_two_ways(test: Callable[..., Awaitable[None]]) -> None:
    """``client`` ⇄ carry ⇄ frames ⇄ carry ⇄ ``server``; ``wire`` is what is between the two machines."""

    async def run() -> None:
        (client, here), (wire, there), (back, server) = await pair(), await pair(), await pair()
        both = [asyncio.create_task(carry(here, wire)), asyncio.create_task(carry(back, there))]
        try:
            async with asyncio.timeout(60):
                await test(client, server, wire)
                await asyncio.gather(*both)
        finally:
            for _, writer in (client, server):
                writer.transport.abort()

    asyncio.run(run())


def test_one_direction_may_end_before_the_other() -> None:
    async def test(client: Any, server: Any, wire: Any) -> None:
        client[1].write(b"a" * 1_000_000)
        client[1].write_eof()
        assert len(await server[0].read()) == 1_000_000
        server[1].write(b"answer")
        server[1].write_eof()
        assert await client[0].read() == b"answer"

    in_two_ways(test)


def test_what_is_cut_is_cut_on_both_sides() -> None:
    async def test(client: Any, server: Any, wire: Any) -> None:
        client[1].write(b"half")
        assert await server[0].readexactly(4) == b"half"
        wire[1].transport.abort()
        for reader, _ in (client, server):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""

    in_two_ways(test)


def test_a_frame_has_its_length() -> None:
    async def run() -> None:
        (_, writer), (far, far_writer) = await pair()
        write_frame(writer, b"word")
        write_frame(writer, b"")
        assert (await read_frame(far, 4), await read_frame(far, 4)) == (b"word", b"")
        write_frame(writer, b"longer")
        with pytest.raises(OSError, match="at most 4 bytes"):
            await read_frame(far, 4)
        assert await far.readexactly(6) == b"longer"  # and nobody reads on after that
        writer.write(b"\0\0\0\4cut")
        writer.close()
        with pytest.raises(ConnectionResetError):
            await read_frame(far, 1000)
        far_writer.close()

    asyncio.run(run())


class UnsafeParts:
    """Says it has some."""

    count = 1

    def __init__(self) -> None:
        self.ended = 0

    async def end_all(self) -> None:
        self.ended += 1

    async def keep_only(self, kept: Any) -> Any:
        return Kept({}, [], {})


def test_a_node_that_does_not_hear_home_ends_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    identity = type("Identity", (), {"server": None, "client": None})
    node: Any = type("Node", (), {"identity": identity, "home": "h", "workers": 1})
    server, held = NodeServer(Settings(home=tmp_path), node, lambda: now[0]), UnsafeParts()
    monkeypatch.setattr(server, "_parts", held)
    for now[0], ended in ((20.0, 0), (21.0, 1)):
        asyncio.run(server.look())
        assert held.ended == ended
    there: Any = (None, Mock(drain=AsyncMock(), wait_closed=AsyncMock()))
    for said, ended in (("hello", 2), ("poll", 2)):  # what enclave doctor says is no word of the clusters' service
        asyncio.run(server._answer(frozenset({"h"}), {"do": said, "clusters": {}}, there))
        asyncio.run(server.look())
        assert held.ended == ended
    now[0] += 21
    monkeypatch.setattr(server, "_obeying", 1)  # home waits for an answer
    asyncio.run(server.look())
    assert held.ended == 2
