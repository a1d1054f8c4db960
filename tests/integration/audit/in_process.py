"""The log without its sockets, opened in the test's own process: a clock of one's own, faults where they are wanted."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from audit.daemon.core import AuditLog, LogSettings
from audit.event import Peer
from audit.reader import read_entries

ORIGIN = "log.example.test/enclave"
NOVEMBER = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Clock:
    """Stands still until it is set."""

    def __init__(self, now: datetime = NOVEMBER) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def go(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def opened(home, clock, **settings):
    return AuditLog(LogSettings(home / "log", home / "state", ORIGIN, **settings), clock)


def put(log, number=0, payload=None, project="p-1"):
    """One record by a client, committed alone."""
    fields = {"type": "query:intent", "actor": "u-1", "project": project, "counts": {"n": number}}
    message = {"event": fields, "event_id": secrets.token_hex(8), "writer": "w", "boot": secrets.token_hex(4), "seq": 1}
    if payload is not None:
        message["payload"] = payload
    (stored,) = log.commit([log.prepare(message, Peer(0, 1))])
    log.rotate_if_due()
    return stored


def own_leaves(log_dir, start=0):
    """What the log recorded about itself: types and counts, from the published entries."""
    entries = read_entries(log_dir, start)
    return [(entry.leaf["type"], entry.leaf["counts"]) for entry in entries if entry.leaf["writer"] == "audit"]
