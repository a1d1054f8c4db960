"""``enclave.check_outbox``: the disclosure checks over what lies in the caller's outbox now; nothing is asked for.

The portal reads the files and runs the checks (``POST /internal/output-requests/check``); the gateway admits, hands the
request on with the caller's own token, and slows down whoever asks too often: reading and checking costs the portal
time. Non-goal: a decision. What is asked for later is read and checked again.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from enclave.domain.ids import PersonId
from enclave.gateway.admission import Caller, CallRefusedError
from enclave.gateway.release import ReleaseClient, ReleaseRefusedError

MAXIMUM_PER_MINUTE = 12
_MINUTE = 60.0
_LANGUAGES = ("en", "fr")


class OutboxChecks:
    """One per front; thread-safe. A person has one check at a time and ``MAXIMUM_PER_MINUTE``."""

    def __init__(self, portal: ReleaseClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._portal = portal
        self._clock = clock
        self._lock = threading.Lock()
        self._started: defaultdict[PersonId, deque[float]] = defaultdict(deque)
        self._under_way: set[PersonId] = set()

    def check(self, caller: Caller, body: bytes) -> dict[str, Any]:
        """The portal's answer: files with findings. Raises CallRefusedError (too often), ReleaseRefusedError."""
        language = parse_language(body)
        self._enter(caller)
        try:
            return self._portal.check(caller.token, language)
        finally:
            with self._lock:
                self._under_way.discard(caller.person.id)

    def _enter(self, caller: Caller) -> None:
        person, now = caller.person.id, self._clock()
        with self._lock:
            started = self._started[person]
            while started and now - started[0] >= _MINUTE:
                started.popleft()
            if person in self._under_way:
                raise _too_often(caller, "The checks of your outbox are still running. Wait for their answer.")
            if len(started) >= MAXIMUM_PER_MINUTE:
                limit = f"The outbox is checked at most {MAXIMUM_PER_MINUTE} times a minute."
                raise _too_often(caller, f"{limit} Wait a little, then look again.")
            started.append(now)
            self._under_way.add(person)


def _too_often(caller: Caller, sentence: str) -> CallRefusedError:
    return CallRefusedError("check-rate", sentence, about_token=False, claims=caller.claims, policies=caller.policies)


def parse_language(body: bytes) -> str:
    """``{}`` or ``{"language": "en" or "fr"}``, nothing else. Raises ReleaseRefusedError."""
    expected = 'Expected {} or {"language": "en" or "fr"}'
    try:
        content = json.loads(body or b"{}") if len(body) <= 1000 else None
    except (ValueError, RecursionError) as error:
        raise ReleaseRefusedError(f"{expected}, found something that is not JSON.") from error
    if not isinstance(content, dict) or not set(content) <= {"language"}:
        raise ReleaseRefusedError(f"{expected}, found another body.")
    language = content.get("language", "en")
    if language not in _LANGUAGES:
        raise ReleaseRefusedError(f"{expected}, found another language.")
    return str(language)
