"""When a self-test is due, and a process for it: weekly, and when code, kernel or engine are not those of the last one.

The runner looks; the test runs beside it, so that a revoked person's workspace is not kept waiting. Nothing is due in
the first minutes after a start, which belong to the people who wait for their pages. SATRE 2.2.12 and 2.4.04.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from enclave.selftest.report import Report, stored
from enclave.selftest.run import Conditions, conditions
from enclave.settings import Settings

log = structlog.get_logger()
LOOK_SECONDS = 300.0
SETTLE_SECONDS = 600.0
_END_SECONDS = 20.0
_COMMAND = (sys.executable, "-m", "enclave.cli.main", "selftest", "--reason")


def find_reason(days: int, last: Report | None, now: datetime, at: Conditions) -> str | None:
    """Why one is due (a word for the record), or None. ``days`` 0: never by itself. Pure.

    One that could not be carried out has proved nothing, so it is tried again the next day.
    """
    if days <= 0:
        return None
    if last is None:
        return "first"
    if last.code != at.code:
        return "code"
    if last.kernel != at.kernel:
        return "kernel"
    if last.engine != at.engine:
        return "engine"
    return "due" if now - last.started_at >= timedelta(days=1 if last.problem else days) else None


class SelftestSchedule:
    """``look`` is called often and does something seldom."""

    def __init__(
        self,
        settings: Settings,
        start: Callable[[Sequence[str]], subprocess.Popen[bytes]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._start = start or _start
        self._clock = clock
        self._look_at = clock() + SETTLE_SECONDS
        self._running: subprocess.Popen[bytes] | None = None

    def look(self) -> None:
        """Collect what has ended; begin what is due."""
        if self._running is not None and self._running.poll() is not None:
            log.info("selftest-ended", code=self._running.returncode)
            self._running = None
        if self._running is not None or self._clock() < self._look_at:
            return
        self._look_at = self._clock() + LOOK_SECONDS
        last = next(iter(stored(self._settings, 1)), None)
        now = datetime.now(UTC)
        reason = find_reason(self._settings.selftest_days, last, now, conditions(self._settings))
        if reason is not None:
            log.info("selftest-begins", reason=reason)
            self._running = self._start((*_COMMAND, reason))

    def end(self) -> None:
        """The runner stops: so does a test under way."""
        if self._running is None:
            return
        self._running.terminate()
        try:
            self._running.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait(_END_SECONDS)
        self._running = None


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)
