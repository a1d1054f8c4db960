"""Worker side: tables of which a rule hides rows, copied without those rows once they are read a lot.

A secure view is a barrier for DuckDB's planner, too (ADR 33: some joins take four times as long). A table that holds
the visible rows alone needs no barrier. So when queries over such a view have worked as long as a copy would take, the
visible rows are copied, in a process of its own, into a file in the worker's spill folder; then the view reads the
file. Queries that run go on with what they began with.

Contract: ``note`` after each query, from any thread; it waits for no copy. A copy that fails or outgrows its room is
thrown away and not tried again: the view stays as it was. The copies end with the worker, and the front ends a worker
whose person, rules or extract are others now as soon as nothing runs in it.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from enclave.gateway.row_copy import CopyOrder
from enclave.gateway.row_ranges import quoted
from enclave.gateway.scans import view_times

CATALOG = "visible"
"""First part of the hidden catalogs' names; the gate lets nobody name one."""
_SECONDS_PER_VALUE = 30e-9
"""Of processor time to copy (measured); with a copy once as much was worked without, no more than twice the least that
was possible is ever spent."""
_LOOK_SECONDS = 0.1
_ERRORS = 2


@dataclass(frozen=True)
class NarrowedTable:
    """A table with hidden rows. ``values``: all its rows times its columns; ``select``: what ``view`` reads."""

    name: str
    values: int
    view: str
    select: str


@dataclass(frozen=True)
class CopyRoom:
    """Where copies go, and how much they may take."""

    folder: Path
    most_bytes: int
    memory_mb: int


class RowCopies:
    """One per worker; thread-safe. Without room, or without tables, nothing is ever copied."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        extract: Path,
        tables: Iterable[NarrowedTable],
        room: CopyRoom | None,
    ) -> None:
        self._connection, self._extract, self._room = connection, extract, room
        self._lock = threading.Lock()
        self._waiting = {table.name: _SECONDS_PER_VALUE * table.values for table in tables} if room is not None else {}
        self._tables = {table.name: table for table in tables}
        self._due: list[NarrowedTable] = []
        self._is_copying = False
        self._left = room.most_bytes if room is not None else 0

    @property
    def are_wanted(self) -> bool:
        """False when nothing is left to copy: ``note`` need not be called."""
        return bool(self._waiting)

    def note(self, profile: str) -> None:
        """A query has ended; ``profile``: DuckDB's of it."""
        times = view_times(profile)
        with self._lock:
            for name in times.keys() & self._waiting.keys():
                self._waiting[name] -= times[name]
                if self._waiting[name] <= 0:
                    del self._waiting[name]
                    self._due.append(self._tables[name])
            if self._is_copying or not self._due or self._room is None:
                return
            self._is_copying = True
        try:
            threading.Thread(target=self._run, args=(self._room,), daemon=True, name="row-copies").start()
        except (RuntimeError, MemoryError):
            with self._lock:
                self._is_copying = False

    def _run(self, room: CopyRoom) -> None:
        while True:
            with self._lock:
                if not self._due:
                    self._is_copying = False
                    return
                table = self._due.pop(0)
            self._replace(table, room)

    def _replace(self, table: NarrowedTable, room: CopyRoom) -> None:
        """Copy, then let the view read the copy. The view stays as it is when either fails."""
        number = list(self._tables).index(table.name)
        target = room.folder / f"{CATALOG}-{number}.duckdb"
        try:
            if self._copy(table, target, room.memory_mb):
                self._show(table, target, f"{CATALOG}_{number}")
                self._left -= _size(target)
                return
        except (OSError, duckdb.Error, MemoryError):
            pass  # as when it does not fit
        for file in _files(target):
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)

    def _show(self, table: NarrowedTable, target: Path, catalog: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(f"ATTACH '{target}' AS {catalog} (READ_ONLY, HIDDEN)")
            cursor.execute(f"CREATE OR REPLACE VIEW {table.view} AS FROM {catalog}.main.{quoted(table.name)}")

    def _copy(self, table: NarrowedTable, target: Path, memory_mb: int) -> bool:
        order = CopyOrder(str(self._extract), str(target), table.name, table.select, memory_mb)
        command = [sys.executable, "-I", "-m", "enclave.gateway.row_copy"]
        # our own error output goes nowhere, and /dev/null cannot be opened for writing in here
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=_ERRORS) as process:
            if process.stdin is not None:
                process.stdin.write(order.to_json())
                process.stdin.close()
            while True:
                try:
                    return process.wait(_LOOK_SECONDS) == 0 and _size(target) <= self._left
                except subprocess.TimeoutExpired:
                    if _size(target) > self._left:
                        process.kill()


def _files(target: Path) -> tuple[Path, Path]:
    """The copy, and what DuckDB writes ahead of it."""
    return target, target.with_name(f"{target.name}.wal")


def _size(target: Path) -> int:
    total = 0
    for file in _files(target):
        with contextlib.suppress(OSError):
            total += file.stat().st_size
    return total
