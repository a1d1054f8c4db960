"""What the builder knows of a source: tables, columns, types (frozen values; pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from enclave.domain.decisions import RefusedError


class SourceKind(StrEnum):
    """Stored in the manifest."""

    DUCKDB = "duckdb"
    CSV = "csv"
    PARQUET = "parquet"
    POSTGRESQL = "postgresql"


def is_postgres(location: str) -> bool:
    """A URL of PostgreSQL rather than a path."""
    return re.match(r"postgres(ql)?://", location) is not None


class SourceError(RefusedError):
    """A source that cannot be read; ``reasons`` are sentences without credentials and without row values."""


@dataclass(frozen=True)
class SourceColumn:
    """One column. ``type`` is DuckDB's name of the type."""

    name: str
    type: str
    is_empty: bool = False
    """Text in which every value is NULL (also: a CSV file with a header line only), so the type says nothing."""
    looks_like_date: bool = False
    """Text in which every value that is there reads as a date."""


@dataclass(frozen=True)
class SourceTable:
    """One table the permit names. ``relation`` is what stands after FROM in the builder's DuckDB."""

    name: str
    relation: str
    columns: tuple[SourceColumn, ...]

    def find(self, column: str) -> SourceColumn | None:
        """The column of that name, in any case."""
        return next((c for c in self.columns if c.name.lower() == column.lower()), None)


@dataclass(frozen=True)
class SourceSchema:
    """All table names of a source and the tables of it that the permit names."""

    kind: SourceKind
    table_names: tuple[str, ...]
    tables: tuple[SourceTable, ...]

    def find(self, table: str) -> SourceTable | None:
        """The opened table of that name, in any case."""
        return next((t for t in self.tables if t.name.lower() == table.lower()), None)


def quote(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"
