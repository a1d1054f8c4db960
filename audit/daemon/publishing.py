"""A thread that publishes what was committed, at most :data:`INTERVAL_SECONDS` behind, so that commits never wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from audit.durable import write_atomic
from audit.publisher import Publisher

INTERVAL_SECONDS = 0.25
"""Least time between two publications: each costs a handful of fsyncs and leaves one partial tile and bundle."""


class PublishingFailed(RuntimeError):
    """The public files could not be written; the daemon stops taking records (fail closed)."""


class PublishingThread:
    """Started on construction. ``on_failure`` is called from the thread when publishing fails."""

    def __init__(self, publisher: Publisher, own_copy: Path, note: bytes) -> None:
        self._publisher = publisher
        self._own_copy = own_copy
        self._changed = threading.Condition()
        self._entries: list[bytes] = []
        self._hashes: list[bytes] = []
        self._note: bytes | None = None
        self._busy = False
        self._stopping = False
        self._hurried = False
        self._last = 0.0
        self.failure: Exception | None = None
        self.on_failure: Callable[[], object] = lambda: None
        write_atomic(own_copy, note, mode=0o600)
        self._thread = threading.Thread(target=self._run, name="publishing", daemon=True)
        self._thread.start()

    def submit(self, entries: Sequence[bytes], hashes: Sequence[bytes], note: bytes) -> None:
        """Hand over committed entries and the checkpoint that covers them."""
        with self._changed:
            self._entries += entries
            self._hashes += hashes
            self._note = note
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until everything handed over is published; raise :class:`PublishingFailed`."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.failure or (self._note is None and not self._busy))
            self._hurried = False
        self.check()

    def check(self) -> None:
        """Raise :class:`PublishingFailed` when the thread has given up."""
        if self.failure is not None:
            raise PublishingFailed(f"Publishing the log failed: {self.failure}") from self.failure

    def stop(self) -> None:
        """Publish everything, end the thread; raise :class:`PublishingFailed`."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()
        self.check()

    def _run(self) -> None:
        try:
            while (work := self._next()) is not None:
                self._publisher.publish(*work)
                write_atomic(self._own_copy, work[2], mode=0o600)
                self._last = time.monotonic()
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
        except Exception as error:
            # whatever it is: acknowledging records that nobody publishes would be worse than stopping
            with self._changed:
                self.failure = error
                self._changed.notify_all()
            self.on_failure()

    def _next(self) -> tuple[list[bytes], list[bytes], bytes] | None:
        """Wait for work, and for its turn; None when stopping and all is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._note is not None or self._stopping)
            while not (self._stopping or self._hurried):
                rest = self._last + INTERVAL_SECONDS - time.monotonic()
                if rest <= 0:
                    break
                self._changed.wait(rest)
            if self._note is None:
                return None
            work = (self._entries, self._hashes, self._note)
            self._entries, self._hashes, self._note = [], [], None
            self._busy = True
            return work
