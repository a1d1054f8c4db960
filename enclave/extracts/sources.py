"""Reading a producer's warehouse: a DuckDB file, a folder of CSV or Parquet files, or a PostgreSQL database.

Every kind gives the same view of itself: ``table_names`` and ``read``, which makes one table readable in the builder's
DuckDB. Only tables the permit names are ever opened. Errors carry no credentials and no row values.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

import duckdb

from enclave.domain.permits import Permit
from enclave.extracts.row_filter import RowFilter, parse_row_filter
from enclave.extracts.source_schema import (
    SourceColumn,
    SourceError,
    SourceKind,
    SourceSchema,
    SourceTable,
    is_postgres,
    literal,
    quote,
)

_CSV = (".csv", ".csv.gz")
_PARQUET = (".parquet",)
_DATE_FORMATS = "['%Y-%m-%d', '%Y-%m-%d %H:%M:%S', '%Y-%m-%dT%H:%M:%S', '%d/%m/%Y', '%m/%d/%Y', '%d.%m.%Y', '%d-%m-%Y']"


class Source(Protocol):
    """One opened source."""

    @property
    def kind(self) -> SourceKind: ...

    def table_names(self) -> tuple[str, ...]:
        """Names of all tables."""

    def read(self, table: str, wanted: Collection[str]) -> tuple[str, tuple[SourceColumn, ...]]:
        """What stands after FROM for ``table`` (a name of ``table_names``), and its columns. ``wanted`` are the
        lower-case names of the columns that will be read; others may be missing from the relation, not the answer."""

    def columns(self, table: str) -> tuple[SourceColumn, ...]:
        """Columns of ``table`` without reading it through: of a CSV file, types as its beginning suggests."""

    def close(self) -> None:
        """Let go of connections."""


def open_source(connection: duckdb.DuckDBPyConnection, location: str) -> Source:
    """The source at a path or ``postgresql://`` URL. Raises SourceError."""
    if is_postgres(location):
        from enclave.extracts.source_postgres import PostgresSource  # its driver imports pandas: 2 s

        return PostgresSource(connection, location)
    path = Path(location)
    try:
        if path.is_dir():
            return _open_folder(connection, path)
        with path.open("rb"):
            return DuckDBSource(connection, path)
    except OSError as error:
        raise SourceError(
            f"Expected a readable source at {path.name}, found: {os.strerror(error.errno or 0)}. "
            "Check the path in the data set's registration and the account the builder runs under."
        ) from error


def read_schema(connection: duckdb.DuckDBPyConnection, source: Source, permit: Permit) -> SourceSchema:
    """Open the permitted tables (unknown ones are left to the plan, which names all of them at once)."""
    names = source.table_names()
    opened: list[SourceTable] = []
    for table in permit.tables:
        matching = [n for n in names if n.lower() == table.name.lower()]
        if len(matching) > 1:
            raise SourceError(
                f"Expected one table {table.name} in the source, found {len(matching)} of that name. "
                "Leave one of them in the source or rename it."
            )
        if not matching:
            continue
        wanted = {c.name.lower() for c in table.columns} | ({table.person.lower()} if table.person else set())
        parsed = parse_row_filter(table.rows) if table.rows else None
        wanted |= parsed.columns if isinstance(parsed, RowFilter) else set()
        relation, columns = source.read(matching[0], wanted)
        opened.append(SourceTable(matching[0], relation, _profile(connection, table.name, relation, columns, wanted)))
    return SourceSchema(source.kind, names, tuple(opened))


def _profile(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    relation: str,
    columns: tuple[SourceColumn, ...],
    wanted: Collection[str],
) -> tuple[SourceColumn, ...]:
    """Look into the text columns that will be read: are they empty, do they hold dates?"""
    texts = [c for c in columns if c.type == "VARCHAR" and c.name.lower() in wanted]
    if not texts:
        return columns
    pieces = [
        f"count({quote(c.name)}), count({quote(c.name)}) = count(try_strptime({quote(c.name)}, {_DATE_FORMATS}))"
        for c in texts
    ]
    try:
        row = connection.execute(f"SELECT {', '.join(pieces)} FROM {relation}").fetchall()[0]  # noqa: S608
    except duckdb.Error as error:
        raise unreadable_table(table, error) from None
    found = {
        c.name: SourceColumn(c.name, c.type, row[2 * i] == 0, bool(row[2 * i] and row[2 * i + 1]))
        for i, c in enumerate(texts)
    }
    return tuple(found.get(c.name, c) for c in columns)


def unreadable_table(table: str, error: duckdb.Error) -> SourceError:
    """DuckDB's own message can quote rows of the file, so only its kind is told."""
    return SourceError(
        f"Expected the table {table} to be readable, found {type(error).__name__} while reading it. "
        "Open the file with the DuckDB command line on the producer's side to see the place."
    )


