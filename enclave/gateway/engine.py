"""The DuckDB side of a worker: open one pinned extract read-only and locked, run one statement as a stream of batches.

Contract: ``open_extract`` refuses a file whose SHA-256 is not the manifest's; ``Engine.run`` yields Arrow batches of at
most ``BATCH_BYTES`` each. Runs inside the sandbox only; the settings here are the second wall.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from enclave.domain.manifest import Manifest

DATA_FILE = "extract.duckdb"
MANIFEST_FILE = "manifest.json"
BATCH_ROWS = 65_536
BATCH_BYTES = 8 << 20
"""Clients refuse Flight messages over 16 MiB (adbc_driver_flightsql), so batches are cut well below."""
_LARGEST_ROW = 15 << 20

_CONFIG: dict[str, Any] = {
    "access_mode": "READ_ONLY",
    "max_expression_depth": 250,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_unsigned_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,
}
_LOCKS = (
    "SET GLOBAL temp_directory = ''",  # no spilling: a spill folder is readable and writable by every statement
    "SET GLOBAL enable_external_access = false",
    "SET GLOBAL lock_configuration = true",
)


class ExtractRefusedError(Exception):
    """The extract is not the one the manifest describes; says what differs and what to do."""


class RowTooLargeError(Exception):
    """One row alone is larger than a message may be."""


@dataclass(frozen=True)
class EngineLimits:
    """What one worker's engine may use."""

    memory_mb: int
    threads: int


def open_extract(folder: Path, limits: EngineLimits) -> Engine:
    """Check the pin, then open ``folder/extract.duckdb``. Raises ExtractRefusedError."""
    manifest = read_manifest(folder)
    for pinned in manifest.files:
        check_pin(folder / pinned.path, pinned.sha256)
    if DATA_FILE not in {pinned.path for pinned in manifest.files}:
        raise ExtractRefusedError(
            f"Expected {DATA_FILE} in the extract's manifest, found none. Build the extract again."
        )
    config = {**_CONFIG, "memory_limit": f"{limits.memory_mb}MiB", "threads": limits.threads}
    connection = duckdb.connect(str(folder / DATA_FILE), config=config)
    for statement in _LOCKS:
        connection.execute(statement)
    return Engine(connection, manifest)


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

    def __init__(self, connection: duckdb.DuckDBPyConnection, manifest: Manifest) -> None:
        self._connection = connection
        self.manifest = manifest

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own for one query (2.7 µs, measured)."""
        return self._connection.cursor()

    def table_schemas(self) -> dict[str, pa.Schema]:
        """Arrow schema of each table of the manifest."""
        cursor = self.cursor()
        return {
            table.name: cursor.table(_quoted(table.name)).limit(0).to_arrow_reader(1).schema
            for table in self.manifest.tables
        }


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def bind(cursor: duckdb.DuckDBPyConnection, sql: str, parameters: list[Any] | None) -> Any:
    """A relation that has not produced rows yet; binding may execute constants. Raises duckdb.Error."""
    relation = cursor.sql(sql, params=parameters) if parameters else cursor.sql(sql)
    if relation is None:
        raise duckdb.NotImplementedException("This statement gives no rows.")
    return relation


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
