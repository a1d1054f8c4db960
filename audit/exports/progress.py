"""How each target fares: kept by its thread, read by the one that writes the status file."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from audit.event import timestamp


class State(StrEnum):
    """As it stands in the status file."""

    STARTING = "starting"
    RUNNING = "running"
    RETRYING = "retrying"
    HALTED = "halted"
    STOPPED = "stopped"


@dataclass
class Progress:
    """Thread-safe; ``failures`` counts those since the last delivery, ``dead_letters`` those since the start."""

    name: str
    format: str
    to: str
    state: State = State.STARTING
    next: int | None = None
    failures: int = 0
    dead_letters: int = 0
    problem: str = ""
    delivered_at: datetime | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def set(self, **changes: Any) -> None:
        """Replace some of the facts."""
        with self._lock:
            for name, value in changes.items():
                setattr(self, name, value)

    def delivered(self, following: int, at: datetime) -> None:
        """A batch went through."""
        self.set(state=State.RUNNING, next=following, failures=0, problem="", delivered_at=at)

    def failed(self, problem: str) -> int:
        """One more failure; their number since the last delivery."""
        with self._lock:
            self.failures += 1
            self.state, self.problem = State.RETRYING, problem
            return self.failures

    def buried(self) -> None:
        """A record went to the dead-letter file."""
        with self._lock:
            self.dead_letters += 1

    def as_json(self) -> dict[str, Any]:
        """The facts for the status file; nothing secret, nothing a receiver wrote."""
        with self._lock:
            return {
                "name": self.name,
                "format": self.format,
                "to": self.to,
                "state": str(self.state),
                "next": self.next,
                "failures": self.failures,
                "dead_letters": self.dead_letters,
                "problem": self.problem,
                "delivered_at": timestamp(self.delivered_at) if self.delivered_at else None,
            }
