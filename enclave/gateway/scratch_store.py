"""Worker side of the scratch space: attach the person's file, list what is in it, change it within its quota.

Contract: ``attach`` before the engine is locked. ``change`` runs one statement of the gate's making in a transaction
with its comment: all of it is there afterwards, or nothing. A file that cannot be attached does not stop the worker;
``problem`` then says so and every change is refused with it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from enclave.gateway.scratch_names import LASTING, ScratchObject, ScratchWrite, read_objects

SCRATCH_FILE = "scratch.duckdb"
LOCK_SECONDS = 10.0
_HELD = (
    "Your scratch space is open in another worker of yours, at another replica of the gateway, so only the extract's "
    "tables can be named here. Connect where you used it last, or try again when that has been idle for ten minutes."
)
_UNUSABLE = "Your scratch space cannot be opened. Queries on the extract work. Tell the administrator."
_OBJECTS = """
    SELECT database_name, table_name, 'table', comment FROM duckdb_tables() WHERE NOT internal
    UNION ALL SELECT database_name, view_name, 'view', comment FROM duckdb_views() WHERE NOT internal
    UNION ALL SELECT DISTINCT database_name, function_name,
        CASE function_type WHEN 'macro' THEN 'macro' ELSE 'table-macro' END, comment
    FROM duckdb_functions() WHERE database_name IN ('scratch', 'memory')
"""
_IS_BUILT_IN = """
    SELECT count(*) FROM duckdb_functions() WHERE database_name = 'system' AND lower(function_name) = lower(?)
"""
_USED = f"SELECT used_blocks * block_size FROM pragma_database_size() WHERE database_name = '{LASTING}'"  # noqa: S608


class ScratchFullError(Exception):
    """The quota is met; the sentence says how much is used."""


class ScratchRefusedError(Exception):
    """The change is not possible; the sentence says why."""


class ScratchStore:
    """One per worker. ``folder`` None: this worker has no scratch space."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        folder: Path | None,
        quota_mb: int,
        wait_seconds: float = LOCK_SECONDS,
    ) -> None:
        self._connection, self._wait_seconds = connection, wait_seconds
        self._file = folder / SCRATCH_FILE if folder else None
        self._quota = quota_mb << 20
        self.problem = "" if folder else "This worker has no scratch space. Tell the administrator."
        self.is_held = False
        """Another worker has the file open: it can be had once that one has ended."""

    def attach(self) -> None:
        """Open or make the file as catalog ``scratch``. A worker that has just ended may still hold it: waits."""
        if self._file is None:
            return
        ends_at = time.monotonic() + self._wait_seconds
        while True:
            try:
                self._connection.execute(f"ATTACH '{self._file}' AS {LASTING}")
                self.is_held = False
                return
            except duckdb.IOException as error:
                self.is_held = "lock" in str(error)
                if not self.is_held or time.monotonic() > ends_at:
                    break
                time.sleep(0.1)
            except duckdb.Error:
                self.is_held = False
                break
        self._file = None
        self.problem = _HELD if self.is_held else _UNUSABLE

    @property
    def is_attached(self) -> bool:
        return self._file is not None

    def objects(self) -> list[ScratchObject]:
        """Everything the person keeps."""
        return sorted(read_objects(self._connection.cursor().execute(_OBJECTS).fetchall()), key=lambda item: item.name)

    def room(self) -> ScratchRoom:
        """How far the file may grow from here. Raises ScratchFullError when it may not."""
        if self._file is None:
            raise ScratchRefusedError(self.problem)
        row = self._connection.cursor().execute(_USED).fetchone()
        used = int(row[0]) if row else 0
        if used >= self._quota:
            raise ScratchFullError(self.full_sentence(used))
        return ScratchRoom(self._file, _size(self._file) + self._quota - used)

    def full_sentence(self, used: int | None = None) -> str:
        """Which quota is met."""
        found = f", of which {used >> 20} MiB are used" if used is not None else "; this statement would need more"
        return (
            f"Your scratch space in this project holds {self._quota >> 20} MiB{found}. "
            "Drop what you no longer need (SHOW TABLES lists it), or keep fewer columns."
        )

    def change(
        self, cursor: duckdb.DuckDBPyConnection, write: ScratchWrite, parameters: Any, on_run: Callable[[], None]
    ) -> int:
        """Run it; the number of rows it is about. ``on_run``: called while the profile is that of the statement.

        Raises duckdb.Error, ScratchRefusedError.
        """
        if self._file is None:
            raise ScratchRefusedError(self.problem)
        if len(cursor.extract_statements(write.sql)) != 1:
            raise ScratchRefusedError("Expected one statement, found more. Send statements one at a time.")
        row = cursor.execute(_IS_BUILT_IN, [write.name]).fetchone()
        if write.makes and row is not None and row[0]:
            raise ScratchRefusedError(f"{write.name} is a function of DuckDB. Choose another name.")
        cursor.execute("BEGIN")
        try:
            rows = _count(cursor.execute(write.sql, parameters) if parameters else cursor.execute(write.sql))
            on_run()
            for statement in write.follow_ups:
                cursor.execute(statement)
            cursor.execute("COMMIT")
        except Exception:
            with contextlib.suppress(duckdb.Error):
                cursor.execute("ROLLBACK")
            self._tidy()
            raise
        self._tidy()
        return rows

    def _tidy(self) -> None:
        """Move the write-ahead file into the file and give free blocks at its end back; later is fine, too."""
        with contextlib.suppress(duckdb.Error):
            self._connection.cursor().execute(f"CHECKPOINT {LASTING}")


class ScratchRoom:
    """Asked while a statement runs: has the file outgrown its quota?"""

    def __init__(self, file: Path, most_bytes: int) -> None:
        self._file, self._most = file, most_bytes

    def is_exceeded(self) -> bool:
        return _size(self._file) + _size(self._file.with_name(f"{SCRATCH_FILE}.wal")) > self._most


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _count(cursor: duckdb.DuckDBPyConnection) -> int:
    row = cursor.fetchone() if cursor.description else None
    return int(row[0]) if row and isinstance(row[0], int) else 0
