"""Carrying out an extract plan with DuckDB: source tables in, one native DuckDB file out, counts of what was dropped.

The people's map (identifier, pseudonym, shift) lives in this process's memory only. DuckDB may open the source and the
target folder and nothing else, never spills to disk, and its errors are told without their text: it can quote rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from enclave.domain.decisions import RefusedError
from enclave.domain.manifest import ManifestColumn, ManifestTable
from enclave.extracts.plan import ExtractPlan, TablePlan
from enclave.extracts.pseudonyms import date_shift, pads, person_pseudonym
from enclave.extracts.source_schema import literal, quote

DATA_FILE = "extract.duckdb"


class BuildError(RefusedError):
    """The plan could not be carried out."""


@dataclass(frozen=True)
class PeopleCounts:
    """How many opted out, and how many of those the source holds."""

    opt_outs_listed: int
    opt_outs_matched: int


def open_engine(target: Path, source: Path | None) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that may touch ``target`` and ``source`` only, with its configuration locked."""
    connection = duckdb.connect(":memory:")
    folders = [str(target)] + ([str(source)] if source is not None and source.is_dir() else [])
    files = [str(source), f"{source}.wal"] if source is not None and not source.is_dir() else []
    connection.execute(f"SET allowed_directories = [{', '.join(literal(f) for f in folders)}]")
    connection.execute(f"SET allowed_paths = [{', '.join(literal(f) for f in files)}]")
    for name, value in {
        "TimeZone": "'UTC'",
        "temp_directory": "''",  # a spill file would hold rows of the source
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "enable_external_access": "false",
        "lock_configuration": "true",
    }.items():
        connection.execute(f"SET {name} = {value}")
    return connection


def load_people(
    connection: duckdb.DuckDBPyConnection, plan: ExtractPlan, opt_outs: frozenset[str], key: bytes, shift_days: int
) -> PeopleCounts:
    """Make the table ``people`` (everybody who did not opt out) and the key variables of the identifier spaces."""
    for number, space in enumerate(plan.spaces):
        blocks = pads(key, space)
        connection.execute(f"SET VARIABLE inner_{number} = ?::BLOB", [blocks.inner])
        connection.execute(f"SET VARIABLE outer_{number} = ?::BLOB", [blocks.outer])
    everybody = person_ids(connection, plan)
    kept = sorted(everybody - opt_outs)
    pseudonyms = [person_pseudonym(key, person) for person in kept]
    if len(set(pseudonyms)) != len(kept):
        raise BuildError(
            "Expected a pseudonym of its own for everybody, found two people with one. Create a new domain."
        )
    shifts = pa.array([date_shift(key, person, shift_days) for person in kept], pa.int32())
    text = pa.string()
    arriving = pa.table({"key": pa.array(kept, text), "pseudonym": pa.array(pseudonyms, text), "shift": shifts})
    connection.register("arriving", arriving)
    connection.execute("CREATE TEMP TABLE people AS SELECT * FROM arriving")
    connection.unregister("arriving")
    connection.execute("CREATE TEMP TABLE present (key VARCHAR)")
    return PeopleCounts(len(opt_outs), len(everybody & opt_outs))


def person_ids(connection: duckdb.DuckDBPyConnection, plan: ExtractPlan) -> set[str]:
    """Canonical ids of all people in the permitted tables of the source, before any filter."""
    keys = [(t, sql) for t in plan.tables for sql in (t.person_key, *t.other_people) if sql is not None]
    everybody: set[str] = set()
    for table, sql in keys:
        rows = _run(connection, f"SELECT DISTINCT {sql} FROM {table.relation} s", table.name)  # noqa: S608
        everybody.update(row[0] for row in rows if row[0] is not None)
    return everybody


def write_tables(connection: duckdb.DuckDBPyConnection, plan: ExtractPlan, target: Path) -> tuple[ManifestTable, ...]:
    """Write every table into ``target/extract.duckdb`` and close that file."""
    connection.execute(f"ATTACH {literal(str(target / DATA_FILE))} AS extract")
    tables = tuple(_write_table(connection, table) for table in plan.tables)
    connection.execute("CHECKPOINT extract")
    connection.execute("DETACH extract")
    return tables


