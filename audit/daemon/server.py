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
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from audit.daemon.connections import Connection, peer_of
from audit.daemon.core import AuditLog
from audit.daemon.heartbeat import DEFAULT_HEARTBEAT_SECONDS, Heartbeat
from audit.daemon.housekeeping import Housekeeping
from audit.daemon.outside import Outside, OutsideSettings
from audit.daemon.requests import REFUSALS, Desk, Request, refusal, refusal_of
from audit.event import AuditEvent, EventError
from audit.wal import WalFull
from audit.wire import frame_body

BACKLOG = 256
FULL_PROBE_SECONDS = 1.0
"""How often a log on a full disk looks whether there is room again, even when nobody asks."""

_log = structlog.get_logger()
Waiting = tuple[Connection, Request]


@dataclass(frozen=True)
class ServerSettings:
    """``reader_uids``: who may read payloads, redact and prune; None: everybody who may write. 0 days: never prune."""

    socket: Path
    allowed_uids: Iterable[int] = ()
    reader_uids: Iterable[int] | None = None
    heartbeat_seconds: int = DEFAULT_HEARTBEAT_SECONDS
    keep_days: int = 0


class Server:
    """Serves until a stop signal (or a failure, which is raised); then publishes everything and closes."""

    def __init__(self, log: AuditLog, settings: ServerSettings, outside: Outside | None = None) -> None:
        self._audit = log
        self._outside = outside or Outside(OutsideSettings(), log)
        self._path = settings.socket
        own = {0, os.getuid()}
        self._allowed = frozenset({*own, *settings.allowed_uids, *(settings.reader_uids or ())})
        readers = self._allowed if settings.reader_uids is None else frozenset({*own, *settings.reader_uids})
        self._desk = Desk(log, readers)
        self._heartbeat = Heartbeat(settings.heartbeat_seconds, time.monotonic)
        self._housekeeping = Housekeeping(log, settings.keep_days, time.monotonic)
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._stopping = False
        for end in (self._wake_read, self._wake_write):
            end.setblocking(False)

    def run(self) -> None:
        """Listen and serve. Raise WalBroken or PublishingFailed when the log can no longer keep records."""
        self._catch_signals()  # before anybody can see the socket and send one
        self._record_own(self._heartbeat.birth())
        listener = self._listen()
        self._selector.register(listener, selectors.EVENT_READ, None)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._audit.publishing.on_trouble = self._wake
        self._outside.start(self._wake)
        try:
            while not self._stopping:
                self._turn(listener)
        finally:
            self._path.unlink(missing_ok=True)
            listener.close()
        self._drain()
        self._record_own(self._heartbeat.death())
        self._audit.close()
        self._outside.finish()

    def _listen(self) -> socket.socket:
        """The name appears once it can be connected to: whoever waits for it is never refused."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        unheard = self._path.with_name(f"{self._path.name}~")
        unheard.unlink(missing_ok=True)
        listener.bind(str(unheard))
        unheard.chmod(0o666)
        listener.listen(BACKLOG)
        listener.setblocking(False)
        unheard.replace(self._path)
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
        waiting: list[Waiting] = []
        touched: list[Connection] = []
        for key, ready in self._selector.select(self._patience()):
            if key.fileobj is listener:
                self._accept(listener)
            elif key.fileobj is self._wake_read:
                self._wake_read.recv(4096)
            else:
                touched.append(key.data)
                self._serve(key.data, ready, waiting)
        self._audit.publishing.check()
        if self._audit.publishing.blocked is not None:
            self._audit.enter_full(f"The log cannot be published ({self._audit.publishing.blocked}).")
        if waiting:
            self._commit(waiting)
        self._settle(touched)
        self._audit.rotate_if_due()
        self._look_after()

    def _patience(self) -> float | None:
        """How long to wait for clients, in seconds; None for ever."""
        waits = [self._heartbeat.wait(), self._housekeeping.wait(), FULL_PROBE_SECONDS if self._audit.full else None]
        return min((wait for wait in waits if wait is not None), default=None)

    def _look_after(self) -> None:
        """What the log does unasked: notice that there is room again, beat, prune."""
        if self._audit.full is not None:
            with contextlib.suppress(WalFull):
                self._audit.leave_full()
        self._record_own(self._heartbeat.due())
        self._outside.record_pending(self._audit)
        self._housekeeping.work()

    def _record_own(self, events: list[AuditEvent]) -> None:
        for event in events:
            try:
                self._audit.record_own(event)
            except WalFull as error:
                _log.error("own-record-refused", type=event.type, reason=str(error))

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
                accepted.send(frame_body(refusal(sentence)))
            accepted.close()
            return
        self._selector.register(accepted, selectors.EVENT_READ, Connection(accepted))

    def _serve(self, connection: Connection, ready: int, waiting: list[Waiting]) -> None:
        if ready & selectors.EVENT_WRITE:
            connection.flush()
        if not ready & selectors.EVENT_READ:
            return
        for message in connection.receive():
            try:
                request = self._desk.take(message, connection.peer)
                if request is not None:
                    waiting.append((connection, request))
                    continue
                # alone, between two batches: what came before it is committed, what comes after is prepared afterwards
                self._commit(waiting)
                waiting.clear()
                connection.answer(self._desk.act(message))
            except (*REFUSALS, WalFull, OSError) as error:
                if isinstance(error, OSError):
                    _log.error("request-refused", reason=str(error))
                connection.answer(refusal_of(error))

    def _commit(self, waiting: list[Waiting]) -> None:
        try:
            stored = self._audit.commit([request.prepared for _, request in waiting])
        except WalFull as error:
            for connection, _ in waiting:
                connection.answer(refusal_of(error))
            return
        for (connection, request), place in zip(waiting, stored, strict=True):
            connection.answer(refusal(str(place)) if isinstance(place, EventError) else request.answer(place))

    def _settle(self, touched: list[Connection]) -> None:
        """Send answers, drop finished clients; wait for writability only where answers are queued."""
        for connection in touched:
            connection.flush()
            if not connection.open:
                self._selector.unregister(connection.socket)
                connection.socket.close()
                continue
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.wants_write else 0)
            if connection.watched != wanted:
                self._selector.modify(connection.socket, wanted, connection)
                connection.watched = wanted

    def _drain(self) -> None:
        """After the last batch: close every client; what was not answered, the client sends again."""
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, Connection):
                key.data.flush()
                key.data.socket.close()
        self._selector.close()
        self._wake_read.close()
