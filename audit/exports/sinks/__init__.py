"""Where messages go: HTTPS, TLS syslog, files. A sink returns only when its receiver has taken what it was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from audit.exports.message import Message


class SinkUnavailable(RuntimeError):
    """Nothing is known to be taken: send the same again later. ``retry_after``: seconds the receiver asked for."""

    def __init__(self, sentence: str, retry_after: float | None = None) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Refusal:
    """The receiver does not want this record. ``final``: sending it again is forbidden or pointless."""

    index: int
    reason: str
    final: bool = False


class Sink(Protocol):
    """One receiver, used by one thread."""

    rewind: int
    """Records to send again after a lost connection or a restart, for receivers that acknowledge nothing."""

    def send(self, messages: Sequence[Message]) -> list[Refusal]:
        """Deliver in order and return what was refused; raise :class:`SinkUnavailable` when in doubt."""

    def check(self) -> None:
        """Called when there is nothing to send; raise :class:`SinkUnavailable` when the connection was lost."""

    def close(self) -> None:
        """Let go, as gracefully as the receiver allows."""
