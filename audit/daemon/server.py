"""The daemon's loop: read what every client has sent, commit it as one batch, answer, again.

Only the kernel's word counts for who a client is: root, the daemon's own account and the accounts it was started with
are let in, all others get one sentence and the end of the connection.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from audit.canonical import CanonicalError
from audit.daemon.connections import Connection, peer_of
from audit.daemon.core import AuditLog, Prepared, Stored
from audit.event import AuditEvent, EventError
from audit.payloads import PayloadError
from audit.wal import WalFull, WalRefused
from audit.wire import WireError, encode_message

BACKLOG = 256

_log = structlog.get_logger()


@dataclass(frozen=True)
class Request:
    """A record waiting for its batch, who asked, and how to answer once it is durable."""

    connection: Connection
    prepared: Prepared
    answer: Callable[[Stored], dict[str, Any]]


class Server:
    """Serves until a stop signal (or a failure, which is raised); then publishes everything and closes."""

    def __init__(self, log: AuditLog, socket_path: Path, allowed_uids: Iterable[int]) -> None:
        self._audit = log
        self._path = socket_path
        self._allowed = frozenset({0, os.getuid(), *allowed_uids})
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._stopping = False
        for end in (self._wake_read, self._wake_write):
            end.setblocking(False)

    def run(self) -> None:
        """Listen and serve. Raise WalBroken or PublishingFailed when the log can no longer keep records."""
        listener = self._listen()
        self._selector.register(listener, selectors.EVENT_READ, None)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._audit.publishing.on_failure = self._wake
        self._catch_signals()
        try:
            while not self._stopping:
                self._turn(listener)
        finally:
            self._path.unlink(missing_ok=True)
            listener.close()
        self._drain()
        self._audit.close()

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        listener.bind(str(self._path))
        self._path.chmod(0o666)
        listener.listen(BACKLOG)
        listener.setblocking(False)
        return listener

    def _catch_signals(self) -> None:
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_write.send(b"!")

    def _turn(self, listener: socket.socket) -> None:
        requests: list[Request] = []
        for key, ready in self._selector.select():
            if key.fileobj is listener:
                self._accept(listener)
            elif key.fileobj is self._wake_read:
                self._wake_read.recv(4096)
            else:
                requests += self._serve(key.data, ready)
        self._audit.publishing.check()
        if requests:
            self._commit(requests)
            self._audit.rotate_if_due()
        self._settle()

    def _accept(self, listener: socket.socket) -> None:
        try:
            accepted, _ = listener.accept()
        except OSError as error:
            _log.warning("accept-failed", reason=error.strerror)
            return
        peer = peer_of(accepted)
        if peer.uid not in self._allowed:
            _log.warning("peer-refused", uid=peer.uid, pid=peer.pid)
            sentence = f"User id {peer.uid} may not write to the audit log; the daemon needs --allow-uid {peer.uid}."
            with contextlib.suppress(OSError):
                accepted.send(encode_message({"ok": False, "kind": "refused", "error": sentence}))
            accepted.close()
            return
        self._selector.register(accepted, selectors.EVENT_READ, Connection(accepted))

    def _serve(self, connection: Connection, ready: int) -> list[Request]:
        if ready & selectors.EVENT_WRITE:
            connection.flush()
        if not ready & selectors.EVENT_READ:
            return []
        found = []
        for message in connection.receive():
            try:
                found.append(self._request(connection, message))
            except (EventError, CanonicalError, WireError, ValueError, TypeError) as error:
                connection.answer({"ok": False, "kind": "refused", "error": str(error)})
            except OSError as error:
                _log.error("payload-refused", reason=error.strerror)
                sentence = f"The key for this payload cannot be written ({error.strerror}); free some disk space."
                connection.answer({"ok": False, "kind": "full", "error": sentence})
        return found

    def _request(self, connection: Connection, message: dict[str, Any]) -> Request:
        match message.get("op"):
            case "record":
                return Request(connection, self._audit.prepare(message, connection.peer), self._receipt)
            case "payload":
                index, reader = message.get("index"), message.get("reader")
                if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < self._audit.size:
                    raise EventError("index: expected the index of a record in the log.")
                event = AuditEvent("audit:read", str(reader), subject=f"entry:{index}", data={"payload": True})
                return Request(connection, self._audit.prepare_own(event), lambda _: self._payload(index))
            case _:
                raise EventError("op: expected 'record' or 'payload'.")

    def _receipt(self, stored: Stored) -> dict[str, Any]:
        return {
            "ok": True,
            "index": stored.index,
            "leaf_hash": stored.leaf_hash.hex(),
            "checkpoint": self._audit.note,
        }

    def _payload(self, index: int) -> dict[str, Any]:
        try:
            return {"ok": True, "payload": self._audit.payload(index)}
        except (PayloadError, WalRefused) as error:
            return {"ok": False, "kind": "refused", "error": str(error)}

    def _commit(self, requests: list[Request]) -> None:
        try:
            stored = self._audit.commit([request.prepared for request in requests])
        except WalFull as error:
            _log.error("batch-refused", reason=str(error), records=len(requests))
            for request in requests:
                request.connection.answer({"ok": False, "kind": "full", "error": str(error)})
            return
        for request, place in zip(requests, stored, strict=True):
            if isinstance(place, EventError):
                request.connection.answer({"ok": False, "kind": "refused", "error": str(place)})
            else:
                request.connection.answer(request.answer(place))

    def _settle(self) -> None:
        """Drop finished clients; wait for writability only where answers are queued."""
        for key in list(self._selector.get_map().values()):
            connection = key.data
            if not isinstance(connection, Connection):
                continue
            if not connection.open:
                self._selector.unregister(connection.socket)
                connection.socket.close()
                continue
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.wants_write else 0)
            if key.events != wanted:
                self._selector.modify(connection.socket, wanted, connection)

    def _drain(self) -> None:
        """After the last batch: close every client; what was not answered, the client sends again."""
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, Connection):
                key.data.flush()
                key.data.socket.close()
        self._selector.close()
        self._wake_read.close()
