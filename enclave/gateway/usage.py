"""What each person has been sent today, per project: the daily caps of the data permit, over all fronts together.

Kept in one small file per person, changed under its lock before each batch leaves, so that several fronts that send to
one person at the same time never exceed the cap together, and a restarted front goes on counting. The log is the
record; this is a brake: a file that cannot be read counts as nothing sent, and while it cannot be reached each front
counts for itself. Days are UTC. Thread-safe. Cost: one look at the file for a query, and a lock, a read and a write for
each batch of up to 8 MiB.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import orjson

from enclave.domain.ids import PersonId, ProjectId
from enclave.domain.permits import QueryCaps
from enclave.gateway.shared_files import Stamp, find_stamp, locked

_Key = tuple[ProjectId, PersonId]


class DailyCapError(Exception):
    """A cap of the permit is reached; the sentence names it and says how much is left."""


@dataclass(frozen=True)
class Sent:
    """Rows and bytes that left the gateway on one day."""

    day: date
    rows: int = 0
    bytes: int = 0

    def more(self, rows: int, size: int) -> Sent:
        return Sent(self.day, self.rows + rows, self.bytes + size)


@dataclass
class _Person:
    """What this front knows of one person: the newest count, and what of it could not be written yet."""

    lock: threading.Lock
    path: Path
    seen: Sent
    unwritten: Sent
    stamp: Stamp | None = None
    """The file's when it held ``seen``; None when that is not known."""


def _today() -> date:
    return datetime.now(UTC).date()


class DailyUsage:
    """One per front, all over the same folder."""

    def __init__(self, folder: Path, today: Callable[[], date] = _today) -> None:
        self._folder = folder
        self._today = today
        self._lock = threading.Lock()
        self._people: dict[_Key, _Person] = {}

    def begin(self, project: ProjectId, person: PersonId, caps: QueryCaps) -> None:
        """A query is about to run. Raises DailyCapError when nothing is left for today.

        A file that has not changed is not read again. A count missed that way was another front's a moment ago, and
        ``add``, which nothing leaves without, reads the file each time.
        """
        key = (project, person)
        found = self._person(key)
        with found.lock:
            seen, is_known = found.seen, found.stamp is not None and found.stamp == find_stamp(found.path)
        if not is_known or seen.day != self._today():
            seen = self._change(key, lambda sent: sent)
        check_left(seen, caps)

    def add(self, project: ProjectId, person: PersonId, rows: int, size: int, caps: QueryCaps) -> None:
        """A batch is about to leave. Raises DailyCapError when it does not fit into today any more."""

        def step(sent: Sent) -> Sent:
            found = sent.more(rows, size)
            _check_fits(sent, found, caps)
            return found

        self._change((project, person), step)

    def end(self, project: ProjectId, person: PersonId) -> None:
        """The query has ended; what could not be written before is written now. Raises OSError."""
        found = self._person((project, person))
        if found.unwritten.rows or found.unwritten.bytes:
            self._change((project, person), lambda sent: sent, may_fail=True)

    def sent_today(self, project: ProjectId, person: PersonId) -> Sent:
        """For showing."""
        return self._change((project, person), lambda sent: sent)

    def _change(self, key: _Key, step: Callable[[Sent], Sent], *, may_fail: bool = False) -> Sent:
        """The count after ``step``, which is on disk unless the file cannot be reached."""
        today, person = self._today(), self._person(key)
        with person.lock:
            if person.seen.day != today:
                person.seen = person.unwritten = Sent(today)
            kept, person.stamp = person.unwritten, None
            try:
                with locked(person.path) as file:
                    on_file = _parse(file.read(), today)
                    found = step(on_file.more(kept.rows, kept.bytes))
                    if found != on_file:
                        file.write(_content(found))
                    stamp = file.stamp()
                person.unwritten, person.stamp = Sent(today), stamp
            except OSError:
                if may_fail:
                    raise
                found = step(person.seen)
                rows, size = found.rows - person.seen.rows, found.bytes - person.seen.bytes
                person.unwritten = kept.more(rows, size)
            person.seen = found
            return found

    def _person(self, key: _Key) -> _Person:
        with self._lock:
            if key not in self._people:
                nothing = Sent(self._today())
                path = self._folder / key[0] / f"{key[1]}.json"
                self._people[key] = _Person(threading.Lock(), path, nothing, nothing)
            return self._people[key]


def _content(sent: Sent) -> bytes:
    return orjson.dumps({"day": sent.day, "rows": sent.rows, "bytes": sent.bytes})


def _parse(content: bytes, today: date) -> Sent:
    try:
        found = orjson.loads(content)
        sent = Sent(date.fromisoformat(found["day"]), int(found["rows"]), int(found["bytes"]))
    except (ValueError, KeyError, TypeError):
        return Sent(today)
    return sent if sent.day == today else Sent(today)


def _check_fits(sent: Sent, found: Sent, caps: QueryCaps) -> None:
    for unit, before, after, limit in (
        ("rows", sent.rows, found.rows, caps.rows_per_day),
        ("bytes", sent.bytes, found.bytes, caps.bytes_per_day),
    ):
        if after > limit:
            raise DailyCapError(
                f"The data permit allows {limit} {unit} per person and day; {max(limit - before, 0)} are left today "
                "and this query has more, so it was stopped. Aggregate or filter, or go on tomorrow (UTC)."
            )


def check_left(sent: Sent, caps: QueryCaps) -> None:
    """Raises DailyCapError when nothing of today's rows or bytes is left."""
    for unit, used, limit in (("rows", sent.rows, caps.rows_per_day), ("bytes", sent.bytes, caps.bytes_per_day)):
        if used >= limit:
            raise DailyCapError(
                f"The data permit allows {limit} {unit} per person and day; you have been sent {used} today, so none "
                "are left. Go on tomorrow (UTC), or ask the data access body for a wider permit."
            )
