"""The DuckDB side of a worker: open one pinned extract read-only beside the person's scratch file, then lock.

Contract: ``open_extract`` refuses a file whose SHA-256 is not the manifest's; ``cut`` makes batches of at most
``BATCH_BYTES``. Names are looked up in the extract first, then in the scratch file, then among what was made with TEMP
(DuckDB's own in-memory catalog). Runs inside the sandbox only; the settings here are the second wall.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from enclave.domain.manifest import Manifest
from enclave.domain.person_rules import NO_RULES, PersonRules
from enclave.gateway.row_copies import CopyRoom, NarrowedTable, RowCopies
from enclave.gateway.row_ranges import quoted
from enclave.gateway.ruled_views import RulesRefusedError, attach_ruled
from enclave.gateway.scans import PROFILING, PROFILING_VIEWS, SETTINGS, Scan, scans_of
from enclave.gateway.scratch_names import LASTING, TEMPORARY, ScratchKind, ScratchObject
from enclave.gateway.scratch_store import LOCK_SECONDS, ScratchStore

EXTRACT_CATALOG = "extract"
DATA_FILE = "extract.duckdb"
MANIFEST_FILE = "manifest.json"
BATCH_ROWS = 65_536
BATCH_BYTES = 8 << 20
"""Clients refuse Flight messages over 16 MiB (adbc_driver_flightsql), so batches are cut well below."""
_LARGEST_ROW = 15 << 20

_CONFIG: dict[str, Any] = {
    "max_expression_depth": 250,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_unsigned_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,
}
_LOCKS = (
    # what a query read comes from DuckDB's profile, which can be switched on for a single cursor only
    f"SET GLOBAL allowed_configs = {list(SETTINGS)}",
    "SET GLOBAL enable_external_access = false",
    "SET GLOBAL lock_configuration = true",
)
_COPIES_PART = 4
"""One part in so many of the spill folder is for copies of tables with hidden rows (``row_copies``)."""
_LEAST_COPY_MB = 256
_READY_CURSORS, _KEPT_CURSORS = 4, 8
"""At the start, and between queries: as many as one person may run at once."""


class ExtractRefusedError(Exception):
    """The extract is not the one the manifest describes; says what differs and what to do."""


class RowTooLargeError(Exception):
    """One row alone is larger than a message may be."""


@dataclass(frozen=True)
class EngineLimits:
    """What one worker's engine may use, and where. No spill folder: no spilling. No scratch folder: no scratch."""

    memory_mb: int
    threads: int
    spill: Path | None = None
    spill_mb: int = 0
    scratch: Path | None = None
    scratch_mb: int = 0
    scratch_wait: float = LOCK_SECONDS
    """Seconds to wait for a scratch file that another worker still has open."""


def open_extract(
    folder: Path, limits: EngineLimits, *, is_checked: bool = False, rules: PersonRules = NO_RULES
) -> Engine:
    """Check the pin, then open ``folder/extract.duckdb``. Raises ExtractRefusedError.

    ``is_checked``: the front has seen these very files pass the check (same inode, size and change time).
    ``rules``: what of it this worker's person may see (``ruled_views``); without any, the file itself is the catalog.
    """
    manifest = read_manifest(folder)
    for pinned in manifest.files if not is_checked else ():
        check_pin(folder / pinned.path, pinned.sha256)
    if DATA_FILE not in {pinned.path for pinned in manifest.files}:
        raise ExtractRefusedError(
            f"Expected {DATA_FILE} in the extract's manifest, found none. Build the extract again."
        )
    config = {**_CONFIG, "memory_limit": f"{limits.memory_mb}MiB", "threads": limits.threads}
    connection = duckdb.connect(":memory:", config=config)
    narrowed = _attach(connection, folder / DATA_FILE, manifest, rules)
    scratch = ScratchStore(connection, limits.scratch, limits.scratch_mb, limits.scratch_wait)
    scratch.attach()
    # the spill folder is readable by every statement of this worker: it belongs to one person
    connection.execute(f"SET GLOBAL temp_directory = {_text(limits.spill or '')}")
    room = _copy_room(limits) if narrowed else None
    if limits.spill is not None:
        spill_bytes = (limits.spill_mb << 20) - (room.most_bytes if room is not None else 0)
        connection.execute(f"SET GLOBAL max_temp_directory_size = '{spill_bytes >> 20}MiB'")
    for statement in _LOCKS:
        connection.execute(statement)
    return Engine(
        connection,
        manifest,
        scratch,
        RowCopies(connection, folder / DATA_FILE, narrowed, room),
        has_rules=bool(rules.rules),
    )


