"""Who may have a file read now: at most so many at once, one turn per person, and few who wait.

A turn is taken in the order of asking by whoever has none. Whoever would wait behind too many, or too long, is refused
with a sentence instead: a thread of the portal that waits serves nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from egress_review.domain.sentences import Sentence
from enclave.domain.decisions import RefusedError

WAIT_SECONDS = 20.0
_YOURS = Sentence("Files of yours are being read already. Wait until that has ended, then try again.")
_OTHERS = Sentence("The files of other people are being read just now. Nothing was done; try again in a minute.")


class BusyError(RefusedError):
    """Not now. Says who is waited for, and what to do."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Turns:
    """One lane; thread-safe. ``own``: how many of one person may wait; ``all_waiting``: how many of everybody."""

    def __init__(self, own: int, all_waiting: int, seconds: float = WAIT_SECONDS) -> None:
        self._own, self._all_waiting, self._seconds = own, all_waiting, seconds
        self._changed = threading.Condition()
        self._running: list[str] = []
        self._waiting: list[tuple[object, str]] = []

    @contextmanager
    def turn(self, person: str, at_once: int) -> Iterator[None]:
        """Wait for it, have it, give it back. Raises BusyError."""
        with self._changed:
            self._enter(person, at_once)
        try:
            yield
        finally:
            with self._changed:
                self._running.remove(person)
                self._changed.notify_all()

    def counts(self) -> tuple[int, int]:
        """How many have a turn, how many wait."""
        with self._changed:
            return len(self._running), len(self._waiting)

    def _enter(self, person: str, at_once: int) -> None:
        me = (object(), person)
        self._waiting.append(me)
        try:
            if not self._is_next(me, at_once):
                self._check_room(person)
                if not self._changed.wait_for(lambda: self._is_next(me, at_once), self._seconds):
                    raise BusyError(_YOURS if person in self._running else _OTHERS)
            self._running.append(person)
        finally:
            self._waiting.remove(me)
            self._changed.notify_all()

    def _is_next(self, me: tuple[object, str], at_once: int) -> bool:
        if len(self._running) >= at_once:
            return False
        return next((one for one in self._waiting if one[1] not in self._running), None) is me

    def _check_room(self, person: str) -> None:
        """Before waiting; whoever asks is in the list already."""
        if sum(one[1] == person for one in self._waiting) > self._own:
            raise BusyError(_YOURS)
        if len(self._waiting) > self._all_waiting:
            raise BusyError(_OTHERS)
