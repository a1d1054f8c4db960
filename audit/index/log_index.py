"""Asking the index. Safe to use from many threads and beside other processes that refresh the same index."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from audit.index.builder import refresh_index
from audit.index.bundles import checkpoint_exists, read_scattered
from audit.index.manifest import IndexDamaged, Manifest, Part, check_part, read_manifest
from audit.index.mapping import OUTCOME, row_of
from audit.index.rows import Row, row_from
from audit.index.text import TextFinder
from audit.index.views import SELECTED, create_views, open_database
from audit.index.wanted import GROUPINGS, Clause, Wanted, clauses
from audit.index.words import QUOTE, fold
from audit.reader import LogUnreadable

MAX_GROUPS = 1_000
STEPS = tuple(
    timedelta(seconds=seconds) for seconds in (60, 600, 3600, 6 * 3600, 86_400, 7 * 86_400, 28 * 86_400, 364 * 86_400)
)
FOUND = "found_text"
NEWEST = 65_536
STATEMENT = '"index", template, tables, verb, dataset'


@dataclass(frozen=True)
class Histogram:
    """Counts per ``step``; ``bars``: the start of each (aware, UTC), without gaps. Empty when nothing matches."""

    step: timedelta
    bars: tuple[tuple[datetime, int], ...]


class LogIndex:
    """The index of one log in one directory. Call :meth:`refresh` before asking; answers cover what it covered.

    Keep one per process and log: it keeps a DuckDB instance whose metadata cache makes answers fast.
    """

    def __init__(self, log_dir: Path, index_dir: Path) -> None:
        self._log_dir = Path(log_dir).absolute()
        self._index_dir = Path(index_dir).absolute()
        self._lock = threading.Lock()
        self._checked: set[Part] = set()
        self._manifest: Manifest | None = None
        self._adopting = threading.Lock()
        self._texts = TextFinder(self._index_dir)
        self._database = open_database()
        create_views(self._database, self._index_dir, None)

    def refresh(self) -> int:
        """Bring the index up to the published log; return how many records it holds. Cheap when nothing is new.

        A log that has published nothing yet gives 0. Raise :class:`audit.reader.LogUnreadable` when the log lacks what
        its checkpoint promises, :class:`IndexUnwritable` when the index directory cannot be written.
        """
        with self._lock:
            if not checkpoint_exists(self._log_dir):
                return 0
            manifest = refresh_index(self._log_dir, self._index_dir)
            try:
                self._check(manifest)
            except IndexDamaged:
                manifest = refresh_index(self._log_dir, self._index_dir, anew=True)
                self._check(manifest)
            self._adopt(manifest)
            return manifest.size - manifest.first

    def size(self) -> int:
        """The log's size as far as the index covers it (one more than the newest index)."""
        return self._manifest.size if self._manifest else 0

    def search(self, wanted: Wanted, *, limit: int = 50, before: int | None = None) -> list[Row]:
        """Records that pass, newest first; ``before``: only those with a smaller index (the next page)."""
        manifest = self._covered()
        if manifest is None:
            return []
        end = manifest.size if before is None else before
        # most questions find enough among the newest records, and need not read what lies before
        edge = max(0, end - NEWEST)
        found = self._newest(wanted, edge, end, limit)
        if len(found) < limit and edge > manifest.first:
            found += self._newest(wanted, manifest.first, edge, limit - len(found))
        return self._rows(found)

    def count(self, wanted: Wanted) -> int:
        """How many records pass."""
        return int(self._select("SELECT count(*)", wanted)[0][0])

    def groups(self, wanted: Wanted, by: str, *, limit: int = MAX_GROUPS) -> list[tuple[str, int]]:
        """How many records pass per value of ``by`` (see ``GROUPINGS``), most first, days in order.

        Records without a value are left out. ``by="table"`` counts a record once for each of its tables.
        """
        if by not in GROUPINGS:
            raise ValueError(f"Expected a grouping among {', '.join(GROUPINGS)}, found another; choose one of them.")
        order = "1" if by == "day" else "2 DESC, 1"
        head = f"SELECT value, count(*) FROM (SELECT {GROUPINGS[by]} AS value"  # noqa: S608
        tail = f") WHERE value IS NOT NULL GROUP BY value ORDER BY {order} LIMIT ?"
        counted = self._select(head, wanted, tail, [limit])
        return [(str(value), int(count)) for value, count in counted]

    def histogram(self, wanted: Wanted, buckets: int = 60) -> Histogram:
        """Records that pass over time, in about ``buckets`` bars at most, of a minute up to a year each."""
        first, last = self._select('SELECT min("at"), max("at")', wanted)[0]
        if first is None:
            return Histogram(STEPS[0], ())
        step = next((step for step in STEPS if (last - first) / step <= buckets), STEPS[-1])
        head = "SELECT time_bucket(CAST(? AS INTERVAL), \"at\", TIMESTAMP '2001-01-01') AS start, count(*)"
        found = self._select(head, wanted, "GROUP BY start", head_values=[step])
        counted = {start: int(count) for start, count in found if start is not None}
        span = (max(counted) - min(counted)) // step
        starts = [min(counted) + step * bar for bar in range(span + 1)]
        return Histogram(step, tuple((start.replace(tzinfo=UTC), counted.get(start, 0)) for start in starts))

    def row(self, index: int) -> Row:
        """One record; raise :class:`audit.reader.LogUnreadable` when the index does not hold it."""
        found = self._rows([index])
        if not found:
            raise LogUnreadable(f"The index holds no record {index}: it is not published yet, or it was pruned.")
        return found[0]

    def connection(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own with view ``records`` over what the index covers now; close it soon.

        Soon: files that a later refresh supersedes are deleted after a minute.
        """
        self._covered()
        connection = open_database()
        create_views(connection, self._index_dir, self._manifest)
        return connection

    def _newest(self, wanted: Wanted, start: int, end: int, limit: int) -> list[int]:
        tail = 'ORDER BY "index" DESC LIMIT ?'
        found = self._select('SELECT "index"', wanted, tail, [limit], within=(start, end))
        return [index for (index,) in found]

    def _rows(self, indexes: Sequence[int]) -> list[Row]:
        """The records, read from the log itself, since leaves far apart are slow to get out of Parquet."""
        manifest = self._covered()
        if manifest is None:
            return []
        held = [index for index in indexes if manifest.first <= index < manifest.size]
        try:
            found = {index: row_of(index, entry) for index, entry in read_scattered(self._log_dir, held, manifest.size)}
        except LogUnreadable:  # pruned or damaged since: the index still has them
            return [row_from(named) for named in self._columns(SELECTED, held)]
        outcomes = [index for index, row in found.items() if row["type"] == OUTCOME]
        for named in self._columns(STATEMENT, outcomes):
            found[named["index"]].update(named)
        return [row_from(found[index]) for index in sorted(found, reverse=True)]

    def _columns(self, selected: str, indexes: Sequence[int]) -> list[dict[str, Any]]:
        """Columns of the index for some records, newest first."""
        if not indexes:
            return []
        places = ", ".join("?" * len(indexes))
        sql = f'SELECT {selected} FROM records WHERE "index" IN ({places}) ORDER BY "index" DESC'  # noqa: S608
        names = [name.strip(' "') for name in selected.split(",")]
        answers = self._ask(lambda cursor: cursor.execute(sql, list(indexes)))
        return [dict(zip(names, values, strict=True)) for values in answers]

    def _select(
        self,
        head: str,
        wanted: Wanted,
        tail: str = "",
        tail_values: Sequence[Any] = (),
        *,
        head_values: Sequence[Any] = (),
        within: tuple[int, int] | None = None,
    ) -> list[tuple[Any, ...]]:
        """``head`` and ``tail`` are constants of this file around the condition that ``wanted`` makes."""
        found = clauses(wanted)
        if within is not None:
            found.append(('"index" >= ? AND "index" < ?', list(within)))

        def ask(cursor: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
            conditions = [*found, *self._text_clauses(cursor, wanted.text)]
            where = " AND ".join(sql for sql, _ in conditions) or "true"
            values = [*head_values, *(value for _, given in conditions for value in given), *tail_values]
            return cursor.execute(f"{head} FROM searched WHERE {where} {tail}", values)

        return self._ask(ask)

    def _text_clauses(self, cursor: duckdb.DuckDBPyConnection, text: str | None) -> list[Clause]:
        manifest = self._covered()
        if not text or manifest is None:
            return []
        cursor.register(FOUND, self._texts.find(cursor, manifest, text))
        clause: Clause = (f'"index" IN (SELECT found FROM {FOUND})', [])  # noqa: S608
        return [clause, ("contains(lower(leaf), ?)", [fold(text)])] if QUOTE in text else [clause]

    def _ask(self, question: Callable[[duckdb.DuckDBPyConnection], duckdb.DuckDBPyConnection]) -> list[tuple[Any, ...]]:
        """Ask on a cursor of its own, since threads cannot share one; once more if files were replaced meanwhile."""
        self._covered()
        with closing(self._database.cursor()) as cursor:
            try:
                return question(cursor).fetchall()
            except (duckdb.IOException, OSError):
                present = read_manifest(self._index_dir)
                if present is None:
                    raise LogUnreadable("The index was removed while it was read; ask again.") from None
                self._adopt(present)
                return question(cursor).fetchall()

    def _covered(self) -> Manifest | None:
        """What the answers cover: the last refresh of this object, else what is in the directory."""
        if self._manifest is None and (present := read_manifest(self._index_dir)) is not None:
            self._adopt(present)
        return self._manifest

    def _check(self, manifest: Manifest) -> None:
        for part in manifest.parts:
            if part not in self._checked:
                check_part(self._index_dir, part)
        self._checked = set(manifest.parts)

    def _adopt(self, manifest: Manifest) -> None:
        with self._adopting:
            if manifest != self._manifest:
                create_views(self._database, self._index_dir, manifest)
                self._manifest = manifest
