"""``clusters.sock`` beside the host's state: where the clusters service asks for islands (root's own folder).

SOCK_SEQPACKET: one JSON request, one JSON answer (``enclave.workspaces.islands``). Contract: a client that does not
read its answers, sends what is no packet, or comes as one too many is disconnected; the host never waits for it.
"""

from __future__ import annotations

import json
import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from enclave.listening import listen_in

NAME = "clusters.sock"
_LARGEST = 1 << 17
_MOST_CLIENTS = 16


class IslandDoor:
    """Registers itself with ``selector``: what becomes readable has a function as its ``data``."""

    def __init__(
        self, folder: Path, selector: selectors.BaseSelector, answer: Callable[[object], dict[str, Any]]
    ) -> None:
        self._path = folder / NAME
        self._selector = selector
        self._answer = answer
        self._clients: set[socket.socket] = set()
        self._listening = listen_in(folder, NAME, kind=socket.SOCK_SEQPACKET)
        self._listening.setblocking(False)
        selector.register(self._listening, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        """Disconnect everybody, and take the socket away."""
        for one in (self._listening, *self._clients):
            self._selector.unregister(one)
            one.close()
        self._clients.clear()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        try:
            client, _ = self._listening.accept()
        except OSError:
            return  # it has left already
        if len(self._clients) >= _MOST_CLIENTS:
            client.close()
            return
        client.setblocking(False)
        self._clients.add(client)
        self._selector.register(client, selectors.EVENT_READ, lambda: self._serve(client))

    def _serve(self, client: socket.socket) -> None:
        try:
            packet = client.recv(_LARGEST)
            if packet:
                client.send(json.dumps(self._answer(_parsed(packet))).encode())
                return
        except OSError:
            pass
        self._selector.unregister(client)
        self._clients.discard(client)
        client.close()


def _parsed(packet: bytes) -> object:
    """None for what is no JSON, a packet that was cut among it."""
    with suppress(ValueError, RecursionError):
        return json.loads(packet)
    return None
