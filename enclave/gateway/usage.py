"""What each person has been sent today, per project: the daily caps of the data permit.

Kept in one small file per person, so that a restarted front goes on counting. The log is the record; this is a brake:
a file that cannot be read counts as nothing sent. Days are UTC. Thread-safe within one front.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from enclave.domain.ids import PersonId, ProjectId
from enclave.domain.permits import QueryCaps
from enclave.files import write_atomically

_Key = tuple[ProjectId, PersonId]


class DailyCapError(Exception):
    """A cap of the permit is reached; the sentence names it and says how much is left."""


@dataclass(frozen=True)
class Sent:
    """Rows and bytes that left the gateway on one day."""

    day: date
    rows: int = 0
    bytes: int = 0


def _today() -> date:
    return datetime.now(UTC).date()


class DailyUsage:
    """One per front."""

    def __init__(self, folder: Path, today: Callable[[], date] = _today) -> None:
        self._folder = folder
        self._today = today
        self._lock = threading.Lock()
        self._sent: dict[_Key, Sent] = {}

    def begin(self, project: ProjectId, person: PersonId, caps: QueryCaps) -> None:
        """A query is about to run. Raises DailyCapError when nothing is left for today."""
        with self._lock:
            check_left(self._of((project, person)), caps)

    def add(self, project: ProjectId, person: PersonId, rows: int, size: int, caps: QueryCaps) -> None:
        """A batch is about to leave. Raises DailyCapError when it does not fit into today any more."""
        key = (project, person)
        with self._lock:
            sent = self._of(key)
            found = Sent(sent.day, sent.rows + rows, sent.bytes + size)
            for unit, used, limit in (
                ("rows", found.rows, caps.rows_per_day),
                ("bytes", found.bytes, caps.bytes_per_day),
            ):
                if used > limit:
                    left = limit - (sent.rows if unit == "rows" else sent.bytes)
                    raise DailyCapError(
                        f"The data permit allows {limit} {unit} per person and day; {left} are left today and this "
                        "query has more, so it was stopped. Aggregate or filter, or go on tomorrow (UTC)."
                    )
            self._sent[key] = found

    def end(self, project: ProjectId, person: PersonId) -> None:
        """The query has ended; what was sent is written down. Raises OSError."""
        key = (project, person)
        with self._lock:
            sent = self._of(key)
            content = {"day": sent.day.isoformat(), "rows": sent.rows, "bytes": sent.bytes}
            path = self._path(key)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(path, json.dumps(content).encode())

    def sent_today(self, project: ProjectId, person: PersonId) -> Sent:
        """For showing."""
        with self._lock:
            return self._of((project, person))

    def _of(self, key: _Key) -> Sent:
        today = self._today()
        sent = self._sent.get(key) or self._read(key, today)
        if sent.day != today:
            sent = Sent(today)
        self._sent[key] = sent
        return sent

    def _path(self, key: _Key) -> Path:
        return self._folder / key[0] / f"{key[1]}.json"

    def _read(self, key: _Key, today: date) -> Sent:
        try:
            found = json.loads(self._path(key).read_text())
            return Sent(date.fromisoformat(found["day"]), int(found["rows"]), int(found["bytes"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Sent(today)


def check_left(sent: Sent, caps: QueryCaps) -> None:
    """Raises DailyCapError when nothing of today's rows or bytes is left."""
    for unit, used, limit in (("rows", sent.rows, caps.rows_per_day), ("bytes", sent.bytes, caps.bytes_per_day)):
        if used >= limit:
            raise DailyCapError(
                f"The data permit allows {limit} {unit} per person and day; you have been sent {used} today, so none "
                "are left. Go on tomorrow (UTC), or ask the data access body for a wider permit."
            )
