"""Ends a query that runs too long, fills its scratch space, or whose reader is gone – whatever the query does.

First it interrupts, again and again, because an interrupt between two calls is lost. A query that has not answered
``GRACE_SECONDS`` later ends the whole worker: some functions see no interrupt (``repeat``, ``range`` as a list,
``levenshtein``, binding of an exponential WITH). The worker belongs to one person, so nobody else notices; the front
sees the end without DONE and tells that person's other queries. The front has a watchdog of its own for a worker that
cannot even run this one.

Time spent writing to a slow reader is not run time.

One thread watches all queries of the worker, so that a short query costs an entry in a dictionary and no thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import duckdb

from enclave.gateway.frames import ERROR, send_frame

_TICK_SECONDS = 0.1
GRACE_SECONDS = 3.0
STALL_SECONDS = 600.0
"""A reader that takes nothing for so long is gone for us."""
_QUIET_TURNS = 10
"""Turns without a query before the thread sleeps: waking it costs a query a context switch."""
EXIT_OVERDUE = 71
"""Exit code of a worker that ended itself because a query did not stop."""


class QueryWatch:
    """One watched query, until ``end``. ``reason``: seconds, cancelled, quota, or None."""

    def __init__(
        self,
        peer: socket.socket,
        cursor: duckdb.DuckDBPyConnection,
        seconds: float,
        is_over_quota: Callable[[], bool] | None,
        forget: Callable[[QueryWatch], None],
    ) -> None:
        self.reason: str | None = None
        self.peer = peer
        self._cursor, self._is_over_quota, self._forget = cursor, is_over_quota, forget
        self._ends_at = time.monotonic() + seconds
        self._sending_since: float | None = None
        self._kill_at = 0.0

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Enter around each write to the reader: time inside does not count as run time."""
        started_at = time.monotonic()
        self._sending_since = started_at
        try:
            yield
        finally:
            self._ends_at += time.monotonic() - started_at
            self._sending_since = None

    def end(self) -> None:
        """The query has ended: nothing interrupts its cursor after this has returned."""
        self._forget(self)

    def look(self, has_hung_up: bool) -> None:
        """One turn of the watchdog, under its lock: decide, or insist on what was decided."""
        if self.reason is None:
            self.reason = self._found(has_hung_up)
            self._kill_at = time.monotonic() + GRACE_SECONDS
        if self.reason is not None:
            self._insist()

    def _found(self, has_hung_up: bool) -> str | None:
        now, since = time.monotonic(), self._sending_since
        if has_hung_up:
            return "cancelled"
        if since is not None:
            if now - since > STALL_SECONDS:
                with contextlib.suppress(OSError):
                    self.peer.shutdown(socket.SHUT_RDWR)  # frees the thread that is stuck writing
                return "cancelled"
        elif now > self._ends_at:
            return "seconds"
        if self._is_over_quota is not None and self._is_over_quota():
            return "quota"
        return None

    def _insist(self) -> None:
        self._cursor.interrupt()
        if time.monotonic() > self._kill_at and self._sending_since is None:
            self._say_why()
            os._exit(EXIT_OVERDUE)

    def _say_why(self) -> None:
        """The query's own reader hears the reason; it ends with an error in any case."""
        sentence = "The query was stopped, and did not stop by itself."
        content = {"status": self.reason, "message": sentence, "ends_worker": True}
        with contextlib.suppress(OSError):
            self.peer.settimeout(_TICK_SECONDS)
            send_frame(self.peer, ERROR, json.dumps(content).encode())


class Watchdog:
    """One per worker. Its thread looks at every query about every 100 ms, and sleeps while there is none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: set[QueryWatch] = set()
        self._is_asleep = threading.Event()
        self._is_needed = threading.Event()
        threading.Thread(target=self._run, daemon=True, name="watchdog").start()

    def watch(
        self,
        peer: socket.socket,
        cursor: duckdb.DuckDBPyConnection,
        seconds: float,
        is_over_quota: Callable[[], bool] | None = None,
    ) -> QueryWatch:
        """Watch a query from now on. ``is_over_quota`` is asked about every 100 ms."""
        found = QueryWatch(peer, cursor, seconds, is_over_quota, self._forget)
        with self._lock:
            self._watched.add(found)
            if self._is_asleep.is_set():
                self._is_needed.set()
        return found

    def _forget(self, watched: QueryWatch) -> None:
        with self._lock:
            self._watched.discard(watched)

    def _run(self) -> None:
        quiet_turns = 0
        while True:
            with self._lock:
                running = {found.peer.fileno(): found for found in self._watched if found.reason is None}
                has_work = bool(self._watched)
            quiet_turns = 0 if has_work else quiet_turns + 1
            if quiet_turns > _QUIET_TURNS:
                self._sleep()
            else:
                self._turn({running[descriptor] for descriptor in _hung_up(running)})

    def _turn(self, hung_up: set[QueryWatch]) -> None:
        """By query, not by descriptor: that of a query which ended meanwhile may be another's by now."""
        with self._lock:
            for found in self._watched:
                found.look(found in hung_up)

    def _sleep(self) -> None:
        with self._lock:
            if self._watched:
                return
            self._is_needed.clear()
            self._is_asleep.set()
        self._is_needed.wait()
        self._is_asleep.clear()


def _hung_up(descriptors: Iterable[int]) -> list[int]:
    """Which of these were closed at the other end; waits one tick, less when one is."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLRDHUP)  # what comes in are freed slots
    return [descriptor for descriptor, _ in poll.poll(int(_TICK_SECONDS * 1000))]