class DuckDBSource:
    """A native DuckDB file, attached read-only."""

    kind = SourceKind.DUCKDB

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        self._connection = connection
        try:
            connection.execute(f"ATTACH {literal(str(path))} AS source (READ_ONLY)")
        except duckdb.Error as error:
            raise SourceError(
                f"Expected a DuckDB file at {path.name}, found one that DuckDB {duckdb.__version__} cannot open "
                f"({type(error).__name__}). Close other programs that write to it, or check that it is a DuckDB file."
            ) from error
        rows = connection.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'source' UNION ALL "
            "SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = 'source' AND NOT internal"
        ).fetchall()
        self._tables = [(str(schema), str(name)) for schema, name in rows]

    def table_names(self) -> tuple[str, ...]:
        return tuple(sorted(name for _, name in self._tables))

    def read(self, table: str, wanted: Collection[str]) -> tuple[str, tuple[SourceColumn, ...]]:
        schema = next(s for s, name in self._tables if name == table)
        relation = f"source.{quote(schema)}.{quote(table)}"
        return relation, describe(self._connection, table, relation)

    def columns(self, table: str) -> tuple[SourceColumn, ...]:
        return self.read(table, ())[1]

    def close(self) -> None:
        self._connection.execute("DETACH DATABASE IF EXISTS source")


class FolderSource:
    """A folder of files; a table is a file's name without its ending (or a folder ``name.parquet`` with its parts)."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, kind: SourceKind, files: dict[str, list[Path]]) -> None:
        self._connection = connection
        self._files = files
        self.kind = kind

    def table_names(self) -> tuple[str, ...]:
        return tuple(sorted(self._files))

    def read(self, table: str, wanted: Collection[str]) -> tuple[str, tuple[SourceColumn, ...]]:
        listed = self._listed(table)
        if self.kind is SourceKind.PARQUET:
            relation = f"read_parquet({listed}, hive_partitioning = false)"
            return relation, describe(self._connection, table, relation)
        columns = describe(self._connection, table, f"read_csv({listed}, header = true, sample_size = -1)")
        types = ", ".join(f"{literal(c.name)}: {literal(c.type)}" for c in columns)
        # The types are fixed after one look at the whole file, so that later passes agree with the first.
        return f"read_csv({listed}, header = true, sample_size = -1, types = {{{types}}})", columns

    def columns(self, table: str) -> tuple[SourceColumn, ...]:
        is_parquet = self.kind is SourceKind.PARQUET
        reader, options = (
            ("read_parquet", ", hive_partitioning = false") if is_parquet else ("read_csv", ", header = true")
        )
        return describe(self._connection, table, f"{reader}({self._listed(table)}{options})")

    def _listed(self, table: str) -> str:
        paths = self._files[table]
        folders = {p.parent for p in paths}
        if len(paths) > 1 and (len(folders) > 1 or not next(iter(folders)).name.lower().endswith(_PARQUET)):
            raise SourceError(
                f"Expected one file for the table {table}, found {len(paths)} ({', '.join(p.name for p in paths)}). "
                "Leave one of them in the folder."
            )
        if self.kind is SourceKind.CSV and paths[0].stat().st_size == 0:
            raise SourceError(
                f"Expected a header line in {paths[0].name}, found an empty file. Export it with a header."
            )
        return "[" + ", ".join(literal(str(p)) for p in paths) + "]"

    def close(self) -> None:
        return


def describe(connection: duckdb.DuckDBPyConnection, table: str, relation: str) -> tuple[SourceColumn, ...]:
    """Columns and types of a relation. Raises SourceError."""
    try:
        rows = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()  # noqa: S608
    except duckdb.Error as error:
        raise unreadable_table(table, error) from None
    return tuple(SourceColumn(str(row[0]), str(row[1])) for row in rows)


def _open_folder(connection: duckdb.DuckDBPyConnection, folder: Path) -> FolderSource:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    by_kind = {kind: _group(folder, files, endings) for kind, endings in _FOLDER_KINDS.items()}
    found = [kind for kind, tables in by_kind.items() if tables]
    if len(found) != 1:
        wrong = "both kinds" if found else "neither"
        raise SourceError(
            f"Expected a folder of CSV files or of Parquet files at {folder.name}, found {wrong}. "
            "Name a folder that holds one kind."
        )
    return FolderSource(connection, found[0], by_kind[found[0]])


_FOLDER_KINDS = {SourceKind.CSV: _CSV, SourceKind.PARQUET: _PARQUET}


def _group(root: Path, files: list[Path], endings: tuple[str, ...]) -> dict[str, list[Path]]:
    tables: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        ending = next((e for e in sorted(endings, key=len, reverse=True) if file.name.lower().endswith(e)), None)
        if ending is None:
            continue
        parts = file.parent.name
        in_parts_folder = file.parent != root and parts.lower().endswith(endings)
        name, ending = (parts, _PARQUET[0]) if in_parts_folder else (file.name, ending)
        tables[name[: -len(ending)]].append(file)
    return dict(tables)
