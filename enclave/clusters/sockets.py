"""Unix sockets in a workspace's folder, met without following a link, whatever the length of the path."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from enclave.edge.sockets import open_socket


async def exchange_packets(path: Path, question: bytes, largest: int) -> bytes:
    """A packet to the SEQPACKET socket at ``path``, and what comes back; empty: nothing. Raises OSError.

    On no thread: there are few of them, and who keeps one waiting would keep everybody waiting.
    """
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as connection:
        descriptor = open_socket(path)
        try:
            await loop.sock_connect(connection, f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        await loop.sock_sendall(connection, question)
        return await loop.sock_recv(connection, largest)


async def connect_stream(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A stream to the socket at ``path``. Raises OSError."""
    descriptor = open_socket(path)
    try:
        return await asyncio.open_unix_connection(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
