"""The audit log as auditors filter it: entries read once per process and kept by index (the log only grows).

The published log lags the acknowledged records by up to a second. Non-goal: proving anything (``audit.proof``).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from audit.reader import LogEntry, LogUnreadable, read_entries


@dataclass(frozen=True)
class EventFilter:
    """What an auditor asks for; None and empty mean any. Times are aware; ``until`` is exclusive."""

    persons: frozenset[str] | None = None
    project: str = ""
    type: str = ""
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""


def matches(entry: LogEntry, wanted: EventFilter) -> bool:
    """Does the entry pass all filters? A person matches as actor or as subject."""
    leaf = entry.leaf
    if wanted.persons is not None and not {leaf.get("actor"), leaf.get("subject")} & wanted.persons:
        return False
    if wanted.project and leaf.get("project") != wanted.project:
        return False
    if wanted.type and leaf.get("type") != wanted.type:
        return False
    if wanted.text and wanted.text.casefold() not in f"{leaf.get('type')} {leaf.get('subject')}".casefold():
        return False
    if wanted.since is None and wanted.until is None:
        return True
    at = time_of(entry)
    return (wanted.since is None or at >= wanted.since) and (wanted.until is None or at < wanted.until)


def time_of(entry: LogEntry) -> datetime:
    """When the log took the record (aware, UTC)."""
    return datetime.fromisoformat(str(entry.leaf["at"]))


class EventIndex:
    """All published entries of one log, oldest first; safe to use from many threads."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._entries: list[LogEntry] = []
        self._lock = threading.Lock()

    def entries(self) -> Sequence[LogEntry]:
        """Everything published by now; empty while the log has no checkpoint. Raises ``LogUnreadable``."""
        with self._lock:
            if (self._log_dir / "checkpoint").exists():
                self._entries.extend(read_entries(self._log_dir, len(self._entries)))
            return self._entries[:]

    def newest_first(self, wanted: EventFilter) -> list[LogEntry]:
        """The entries that pass the filter, newest first."""
        return [entry for entry in reversed(self.entries()) if matches(entry, wanted)]

    def get(self, index: int) -> LogEntry:
        """One entry; raises ``LogUnreadable`` when it is not published."""
        entries = self.entries()
        if not 0 <= index < len(entries):
            raise LogUnreadable(f"Expected an index below the published size {len(entries)}, found {index}.")
        return entries[index]


@cache
def event_index(log_dir: Path) -> EventIndex:
    """The index of this process for a log."""
    return EventIndex(log_dir)
