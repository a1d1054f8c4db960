"""The exporter process: one thread and one cursor per target, one status file, until it is told to stop."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from audit.durable import make_directories, write_atomic
from audit.event import timestamp
from audit.exports.config import Settings, Target
from audit.exports.cursor import CursorFile
from audit.exports.formats import load_format
from audit.exports.lines import LineFile
from audit.exports.message import RecordUnreadable, recorded_at
from audit.exports.pump import Pump
from audit.exports.sinks.choice import make_sink
from audit.exports.source import LogReplaced, LogSource
from audit.reader import LogUnreadable

_log = structlog.get_logger()
STATUS_FILE = "status.json"


class AlreadyRunning(RuntimeError):
    """Another exporter works in the same state directory."""


def make_pump(settings: Settings, target: Target, stop: threading.Event) -> Pump:
    """A target's pump, with its files below the state directory."""
    form = load_format(target.format)
    return Pump(
        target,
        LogSource(settings.log, settings.key),
        CursorFile(settings.state / f"{target.name}.cursor.json"),
        LineFile(settings.state / f"{target.name}.dead.ndjson"),
        make_sink(target, form),
        form,
        settings.site,
        stop,
        poll_seconds=settings.poll_seconds,
    )


def serve(settings: Settings) -> None:
    """Export until SIGTERM or SIGINT; raise :class:`AlreadyRunning`, OSError or ssl.SSLError at start."""
    make_directories(settings.state, 0o750)
    lock = _take_lock(settings.state)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        pumps = [make_pump(settings, target, stop) for target in settings.targets]
        threads = [
            # daemonic: a receiver that hangs in a call must not keep the process from ending
            threading.Thread(target=pump.run, name=f"export-{pump.progress.name}", daemon=True)
            for pump in pumps
        ]
        for thread in threads:
            thread.start()
        _log.info("exports-started", targets=[target.name for target in settings.targets])
        while not stop.wait(settings.status_seconds):
            _write_status(settings, pumps)
        latest = time.monotonic() + max(target.timeout_seconds for target in settings.targets) + 2
        for thread in threads:
            thread.join(max(0.0, latest - time.monotonic()))
        _write_status(settings, pumps)
        _log.info("exports-stopped")
    finally:
        os.close(lock)


def status_of(settings: Settings, pumps: Sequence[Pump], now: datetime) -> dict[str, Any]:
    """``status.json``: per target how many records and seconds it is behind the published log."""
    source = LogSource(settings.log, settings.key)
    try:
        head = source.head()
    except (LogUnreadable, LogReplaced) as error:
        return {"at": timestamp(now), "problem": str(error), "targets": [pump.progress.as_json() for pump in pumps]}
    targets = []
    for pump in pumps:
        facts = pump.progress.as_json()
        following = facts["next"]
        facts |= {"lag_records": None, "lag_seconds": None}
        if following is not None:
            facts["lag_records"] = max(0, head.size - following)
            facts["lag_seconds"] = _age(source, following, now)
        targets.append(facts)
    return {"at": timestamp(now), "origin": head.origin, "size": head.size, "targets": targets}


def _age(source: LogSource, following: int, now: datetime) -> int | None:
    """Seconds since the oldest record not delivered was taken; 0 when there is none, None when it cannot be read."""
    try:
        if following >= source.head().size:
            return 0
        return max(0, int((now - recorded_at(source.entry(following).leaf)).total_seconds()))
    except (LogUnreadable, LogReplaced, RecordUnreadable):
        return None


def _write_status(settings: Settings, pumps: Sequence[Pump]) -> None:
    try:
        status = status_of(settings, pumps, datetime.now(UTC))
        write_atomic(settings.state / STATUS_FILE, json.dumps(status, indent=1).encode() + b"\n", mode=0o644)
    except OSError as error:
        _log.error("status-not-written", reason=error.strerror)


def _take_lock(state: Path) -> int:
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise AlreadyRunning(
            f"Another exporter works in {state.name}; stop it, or give this one a state directory of its own."
        ) from error
    return descriptor
