"""A loopback TCP port in front of the gateway's unix socket, for clients that speak TCP only."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def tcp_in_front_of(path: Path) -> Iterator[str]:
    """``host:port`` on the loopback interface while the block runs."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener, path), daemon=True).start()
    try:
        host, port = listener.getsockname()
        yield f"{host}:{port}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _accept(listener: socket.socket, path: Path) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_join, args=(client, path), daemon=True).start()


def _join(client: socket.socket, path: Path) -> None:
    with client, socket.socket(socket.AF_UNIX) as gateway, contextlib.suppress(OSError):
        gateway.connect(str(path))
        back = threading.Thread(target=_pump, args=(gateway, client), daemon=True)
        back.start()
        _pump(client, gateway)
        back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(1 << 18):
            target.sendall(chunk)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