def _copy_room(limits: EngineLimits) -> CopyRoom | None:
    """A part of what the worker may spill; none where it may not."""
    if limits.spill is None:
        return None
    return CopyRoom(limits.spill, (limits.spill_mb << 20) // _COPIES_PART, max(_LEAST_COPY_MB, limits.memory_mb // 4))


def _attach(
    connection: duckdb.DuckDBPyConnection, file: Path, manifest: Manifest, rules: PersonRules
) -> tuple[NarrowedTable, ...]:
    if not rules.rules:
        connection.execute(f"ATTACH {_text(file)} AS {EXTRACT_CATALOG} (READ_ONLY)")
        return ()
    try:
        return attach_ruled(connection, file, EXTRACT_CATALOG, manifest, rules)
    except RulesRefusedError as error:
        raise ExtractRefusedError(str(error)) from error


def _text(value: Path | str) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def read_manifest(folder: Path) -> Manifest:
    """``manifest.json`` of an extract's folder. Raises ExtractRefusedError."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise ExtractRefusedError(
            f"Expected a readable {MANIFEST_FILE} beside the extract, found {type(error).__name__}. "
            "Build the extract again."
        ) from error


def check_pin(file: Path, expected_sha256: str) -> None:
    """Raise ExtractRefusedError unless the file's SHA-256 is the expected one."""
    digest = hashlib.sha256()
    try:
        with file.open("rb") as content:
            while chunk := content.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise ExtractRefusedError(
            f"Expected to read {file.name}, found {type(error).__name__}. The extract's files must be readable for the "
            "worker's account (mode 0444)."
        ) from error
    if digest.hexdigest() != expected_sha256:
        raise ExtractRefusedError(
            f"Expected {file.name} with SHA-256 {expected_sha256[:12]}…, found {digest.hexdigest()[:12]}…. "
            "The file was changed after it was built: build the extract again."
        )


class Engine:
    """One open extract; ``cursor()`` for each query, from any thread."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        manifest: Manifest,
        scratch: ScratchStore,
        copies: RowCopies,
        *,
        has_rules: bool,
    ) -> None:
        self._connection = connection
        self._path = ",".join(f"{name}.main" for name in self._catalogs(scratch))
        self._ready: list[duckdb.DuckDBPyConnection] = []
        self._columns = {table.name: [column.name for column in table.columns] for table in manifest.tables}
        self.manifest = manifest
        self.scratch = scratch
        self._copies = copies
        self._profiling = PROFILING_VIEWS if has_rules else PROFILING

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own for one query, with the order in which names are looked up."""
        with contextlib.suppress(IndexError):
            return self._ready.pop()
        return self._new_cursor()

    def prepare_cursors(self) -> None:
        """Have a few at hand: setting the order costs 150 µs (measured)."""
        while len(self._ready) < _READY_CURSORS:
            self._ready.append(self._new_cursor())

    def give_back(self, cursor: duckdb.DuckDBPyConnection, *, is_clean: bool) -> None:
        """The query has ended. ``is_clean``: it was read to its end, so that nothing of it is left on the cursor."""
        if is_clean and len(self._ready) < _KEPT_CURSORS:
            self._ready.append(cursor)
        else:
            cursor.close()

    def scans(self, cursor: duckdb.DuckDBPyConnection) -> list[Scan] | None:
        """What the cursor's query has read so far."""
        return scans_of(cursor.get_profiling_information(), self._columns)

    def note_end(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """The cursor's query was read to its end; it may make a copy of a table with hidden rows worth while."""
        if self._copies.are_wanted:
            self._copies.note(cursor.get_profiling_information())

    def _new_cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = self._connection.cursor()
        cursor.execute(f"SET search_path = '{self._path}'; {self._profiling}")
        return cursor

    @staticmethod
    def _catalogs(scratch: ScratchStore) -> tuple[str, ...]:
        return (EXTRACT_CATALOG, LASTING, TEMPORARY) if scratch.is_attached else (EXTRACT_CATALOG, TEMPORARY)

    def table_schemas(self) -> dict[str, pa.Schema]:
        """Arrow schema of each table of the manifest."""
        cursor = self._new_cursor()
        return {table.name: _schema(cursor, EXTRACT_CATALOG, table.name) for table in self.manifest.tables}

    def schemas_of(self, objects: Iterable[ScratchObject]) -> dict[str, pa.Schema]:
        """Arrow schema of each scratch table and view; a view that does not fit the extract any more has no columns."""
        cursor, found = self._new_cursor(), {}
        for item in objects:
            if item.kind in (ScratchKind.TABLE, ScratchKind.VIEW):
                try:
                    found[item.name] = _schema(cursor, item.space, item.name)
                except duckdb.Error:
                    found[item.name] = pa.schema([])
        return found


def _schema(cursor: duckdb.DuckDBPyConnection, catalog: str, name: str) -> pa.Schema:
    return cursor.table(f"{catalog}.main.{quoted(name)}").limit(0).to_arrow_reader(1).schema


def run(cursor: duckdb.DuckDBPyConnection, sql: str, parameters: list[Any] | dict[str, Any] | None) -> Any:
    """Start a statement and read it as a stream of Arrow batches of ``BATCH_ROWS``. Raises duckdb.Error.

    ``_submit`` is what a relation calls in the end; a relation first binds the statement once more for its columns,
    which is a third of a small query's time (measured). ``tests/unit/gateway/test_worker_parts.py`` compares the two.
    """
    result = cursor._submit(sql, parameters, "stream", BATCH_ROWS)
    return result.arrow_reader()


def cut(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch in pieces of at most BATCH_BYTES. Raises RowTooLargeError when one row alone is too large."""
    if batch.nbytes <= BATCH_BYTES:
        yield batch
    elif batch.num_rows <= 1:
        if batch.nbytes > _LARGEST_ROW:
            raise RowTooLargeError(
                f"One row of the result is larger than {_LARGEST_ROW >> 20} MiB. Select smaller columns."
            )
        yield batch
    else:
        half = batch.num_rows // 2
        yield from cut(batch.slice(0, half))
        yield from cut(batch.slice(half))
