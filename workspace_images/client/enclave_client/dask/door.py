"""A port on this sandbox's own loopback interface that leads to a unix socket: Dask speaks to addresses only.

One per process and socket, for as long as the process lives. Nobody else reaches the port: a workspace has no network.
"""

from __future__ import annotations

import os
import socket
import socketserver
import threading
from contextlib import suppress

_CHUNK = 1 << 18


def open_door(path: str) -> int:
    """The port that leads to the socket at ``path``, opened at the first call."""
    with _lock:
        key = (os.getpid(), path)  # a forked process has the port and nobody who serves it
        if key not in _doors:
            _doors[key] = Door(path)
        return _doors[key].port


class Door(socketserver.ThreadingTCPServer):
    """Serves from a thread of its own; what cannot be led on is closed."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, path: str) -> None:
        super().__init__(("127.0.0.1", 0), _Lead)
        self.path = path
        self.port = int(self.server_address[1])
        threading.Thread(target=self.serve_forever, name="enclave-dask-door", daemon=True).start()


class _Lead(socketserver.BaseRequestHandler):
    server: Door

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as far:
            try:
                far.connect(self.server.path)
            except OSError:
                return  # the caller finds its connection closed, and says so
            back = threading.Thread(target=_copy, args=(far, self.request), daemon=True)
            back.start()
            _copy(self.request, far)
            back.join()


def _copy(here: socket.socket, there: socket.socket) -> None:
    """All that comes, then that it was all; when either side is gone, so is the other."""
    try:
        while chunk := here.recv(_CHUNK):
            there.sendall(chunk)
        there.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (here, there):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


_lock = threading.Lock()
_doors: dict[tuple[int, str], Door] = {}
