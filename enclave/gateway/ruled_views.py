"""Worker side of the permit's rules: the extract under a hidden name, and views of it under the public one.

Contract: ``attach_ruled`` runs before the engine is locked and leaves catalog ``extract`` with one view per table of
the manifest. Tables with a rule get a SECURE view: DuckDB evaluates nothing that can fail below its filter, and neither
plan nor statistics tell what is behind it (tests/security/gateway/test_rule_barrier.py holds it to that). The other
tables get plain views, which cost nothing. ``partitions.main."<table>"`` shows the same rows with their place in the
file as ``__row``, for the front's own use; the gate lets nobody name it. DuckDB's catalogues show neither it nor
``sealed``.

A condition that could fail on some row is put into TRY: the row is hidden, and no error tells that it is there.

``attach_ruled`` says which tables have hidden rows, so that they may be copied without them (``row_copies``).
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from enclave.domain.manifest import Manifest, ManifestTable
from enclave.domain.permits import TableRule
from enclave.domain.person_rules import PersonRules
from enclave.extracts.row_filter import RowFilter, RowFilterProblem, depends_on_the_day, parse_row_filter
from enclave.extracts.total_condition import is_total
from enclave.gateway.gate import NUMBERED
from enclave.gateway.row_copies import NarrowedTable
from enclave.gateway.row_copy import SEALED
from enclave.gateway.row_ranges import ROW_COLUMN, quoted

__all__ = ["SEALED", "RulesRefusedError", "attach_ruled"]


class RulesRefusedError(Exception):
    """A rule cannot be turned into a view; the sentence says whose and what to do."""


def attach_ruled(
    connection: duckdb.DuckDBPyConnection, file: Path, catalog: str, manifest: Manifest, rules: PersonRules
) -> tuple[NarrowedTable, ...]:
    """Attach the extract's file as ``sealed`` and make catalog ``catalog`` of views. Raises RulesRefusedError."""
    path = str(file).replace("'", "''")
    connection.execute(f"ATTACH '{path}' AS {SEALED} (READ_ONLY, HIDDEN)")
    connection.execute(f"ATTACH ':memory:' AS {catalog}")
    connection.execute(f"ATTACH ':memory:' AS {NUMBERED} (HIDDEN)")
    narrowed = []
    for table in manifest.tables:
        rule = rules.find(table.name)
        try:
            columns, rows = _columns(table, rule), _rows(table, rule)
            source = f"FROM {SEALED}.main.{quoted(table.name)}{_condition(table, rows)}"
            kind = "SECURE VIEW" if rule is not None else "VIEW"
            view = f"{catalog}.main.{quoted(table.name)}"
            connection.execute(f"CREATE {kind} {view} AS SELECT {columns} {source}")
            place = f'rowid AS "{ROW_COLUMN}"'
            name = f"{NUMBERED}.main.{quoted(table.name)}"
            connection.execute(f"CREATE {kind} {name} AS SELECT {columns}, {place} {source}")
        except duckdb.Error as error:
            raise RulesRefusedError(_sentence(table)) from error
        if rows is not None and not depends_on_the_day(rows):
            narrowed.append(
                NarrowedTable(table.name, table.rows * len(table.columns), view, f"SELECT {columns} {source}")
            )
    return tuple(narrowed)


def _columns(table: ManifestTable, rule: TableRule | None) -> str:
    if rule is None or not rule.columns:
        return "*"
    known = {column.name.lower(): column.name for column in table.columns}
    missing = [name for name in rule.columns if name.lower() not in known]
    if missing:
        raise RulesRefusedError(_sentence(table))
    return ", ".join(quoted(known[name.lower()]) for name in rule.columns)


def _rows(table: ManifestTable, rule: TableRule | None) -> RowFilter | None:
    if rule is None or rule.rows is None:
        return None
    parsed = parse_row_filter(rule.rows)
    if isinstance(parsed, RowFilterProblem):
        raise RulesRefusedError(_sentence(table))
    return parsed


def _condition(table: ManifestTable, rows: RowFilter | None) -> str:
    if rows is None:
        return ""
    total = is_total(rows, {column.name.lower(): column.type for column in table.columns})
    return f" WHERE {'' if total else 'TRY'}(\n{rows.text}\n)"


def _sentence(table: ManifestTable) -> str:
    return (
        f"The data permit's rule for table {table.name} does not fit this extract, so nothing is answered. "
        "Tell the data steward."
    )
