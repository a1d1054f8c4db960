"""One client's socket: bytes in, messages out of them, answers back. Non-blocking."""

from __future__ import annotations

import selectors
import socket
import struct
from typing import Any

from audit.daemon.requests import refusal
from audit.event import Peer
from audit.wire import MAX_MESSAGE_BYTES, WireError, frame_body, take_messages

READ_BYTES = 256 * 1024
MAX_UNREAD_ANSWERS = 2 * MAX_MESSAGE_BYTES
_CREDENTIALS = struct.Struct("3i")


def peer_of(connection: socket.socket) -> Peer:
    """Who connected, as the kernel says (unix(7), SO_PEERCRED)."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return Peer(uid, pid)


class Connection:
    """``open`` becomes False once the socket is to be dropped; ``watched``: the events the selector waits for."""

    def __init__(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        self.socket = accepted
        self.peer = peer_of(accepted)
        self.open = True
        self.watched = selectors.EVENT_READ
        self._inbox = bytearray()
        self._outbox = bytearray()

    @property
    def wants_write(self) -> bool:
        """True while answers wait for the client to read them."""
        return bool(self._outbox)

    def receive(self) -> list[dict[str, Any]]:
        """Read what is there and return the complete messages; a broken client is answered once and dropped."""
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            self.open = False
            return []
        if not data:
            self.open = False
            return []
        self._inbox += data
        try:
            return take_messages(self._inbox)
        except WireError as error:
            self.answer(refusal(str(error)))
            self.flush()
            self.open = False
            return []

    def answer(self, body: bytes) -> None:
        """Queue an answer (its JSON); ``flush`` sends it."""
        self._outbox += frame_body(body)

    def flush(self) -> None:
        """Send what the socket takes now; a client that leaves too much unread is dropped."""
        try:
            while self._outbox:
                sent = self.socket.send(self._outbox)
                del self._outbox[:sent]
        except BlockingIOError:
            if len(self._outbox) > MAX_UNREAD_ANSWERS:
                self.open = False
        except OSError:
            self.open = False
            self._outbox.clear()
