"""Reading a PostgreSQL database: ADBC → Arrow → the builder's DuckDB, in one read-only snapshot.

Only the columns that the plan needs are asked for; a table is held in memory while the extract is built. Types DuckDB
has no equal for travel as text. The URL may hold a password, so no message repeats it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import duckdb

from enclave.extracts.source_schema import SourceColumn, SourceError, SourceKind, quote

_PLAIN = frozenset(
    {"int2", "int4", "int8", "float4", "float8", "text", "varchar", "bool", "date", "timestamp", "timestamptz"}
)
"""PostgreSQL types that ADBC gives as the same Arrow type."""
_COLUMNS = """
    SELECT table_schema, table_name, column_name, udt_name,
           coalesce(numeric_precision, 1000), coalesce(numeric_scale, 1000)
    FROM information_schema.columns
    WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_schema !~ '^pg_'
    ORDER BY table_schema, table_name, ordinal_position
"""


class PostgresSource:
    """One database, read in one REPEATABLE READ, READ ONLY transaction: all tables are of the same moment."""

    kind = SourceKind.POSTGRESQL

    def __init__(self, connection: duckdb.DuckDBPyConnection, url: str) -> None:
        self._duckdb = connection
        try:
            self._postgres = adbc.connect(url)
        except adbc.Error as error:
            advice = "Check the URL, the account and pg_hba.conf."
            raise _refused(error, "a connection to the PostgreSQL database", advice) from None
        try:
            with self._postgres.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                cursor.execute("SET LOCAL TIME ZONE 'UTC'")
                cursor.execute(_COLUMNS)
                rows = cursor.fetchall()
        except adbc.Error as error:
            self.close()
            raise _refused(error, "a readable PostgreSQL catalogue", "Check the account's rights.") from None
        self._columns: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for schema, table, column, kind, precision, scale in rows:
            chosen = _selection(str(column), str(kind), int(precision), int(scale))
            self._columns.setdefault((str(schema), str(table)), []).append((str(column), chosen))

    def table_names(self) -> tuple[str, ...]:
        return tuple(sorted(table for _, table in self._columns))

    def read(self, table: str, wanted: Collection[str]) -> tuple[str, tuple[SourceColumn, ...]]:
        place = next(key for key in self._columns if key[1] == table)
        chosen = [sql for name, sql in self._columns[place] if name.lower() in wanted]
        return self._load(place, ", ".join(chosen) or "NULL AS nothing", "")

    def columns(self, table: str) -> tuple[SourceColumn, ...]:
        place = next(key for key in self._columns if key[1] == table)
        return self._load(place, ", ".join(sql for _, sql in self._columns[place]), " LIMIT 0")[1]

    def _load(self, place: tuple[str, str], listed: str, limit: str) -> tuple[str, tuple[SourceColumn, ...]]:
        schema, table = place
        relation = quote(f"source {table}")
        query = f"SELECT {listed} FROM {quote(schema)}.{quote(table)}{limit}"  # noqa: S608  names from the catalogue
        try:
            with self._postgres.cursor() as cursor:
                cursor.execute(query)
                batches: Any = cursor.fetch_record_batch()
                self._duckdb.register("arriving", batches)
                self._duckdb.execute(f"CREATE OR REPLACE TEMP TABLE {relation} AS SELECT * FROM arriving")  # noqa: S608
                self._duckdb.unregister("arriving")
        except (adbc.Error, duckdb.Error) as error:
            raise _refused(error, f"the table {table} to be readable", "Check SELECT rights on it.") from None
        types = {str(r[0]): str(r[1]) for r in self._duckdb.execute(f"DESCRIBE {relation}").fetchall()}
        return relation, tuple(SourceColumn(name, types.get(name, "NOT READ")) for name, _ in self._columns[place])

    def close(self) -> None:
        self._postgres.close()


def _selection(column: str, kind: str, precision: int, scale: int) -> str:
    name = quote(column)
    if kind in _PLAIN:
        return name
    if kind == "numeric":
        # A whole number beyond 18 digits is an identifier: as text nothing of it is lost.
        target = "double precision" if scale else "bigint" if precision <= 18 else "text"
        return f"{name}::{target} AS {name}"
    if kind == "bpchar":
        return f"rtrim({name}::text) AS {name}"
    return f"{name}::text AS {name}"


def _refused(error: Exception, expected: str, advice: str) -> SourceError:
    """Only the SQLSTATE is told: PostgreSQL's message can hold the URL or a row."""
    state = getattr(error, "sqlstate", None) or type(error).__name__
    return SourceError(f"Expected {expected}, found an error of PostgreSQL ({state}). {advice}")
