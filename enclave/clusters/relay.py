"""The only program of ours in an island: leads fixed ways between it and unix sockets, and reads no byte of them.

``/opt/image/bin/python3.11 -I -S -B relay.py PLAN``, where ``PLAN`` is JSON: ``in``, inherited listening sockets, each
with the port of the island it leads to; ``out``, ports of the island, each with the unix socket it leads to, which may
come later or be made anew; ``between``, the addresses of the cluster's members on other machines (ADR 32). Says
``ready`` on its standard output once all listen, and nothing afterwards.
Contract: at most ``MOST`` connections each way, ``MOST_BETWEEN`` to and from other machines; a further one is closed at
once, as where nobody is on the other side. Imports the standard library only, because it is mounted alone. Non-goal:
knowing who may connect; the services do.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

HOST, SCHEDULER_PORT, CONTROL_PORT, API_PORT = "127.0.0.1", 8786, 8787, 8000
FIRST_PORT = 8800
MOST, MOST_BETWEEN = 256, 512
ADDRESS = struct.Struct("!HH")
"""Part and port: the first bytes on a way to or from another machine."""
_CHUNK = 1 << 18
_HELLO_SECONDS = 10.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Address = tuple[int, int]
Connect = Callable[[], Awaitable[Streams]]


@dataclass(frozen=True)
class Between:
    """One part of a cluster that is on several machines: part 0 is at home and has the scheduler."""

    part: int
    parts: int
    slots: int
    """Workers that each part has addresses for."""

    def known(self) -> frozenset[Address]:
        """All that may be led from one part to another: the scheduler, and every slot for a worker."""
        ports = range(FIRST_PORT, FIRST_PORT + self.slots)
        return frozenset({(0, SCHEDULER_PORT), *((part, port) for part in range(self.parts) for port in ports)})

    def here(self) -> frozenset[Address]:
        """Those of them that are in this part."""
        return frozenset(address for address in self.known() if address[0] == self.part)


def host_of(part: int) -> str:
    """A part's own address; all of 127.0.0.0/8 is loopback, so others' can be listened on in its place."""
    return f"127.0.{part}.1"


class Ways:
    """Leads connections, at most ``most`` at a time."""

    def __init__(self, most: int) -> None:
        self._most, self._led = most, 0

    async def lead_to(self, connect: Connect, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """To what ``connect`` opens, until both sides have said their last word, or one of them is gone."""
        self._led += 1
        try:
            if self._led <= self._most:
                far_reader, far_writer = await connect()
                await join(reader, writer, far_reader, far_writer)
        except OSError:
            return  # nobody there
        finally:
            self._led -= 1
            writer.transport.abort()


class Way(Ways):
    """Leads each connection to what ``connect`` opens."""

    def __init__(self, connect: Connect) -> None:
        super().__init__(MOST)
        self._connect = connect

    async def lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """See ``lead_to``."""
        await self.lead_to(self._connect, reader, writer)


async def join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    """Both directions until each has ended and all is sent."""
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(_copy(reader, far_writer))
            both.create_task(_copy(far_reader, writer))
        for ended in (writer, far_writer):
            ended.close()
            await ended.wait_closed()  # abort would lose what is not sent yet
    except* OSError:
        pass  # one side is gone, and so is what was said
    finally:
        far_writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything from one side to the other, then that it was all."""
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    await writer.drain()


async def read_address(reader: asyncio.StreamReader, expected: frozenset[Address]) -> Address:
    """The first bytes of a connection. Raises OSError for what is none of the ``expected``."""
    try:
        async with asyncio.timeout(_HELLO_SECONDS):
            part, port = ADDRESS.unpack(await reader.readexactly(ADDRESS.size))
    except asyncio.IncompleteReadError as error:
        raise ConnectionError("Expected an address in a cluster, found the end.") from error
    if (part, port) not in expected:
        raise ConnectionError("Expected an address in this cluster, found another one.")
    return part, port


def _to_port(port: int) -> Way:
    return Way(lambda: asyncio.open_connection(HOST, port, limit=_CHUNK))


def _to_socket(path: str) -> Way:
    return Way(lambda: asyncio.open_unix_connection(path, limit=_CHUNK))


async def _open_out(path: str, address: Address) -> Streams:
    reader, writer = await asyncio.open_unix_connection(path, limit=_CHUNK)
    writer.write(ADDRESS.pack(*address))
    return reader, writer


async def _open_in(reader: asyncio.StreamReader, here: frozenset[Address]) -> Streams:
    part, port = await read_address(reader, here)
    return await asyncio.open_connection(host_of(part), port, limit=_CHUNK)


async def _listen_between(given: int, path: str, between: Between) -> list[asyncio.Server]:
    """Every address of another part leads out through ``path``; what comes in says which one of this part it wants."""
    out, inward, here = Ways(MOST_BETWEEN), Ways(MOST_BETWEEN), between.here()

    async def lead_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await inward.lead_to(partial(_open_in, reader, here), reader, writer)

    servers = [await asyncio.start_unix_server(lead_in, sock=socket.socket(fileno=given), limit=_CHUNK)]
    for address in sorted(between.known() - here):
        lead = partial(out.lead_to, partial(_open_out, path, address))
        servers.append(await asyncio.start_server(lead, host_of(address[0]), address[1], limit=_CHUNK))
    return servers


async def main(plan: dict[str, Any]) -> None:
    """Serve until killed."""
    servers = [
        await asyncio.start_unix_server(_to_port(port).lead, sock=socket.socket(fileno=given), limit=_CHUNK)
        for given, port in plan["in"]
    ]
    for port, path in plan["out"]:
        servers.append(await asyncio.start_server(_to_socket(path).lead, HOST, port, limit=_CHUNK))
    if plan["between"] is not None:
        given, path, part = plan["between"]
        servers += await _listen_between(given, path, Between(**part))
    sys.stdout.write("ready\n")
    sys.stdout.close()
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
