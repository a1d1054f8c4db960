"""What the log records about its own life: start, stop, and that it is alive. Pure apart from the clock given."""

from __future__ import annotations

from collections.abc import Callable

from audit.event import AuditEvent
from audit.own_events import OwnEvent, own_event

DEFAULT_HEARTBEAT_SECONDS = 60


class Heartbeat:
    """``seconds`` between two records; 0: no records about the log's own life at all. ``monotonic`` in seconds."""

    def __init__(self, seconds: int, monotonic: Callable[[], float]) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._next = monotonic() + seconds

    def birth(self) -> list[AuditEvent]:
        """What to record before the first client is let in."""
        return [own_event(OwnEvent.STARTED)] if self._seconds else []

    def death(self) -> list[AuditEvent]:
        """What to record after the last client was answered."""
        return [own_event(OwnEvent.STOPPED)] if self._seconds else []

    def due(self) -> list[AuditEvent]:
        """What to record now."""
        if not self._seconds or self._monotonic() < self._next:
            return []
        self._next = self._monotonic() + self._seconds
        return [own_event(OwnEvent.HEARTBEAT, counts={"seconds": self._seconds})]

    def wait(self) -> float | None:
        """Seconds until the next record is due, None for never."""
        return max(0.0, self._next - self._monotonic()) if self._seconds else None