def write_parquet(connection: duckdb.DuckDBPyConnection, tables: tuple[ManifestTable, ...], target: Path) -> None:
    """The same tables once more as ``target/<table>.parquet``."""
    connection.execute(f"ATTACH {literal(str(target / DATA_FILE))} AS extract (READ_ONLY)")
    for table in tables:
        place = literal(str(target / f"{table.name}.parquet"))
        connection.execute(f"COPY extract.main.{quote(table.name)} TO {place} (FORMAT parquet)")
    connection.execute("DETACH extract")


def count_people(connection: duckdb.DuckDBPyConnection) -> int:
    """Distinct people with at least one row in the extract."""
    return int(connection.execute("SELECT count(DISTINCT key) FROM present").fetchall()[0][0])


def _write_table(connection: duckdb.DuckDBPyConnection, table: TablePlan) -> ManifestTable:
    source_rows = int(_run(connection, f"SELECT count(*) FROM {table.relation}", table.name)[0][0])  # noqa: S608
    filtered = _filtered(table)
    matching, named, kept = _count(connection, table, filtered)
    columns = ", ".join(f"{c.sql} AS {quote(c.name)}" for c in table.columns)
    joined = f"{filtered} s" + (f" JOIN people p ON p.key = {table.person_key}" if table.person_key else "")
    place = f"extract.main.{quote(table.name)}"
    query = f"CREATE TABLE {place} AS SELECT {columns} FROM {joined} ORDER BY {_order(table)}"  # noqa: S608
    _run(connection, query, table.name)
    written = int(_run(connection, f"SELECT count(*) FROM {place}", table.name)[0][0])  # noqa: S608
    if written != kept:
        raise BuildError(
            f"Expected {kept} rows in {table.name}, found {written}: the source changed meanwhile. Build again."
        )
    if table.person_key:
        present = f"INSERT INTO present SELECT DISTINCT p.key FROM {joined}"  # noqa: S608
        _run(connection, present, table.name)
    types = {str(row[0]): str(row[1]) for row in _run(connection, f"DESCRIBE {place}", table.name)}
    return ManifestTable(
        name=table.name,
        rows=written,
        source_rows=source_rows,
        columns=tuple(ManifestColumn(name=c.name, type=types[c.name], treatment=c.treatment) for c in table.columns),
        person=table.person,
        dropped_columns=table.dropped_columns,
        dropped_rows_filter=source_rows - matching,
        dropped_rows_no_person=matching - named,
        dropped_rows_opt_out=named - kept,
    )


def _filtered(table: TablePlan) -> str:
    """The rows of the source for which the filter is true. The filter stands on lines of its own, so that a comment in
    it ends, and in a query of its own, so that it meets no other name."""
    nothing = ", ".join(f"NULL AS {quote(name)}" for name in table.empty_columns)
    source = f"(SELECT *{f' REPLACE ({nothing})' if nothing else ''} FROM {table.relation})"  # noqa: S608
    if table.rows is None:
        return source
    return f"(SELECT * FROM {source} WHERE CAST((\n{table.rows}\n) AS BOOLEAN) IS TRUE)"  # noqa: S608


def _count(connection: duckdb.DuckDBPyConnection, table: TablePlan, filtered: str) -> tuple[int, int, int]:
    """Rows that match the filter, of those with a person, of those whose person did not opt out."""
    if table.person_key is None:
        matching = int(_run(connection, f"SELECT count(*) FROM {filtered}", table.name)[0][0])  # noqa: S608
        return matching, matching, matching
    query = (
        f"SELECT count(*), count(k.key), count(p.key) FROM (SELECT {table.person_key} AS key FROM {filtered} s) k "  # noqa: S608
        "LEFT JOIN people p ON p.key = k.key"
    )
    matching, named, kept = _run(connection, query, table.name)[0]
    return int(matching), int(named), int(kept)


def _order(table: TablePlan) -> str:
    """By the values that are in the extract, the person's pseudonym first: the order of the source tells nothing."""
    numbers = range(1, len(table.columns) + 1)
    person = [n for n, c in zip(numbers, table.columns, strict=True) if c.sql == "p.pseudonym"]
    return ", ".join(str(n) for n in [*person, *(n for n in numbers if n not in person)])


def _run(connection: duckdb.DuckDBPyConnection, query: str, table: str) -> list[tuple[Any, ...]]:
    try:
        return connection.execute(query).fetchall()
    except (duckdb.ConversionException, duckdb.BinderException, duckdb.InvalidInputException) as error:
        raise BuildError(
            f"Expected row filter and treatments of {table} to fit its columns' types, found {type(error).__name__}. "
            "Compare the data permit with the column types of the source."
        ) from None
