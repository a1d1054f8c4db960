"""What machines say to each other: frames over TLS. The first one says what a connection is for.

A frame is its length (four bytes, big-endian) and as many bytes; an empty one ends a direction, which asyncio's TLS
cannot do without ending the other one. A connection that is cut is cut on both sides.
Contract: ``WireError`` for what is no frame or longer than allowed; a peer that does not take what it is sent is waited
for (back-pressure), and one that is gone is noticed by the kernel within ``DEAD_SECONDS``.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from contextlib import suppress

from enclave.clusters.relay import Streams
from enclave.compute_nodes.machines import Machine

LONGEST_HEADER, LONGEST_COMMAND = 1 << 10, 1 << 18
CONNECT_SECONDS = 10.0
DEAD_SECONDS = 20
CHUNK = 1 << 18
_LENGTH = struct.Struct("!I")


class WireError(OSError):
    """The peer has not said what was agreed."""


class UnnamedError(WireError):
    """The peer's certificate has not the name it has to have."""


def names_of(writer: asyncio.StreamWriter) -> frozenset[str]:
    """The DNS names in the peer's certificate, which the authority has signed. A wildcard is a name like any other."""
    shown = writer.get_extra_info("peercert") or {}
    return frozenset(str(name).lower() for kind, name in shown.get("subjectAltName", ()) if kind == "DNS")


async def accept_tls(connection: socket.socket, context: ssl.SSLContext) -> Streams:
    """The server's side of a new connection. Raises OSError, ssl.SSLError among it."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=CHUNK)
    protocol = asyncio.StreamReaderProtocol(reader)
    _watch(connection)
    transport, _ = await loop.connect_accepted_socket(
        lambda: protocol, connection, ssl=context, ssl_handshake_timeout=CONNECT_SECONDS
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def connect_tls(machine: Machine, context: ssl.SSLContext) -> Streams:
    """A connection to this machine and no other. Raises OSError."""
    async with asyncio.timeout(CONNECT_SECONDS):
        reader, writer = await asyncio.open_connection(
            machine.host, machine.port, ssl=context, server_hostname=machine.name, limit=CHUNK
        )
    if machine.name not in names_of(writer):
        writer.transport.abort()
        raise UnnamedError("Expected a certificate with the machine's own name, found a wildcard. Issue it anew.")
    _watch(writer.get_extra_info("socket"))
    return reader, writer


def _watch(connection: socket.socket) -> None:
    """A machine without power says nothing; what it would have acknowledged is missed."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, DEAD_SECONDS // 2)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, DEAD_SECONDS // 4)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_SECONDS * 1000)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def write_frame(writer: asyncio.StreamWriter, content: bytes) -> None:
    """Not waited for: see ``drain``."""
    writer.write(_LENGTH.pack(len(content)))
    writer.write(content)


async def read_frame(reader: asyncio.StreamReader, longest: int) -> bytes:
    """Empty: the end of this direction. Raises OSError."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > longest:
            raise WireError(f"Expected a frame of at most {longest} bytes, found a longer one.")
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("Expected a whole frame, found a connection that was cut.") from error


async def carry(here: Streams, there: Streams) -> None:
    """Bytes of a connection ``here`` as frames over ``there``, until both directions have ended and all is sent.

    Never raises OSError.
    """
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(_send(here[0], there[1]))
            both.create_task(_receive(there[0], here[1]))
        for _, writer in (here, there):
            writer.close()
            await writer.wait_closed()  # abort would lose what is not sent yet
    except* OSError:
        pass  # one side is gone, and so is what was said
    finally:
        for _, writer in (here, there):
            writer.transport.abort()


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK):
        write_frame(writer, chunk)
        await writer.drain()
    write_frame(writer, b"")
    await writer.drain()


async def _receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await read_frame(reader, CHUNK):
        writer.write(chunk)
        await writer.drain()
    writer.write_eof()
    await writer.drain()
