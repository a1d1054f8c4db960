"""Pruning by policy: once a day, everything older than the number of days to keep."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import structlog

from audit.daemon.core import AuditLog
from audit.event import EventError
from audit.own_events import OWN_ACTOR
from audit.wal import WalFull

DAY_SECONDS = 86_400.0

_log = structlog.get_logger()


class Housekeeping:
    """``keep_days`` 0: nothing is ever pruned unasked. ``monotonic`` in seconds."""

    def __init__(self, log: AuditLog, keep_days: int, monotonic: Callable[[], float]) -> None:
        self._audit = log
        self._keep = timedelta(days=keep_days)
        self._monotonic = monotonic
        self._next = monotonic()

    def wait(self) -> float | None:
        """Seconds until there is something to do, None for never."""
        return max(0.0, self._next - self._monotonic()) if self._keep else None

    def work(self) -> None:
        """Prune when it is time; what cannot be done today is tried again tomorrow. Raise WalBroken."""
        if not self._keep or self._monotonic() < self._next:
            return
        self._next = self._monotonic() + DAY_SECONDS
        try:
            stored = self._audit.prune(self._audit.now() - self._keep, OWN_ACTOR)
        except EventError as error:
            _log.info("nothing-pruned", reason=str(error))
        except (WalFull, OSError) as error:
            _log.error("pruning-put-off", reason=str(error))
        else:
            _log.info("pruned", record=stored.index, minimum=self._audit.minimum)
