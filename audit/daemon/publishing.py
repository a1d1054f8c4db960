"""A thread that publishes what was committed, at most :data:`INTERVAL_SECONDS` behind, so that commits never wait.

On a full disk it keeps trying (``blocked`` says why; the log takes no records meanwhile). Any other failure ends it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from audit.daemon.sealing import is_disk_full
from audit.durable import write_atomic
from audit.publisher import Publisher

INTERVAL_SECONDS = 0.25
"""Least time between two publications: each costs a handful of fsyncs and leaves one partial tile and bundle."""
RETRY_SECONDS = 0.5


class PublishingFailed(RuntimeError):
    """The public files could not be written; the daemon stops taking records (fail closed)."""


class PublishingThread:
    """Started on construction. ``on_trouble`` is called from the thread when publishing fails or is blocked,
    ``make_room`` when the disk is full at the end.

    ``after`` is called in the thread with the size published: copying and removing sealed segments.
    """

    def __init__(self, publisher: Publisher, own_copy: Path, note: bytes, after: Callable[[int], object]) -> None:
        self._publisher = publisher
        self._own_copy = own_copy
        self._after = after
        self._changed = threading.Condition()
        self._entries: list[bytes] = []
        self._hashes: list[bytes] = []
        self._note: bytes | None = None
        self._busy = False
        self._stopping = False
        self._hurried = False
        self._last = 0.0
        self.size = publisher.size
        self.blocked: str | None = None
        self.failure: Exception | None = None
        self.on_trouble: Callable[[], object] = lambda: None
        self.make_room: Callable[[], object] = lambda: None
        self._last_try = False
        write_atomic(own_copy, note, mode=0o600)
        self._thread = threading.Thread(target=self._run, name="publishing", daemon=True)
        self._thread.start()

    def submit(self, entries: Sequence[bytes], hashes: Sequence[bytes], note: bytes) -> None:
        """Hand over committed entries and the checkpoint that covers them."""
        with self._changed:
            self._entries += entries
            self._hashes += hashes
            if self._note is None:
                self._changed.notify_all()
            self._note = note

    def flush(self) -> None:
        """Wait until everything handed over is published; raise :class:`PublishingFailed`, OSError on a full disk."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.failure or self.blocked or (self._note is None and not self._busy))
            self._hurried = False
        self.check()
        if self.blocked:
            raise OSError(self.blocked)

    @property
    def caught_up(self) -> bool:
        """True when everything handed over is published."""
        return self._note is None and not self._busy and self.blocked is None

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
                self._publish(*work)
                self.size = self._publisher.size
                self._after(self.size)
                self._last = time.monotonic()
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
        except Exception as error:
            # whatever it is: acknowledging records that nobody publishes would be worse than stopping
            with self._changed:
                self.failure = error
                self._changed.notify_all()
            self.on_trouble()

    def _publish(self, entries: list[bytes], hashes: list[bytes], note: bytes) -> None:
        """Publish; on a full disk wait and try again, until it works or the daemon stops."""
        handed_over = False
        while True:
            try:
                if handed_over:
                    self._publisher.retry()
                else:
                    handed_over = True
                    self._publisher.publish(entries, hashes, note)
                write_atomic(self._own_copy, note, mode=0o600)
            except OSError as error:
                if not is_disk_full(error) or not self._may_retry():
                    raise
                self._block(str(error.strerror))
                continue
            self.blocked = None
            return

    def _may_retry(self) -> bool:
        """While running: always. While stopping: once, in the room that can be made."""
        if not self._stopping:
            return True
        last_try, self._last_try = self._last_try, True
        self.make_room()
        return not last_try

    def _block(self, reason: str) -> None:
        first = self.blocked is None
        with self._changed:
            self.blocked = reason
            self._changed.notify_all()
        if first:
            self.on_trouble()
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, RETRY_SECONDS)

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
