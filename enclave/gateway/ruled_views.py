"""Worker side of the permit's rules: the extract under a hidden name, and views of it under the public one.

Contract: ``attach_ruled`` runs before the engine is locked and leaves catalog ``extract`` with one view per table of
the manifest. Tables with a rule get a SECURE view: DuckDB evaluates nothing that can fail below its filter, and neither
plan nor statistics tell what is behind it (tests/security/gateway/test_rule_barrier.py holds it to that). The other
tables get plain views, which cost nothing. ``partitions.main."<table>"`` shows the same rows with their place in the
file as ``__row``, for the front's own use; the gate lets nobody name it. DuckDB's catalogues show neither it nor
``sealed``.

A condition that could fail on some row is put into TRY: the row is hidden, and no error tells that it is there.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from enclave.domain.manifest import Manifest, ManifestTable
from enclave.domain.permits import TableRule
from enclave.domain.person_rules import PersonRules
from enclave.extracts.row_filter import RowFilterProblem, parse_row_filter
from enclave.extracts.total_condition import is_total
from enclave.gateway.gate import NUMBERED
from enclave.gateway.row_ranges import ROW_COLUMN, quoted

SEALED = "sealed"


class RulesRefusedError(Exception):
    """A rule cannot be turned into a view; the sentence says whose and what to do."""


def attach_ruled(
    connection: duckdb.DuckDBPyConnection, file: Path, catalog: str, manifest: Manifest, rules: PersonRules
) -> None:
    """Attach the extract's file as ``sealed`` and make catalog ``catalog`` of views. Raises RulesRefusedError."""
    path = str(file).replace("'", "''")
    connection.execute(f"ATTACH '{path}' AS {SEALED} (READ_ONLY, HIDDEN)")
    connection.execute(f"ATTACH ':memory:' AS {catalog}")
    connection.execute(f"ATTACH ':memory:' AS {NUMBERED} (HIDDEN)")
    for table in manifest.tables:
        rule = rules.find(table.name)
        try:
            columns, condition = _columns(table, rule), _condition(table, rule)
            source = f"FROM {SEALED}.main.{quoted(table.name)}{condition}"
            kind = "SECURE VIEW" if rule is not None else "VIEW"
            connection.execute(f"CREATE {kind} {catalog}.main.{quoted(table.name)} AS SELECT {columns} {source}")
            place = f'rowid AS "{ROW_COLUMN}"'
            name = f"{NUMBERED}.main.{quoted(table.name)}"
            connection.execute(f"CREATE {kind} {name} AS SELECT {columns}, {place} {source}")
        except duckdb.Error as error:
            raise RulesRefusedError(_sentence(table)) from error


def _columns(table: ManifestTable, rule: TableRule | None) -> str:
    if rule is None or not rule.columns:
        return "*"
    known = {column.name.lower(): column.name for column in table.columns}
    missing = [name for name in rule.columns if name.lower() not in known]
    if missing:
        raise RulesRefusedError(_sentence(table))
    return ", ".join(quoted(known[name.lower()]) for name in rule.columns)


def _condition(table: ManifestTable, rule: TableRule | None) -> str:
    if rule is None or rule.rows is None:
        return ""
    parsed = parse_row_filter(rule.rows)
    if isinstance(parsed, RowFilterProblem):
        raise RulesRefusedError(_sentence(table))
    total = is_total(parsed, {column.name.lower(): column.type for column in table.columns})
    return f" WHERE {'' if total else 'TRY'}(\n{rule.rows}\n)"


def _sentence(table: ManifestTable) -> str:
    return (
        f"The data permit's rule for table {table.name} does not fit this extract, so nothing is answered. "
        "Tell the data steward."
    )
