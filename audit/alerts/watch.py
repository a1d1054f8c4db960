"""The watcher: every minute it refreshes the index, evaluates the rules and records what is new.

Loop, turn and error boundary are three functions; the loop's condition, pause and clock come in from outside. Nothing
that goes wrong in a turn ends the loop: it is logged, and the next turn tries again. SATRE 2.5.03.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import structlog

from audit.alerts.engine import evaluate_rules
from audit.alerts.model import Alert
from audit.alerts.raising import AlertIndex, Recorder, raise_new
from audit.alerts.thresholds import Thresholds, ThresholdsError, load_thresholds
from audit.client import AuditClient

WRITER = "alerts"
EXIT_REFUSED = 3
_log = structlog.get_logger()


class WatchedIndex(AlertIndex, Protocol):
    """What is needed of ``audit.index.LogIndex``."""

    def refresh(self) -> int: ...


@dataclass(frozen=True)
class WatchSettings:
    """What the command line says; ``every`` in seconds."""

    log_dir: Path
    index_dir: Path
    socket: Path
    thresholds: Path | None = None
    every: float = 60.0


def run(settings: WatchSettings) -> int:
    """Watch until SIGTERM or SIGINT; return the exit code (3: the thresholds cannot be used)."""
    from audit.index import LogIndex

    _configure_log()
    try:
        thresholds = load_thresholds(settings.thresholds)
    except ThresholdsError as error:
        _log.error("start-refused", reason=str(error))
        return EXIT_REFUSED
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    client = AuditClient(settings.socket, WRITER)
    _log.info("started", every_seconds=settings.every, time_zone=str(thresholds.site.time_zone))
    try:
        watch(
            LogIndex(settings.log_dir, settings.index_dir),
            client,
            thresholds,
            keep_going=lambda: not stop.is_set(),
            pause=lambda: stop.wait(settings.every),
        )
    finally:
        client.close()
    _log.info("stopped-cleanly")
    return 0


def watch(
    index: WatchedIndex,
    client: Recorder,
    thresholds: Thresholds,
    *,
    keep_going: Callable[[], bool],
    pause: Callable[[], object],
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Turn after turn while ``keep_going``, with a ``pause`` after each."""
    already: set[str] = set()
    while keep_going():
        try_turn(index, client, thresholds, clock, already)
        pause()


def try_turn(
    index: WatchedIndex, client: Recorder, thresholds: Thresholds, clock: Callable[[], datetime], already: set[str]
) -> None:
    """One turn; what goes wrong is logged, by its kind only (a message may quote a record)."""
    try:
        turn(index, client, thresholds, clock(), already)
    except Exception as error:
        _log.error("turn-failed", kind=type(error).__name__)


def turn(
    index: WatchedIndex, client: Recorder, thresholds: Thresholds, now: datetime, already: set[str]
) -> list[Alert]:
    """Refresh, evaluate, record; return the alerts recorded. A rule that fails is logged and stops no other."""
    index.refresh()
    with closing(index.connection()) as connection:
        evaluation = evaluate_rules(connection, thresholds, now)
    for rule, error in evaluation.failed.items():
        _log.error("rule-failed", rule=rule, kind=type(error).__name__)
    recorded = raise_new(index, client, thresholds, now, found=evaluation.alerts, already=already)
    for alert in recorded:
        _log.warning("alert-raised", rule=alert.rule, key=alert.key, severity=str(alert.severity))
    return recorded


def _configure_log() -> None:
    """JSON lines on standard error; no record's content is ever written there."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
