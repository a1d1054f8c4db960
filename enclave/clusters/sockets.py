"""Unix sockets in a workspace's folder, met without following a link, whatever the length of the path."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from enclave.edge.sockets import open_socket


def connect_packets(path: Path, seconds: float) -> socket.socket:
    """A blocking SEQPACKET connection. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(seconds)
    descriptor = open_socket(path)
    try:
        connection.connect(f"/proc/self/fd/{descriptor}")
    except OSError:
        connection.close()
        raise
    finally:
        os.close(descriptor)
    return connection


async def connect_stream(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A stream to the socket at ``path``. Raises OSError."""
    descriptor = open_socket(path)
    try:
        return await asyncio.open_unix_connection(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
