"""Reads which tables and columns a source has; no row of it."""

from __future__ import annotations

from pathlib import Path

from enclave.domain.source_outline import OutlinedColumn, OutlinedTable
from enclave.extracts.extract_file import open_engine
from enclave.extracts.source_schema import SourceKind, is_postgres
from enclave.extracts.sources import open_source
from enclave.settings import Settings


def read_source_outline(settings: Settings, source: str) -> tuple[SourceKind, tuple[OutlinedTable, ...]]:
    """Kind, and tables by name. ``source``: a path or a ``postgresql://`` URL. Raises SourceError."""
    location = source if is_postgres(source) else str(Path(source).absolute())
    connection = open_engine(settings.producer_dir, None if is_postgres(location) else Path(location))
    try:
        opened = open_source(connection, location)
        try:
            tables = []
            for name in opened.table_names():
                columns = tuple(OutlinedColumn(column.name, column.type) for column in opened.columns(name))
                tables.append(OutlinedTable(name, columns))
            return opened.kind, tuple(tables)
        finally:
            opened.close()
    finally:
        connection.close()
