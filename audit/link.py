"""One connection of a client to the daemon: a request, then its answer."""

from __future__ import annotations

import contextlib
import math
import select
import socket
import struct
import time
from typing import Any

from audit.wire import WireError, take_messages

_CHUNK = 64 * 1024
_TIME = struct.Struct("ll")
_GRAIN_SECONDS = 0.25


class Link:
    """Blocking socket with the kernel's own time limits: two system calls per exchange."""

    def __init__(self, path: str, deadline: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._buffer = bytearray()
        self._limit = 0.0
        try:
            self._wait(deadline)
            self._socket.connect(path)
        except BaseException:
            self._socket.close()
            raise

    def send(self, data: bytes, deadline: float) -> None:
        """Send one message; raise OSError, also on timeout. ``deadline`` in seconds of ``time.monotonic``."""
        self._wait(deadline)
        # a refused peer finds its answer waiting although the daemon has hung up
        with contextlib.suppress(BrokenPipeError):
            self._socket.sendall(data)

    def receive(self, deadline: float) -> dict[str, Any]:
        """Wait for the answer to it; raise OSError, EOFError or WireError. Kept to a quarter of a second."""
        while True:
            self._wait(deadline)
            chunk = self._socket.recv(_CHUNK)
            if not chunk:
                raise EOFError
            self._buffer += chunk
            messages = take_messages(self._buffer)
            if messages:
                if len(messages) > 1 or self._buffer:
                    raise WireError("Expected one answer, found more.")
                return messages[0]

    def is_readable(self) -> bool:
        """``receive`` would not wait for its first bytes."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __del__(self) -> None:
        # a client that goes out of use takes its idle connections along
        if hasattr(self, "_socket"):
            self._socket.close()

    def _wait(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        limit = math.ceil(left / _GRAIN_SECONDS) * _GRAIN_SECONDS
        if limit != self._limit:
            value = _TIME.pack(int(limit), int(limit % 1 * 1_000_000))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)
            self._limit = limit
