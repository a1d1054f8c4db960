"""Unix sockets in a workspace's folder: made and met without following a link, whatever the length of the path."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from enclave.edge.sockets import open_socket

_BACKLOG = 64


def listen(folder: Path, name: str, mode: int) -> socket.socket:
    """A non-blocking listening socket ``name`` in the place of what was there; ``folder`` is no link.

    Raises OSError.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    above = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    old = os.umask(0o777 & ~mode)  # so that the socket has its mode from the first moment, and no chmod is needed
    try:
        path = f"/proc/self/fd/{above}/{name}"
        Path(path).unlink(missing_ok=True)
        listening.bind(path)
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(old)
        os.close(above)
    return listening


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
