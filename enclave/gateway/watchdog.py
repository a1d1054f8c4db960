"""Ends a query that runs too long, fills its scratch space, or whose reader is gone – whatever the query does.

First it interrupts, again and again, because an interrupt between two calls is lost. A query that has not answered
``GRACE_SECONDS`` later ends the whole worker: some functions see no interrupt (``repeat``, ``range`` as a list,
``levenshtein``, binding of an exponential WITH). The worker belongs to one person, so nobody else notices; the front
sees the end without DONE and tells that person's other queries. The front has a watchdog of its own for a worker that
cannot even run this one.

Time spent writing to a slow reader is not run time.
"""

from __future__ import annotations

import _thread
import contextlib
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

import duckdb

from enclave.gateway.frames import ERROR, send_frame

_TICK_SECONDS = 0.1
GRACE_SECONDS = 3.0
STALL_SECONDS = 600.0
"""A reader that takes nothing for so long is gone for us."""
EXIT_OVERDUE = 71
"""Exit code of a worker that ended itself because a query did not stop."""


class QueryWatch:
    """Watches one query from its construction to ``end``. ``reason``: seconds, cancelled, quota, or None.

    ``is_over_quota`` is asked about every 100 ms; ``sending`` is entered around each write to the reader.
    """

    def __init__(
        self,
        peer: socket.socket,
        cursor: duckdb.DuckDBPyConnection,
        seconds: float,
        is_over_quota: Callable[[], bool] | None = None,
    ) -> None:
        self.reason: str | None = None
        self._peer, self._cursor, self._is_over_quota = peer, cursor, is_over_quota
        self._ends_at = time.monotonic() + seconds
        self._sending_since: float | None = None
        self._over = threading.Event()
        _thread.start_new_thread(self._run, ())  # does not wait for its start, as Thread does

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Time inside does not count as run time."""
        started_at = time.monotonic()
        self._sending_since = started_at
        try:
            yield
        finally:
            self._ends_at += time.monotonic() - started_at
            self._sending_since = None

    def end(self) -> None:
        """The query has ended; nothing is interrupted any more."""
        self._over.set()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._peer, select.POLLIN | select.POLLRDHUP)
        while not self._over.is_set() and self.reason is None:
            hung_up = bool(poll.poll(int(_TICK_SECONDS * 1000)))
            self.reason = self._found(hung_up)
        self._insist()

    def _found(self, hung_up: bool) -> str | None:
        now, since = time.monotonic(), self._sending_since
        if hung_up:
            return "cancelled"
        if since is not None:
            if now - since > STALL_SECONDS:
                with contextlib.suppress(OSError):
                    self._peer.shutdown(socket.SHUT_RDWR)  # frees the thread that is stuck writing
                return "cancelled"
        elif now > self._ends_at:
            return "seconds"
        if self._is_over_quota is not None and self._is_over_quota():
            return "quota"
        return None

    def _insist(self) -> None:
        kill_at = time.monotonic() + GRACE_SECONDS
        while not self._over.is_set():
            self._cursor.interrupt()
            self._over.wait(_TICK_SECONDS)
            if time.monotonic() > kill_at and not self._over.is_set() and self._sending_since is None:
                self._say_why()
                os._exit(EXIT_OVERDUE)

    def _say_why(self) -> None:
        """The query's own reader hears the reason; it ends with an error in any case."""
        sentence = "The query was stopped, and did not stop by itself."
        content = {"status": self.reason, "message": sentence, "ends_worker": True}
        with contextlib.suppress(OSError):
            self._peer.settimeout(_TICK_SECONDS)
            send_frame(self._peer, ERROR, json.dumps(content).encode())
