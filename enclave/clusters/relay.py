"""The only program of ours in an island: leads three fixed ways between it and unix sockets, and reads no byte of them.

``/opt/image/bin/python3.11 -I -S -B relay.py SCHEDULER CONTROL API``: what connects to the inherited sockets
``SCHEDULER`` and ``CONTROL`` is led to the scheduler's two ports in the island (work, and its HTTP API), and what
connects to the island's API port is led to the unix socket ``API``, which may come later or be made anew. Says
``ready`` on its standard output once all listen, and nothing afterwards.
Contract: at most ``MOST`` connections each way; a further one is closed at once, as where nobody is on the other side.
Imports the standard library only, because it is mounted alone. Non-goal: knowing who may connect; the services do.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable

HOST, SCHEDULER_PORT, CONTROL_PORT, API_PORT = "127.0.0.1", 8786, 8787, 8000
MOST = 256
_CHUNK = 1 << 18

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Way:
    """Leads each connection to what ``connect`` opens."""

    def __init__(self, connect: Callable[[], Awaitable[Streams]]) -> None:
        self._connect = connect
        self._led = 0

    async def lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until both sides have said their last word, or one of them is gone."""
        self._led += 1
        try:
            if self._led <= MOST:
                far_reader, far_writer = await self._connect()
                await join(reader, writer, far_reader, far_writer)
        except OSError:
            return  # nobody there
        finally:
            self._led -= 1
            writer.transport.abort()


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


def _to_port(port: int) -> Way:
    return Way(lambda: asyncio.open_connection(HOST, port, limit=_CHUNK))


async def main(scheduler: int, control: int, api: str) -> None:
    """Serve until killed."""
    inward = {given: _to_port(port) for given, port in ((scheduler, SCHEDULER_PORT), (control, CONTROL_PORT))}
    outward = Way(lambda: asyncio.open_unix_connection(api, limit=_CHUNK))
    servers = [
        await asyncio.start_unix_server(way.lead, sock=socket.socket(fileno=given), limit=_CHUNK)
        for given, way in inward.items()
    ]
    servers.append(await asyncio.start_server(outward.lead, HOST, API_PORT, limit=_CHUNK))
    sys.stdout.write("ready\n")
    sys.stdout.close()
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
