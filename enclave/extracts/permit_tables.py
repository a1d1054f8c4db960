"""The ``tables`` part of a data permit: tables, columns, treatments, row filters, and what must agree between them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ruamel.yaml.nodes import Node, ScalarNode

from enclave.domain.permits import PermittedColumn, PermittedTable, Treatment
from enclave.extracts.permit_nodes import NodeReader
from enclave.extracts.row_filter import RowFilter, RowFilterProblem, parse_row_filter
from enclave.extracts.treatments import TreatmentProblem, parse_treatment

_TABLE = re.compile(r"\w[\w-]{0,62}")
_COLUMN = re.compile(r"\w[\w $.-]{0,62}")
_PERSONAL = frozenset({Treatment.PERSON_PSEUDONYM, Treatment.SHIFT_DATE})


@dataclass
class _Place:
    """Where a column stands, for problems found when all tables are known."""

    table: str
    node: ScalarNode
    column: PermittedColumn


def read_tables(reader: NodeReader, node: Node, *, shifting: bool) -> tuple[PermittedTable, ...]:
    """All tables; ``shifting`` says whether the permit shifts dates at all."""
    tables: list[PermittedTable] = []
    places: list[_Place] = []
    for name, key, value in reader.entries(node, "tables"):
        if not _TABLE.fullmatch(name):
            reader.report(
                key, f'expected a table name of letters, digits and underscores, found "{name[:60]}"; rename it.'
            )
            continue
        tables.append(_read_table(reader, name, value, places))
    if not tables and not reader.problems:
        reader.report(node, "expected at least one table in tables, found none; name what the project may see.")
    _check_columns(reader, {t.name: t for t in tables}, places, shifting=shifting)
    return tuple(tables)


def _read_table(reader: NodeReader, name: str, node: Node, places: list[_Place]) -> PermittedTable:
    what = f"tables.{name}"
    found = reader.mapping(node, what, ("columns",), ("person", "rows"))
    person = None
    if "person" in found:
        person = reader.shaped(found["person"], f"{what}.person", _COLUMN, "the name of a column")
    condition = read_condition(reader, found["rows"], what) if "rows" in found else None
    rows = condition.text if condition is not None else None
    columns = _read_columns(reader, name, found["columns"], places) if "columns" in found else ()
    return PermittedTable(name, columns, person, rows)


def read_condition(reader: NodeReader, node: Node, what: str) -> RowFilter | None:
    """The SQL condition written under ``rows``; None when it is none, which is reported."""
    text = reader.text(node, f"{what}.rows", longest=4000)
    if text is None:
        return None
    parsed = parse_row_filter(text)
    if isinstance(parsed, RowFilterProblem):
        reader.report(node, f"{what}.rows: {parsed.message}")
        return None
    return parsed


def _read_columns(reader: NodeReader, table: str, node: Node, places: list[_Place]) -> tuple[PermittedColumn, ...]:
    what = f"tables.{table}.columns"
    columns: list[PermittedColumn] = []
    before = len(reader.problems)
    for name, key, value in reader.entries(node, what):
        text = reader.text(value, f"the treatment of {table}.{name}")
        if not _COLUMN.fullmatch(name):
            reader.report(
                key, f'expected a column name of letters, digits and underscores, found "{name[:60]}"; rename it.'
            )
        elif text is not None:
            parsed = parse_treatment(text)
            if isinstance(parsed, TreatmentProblem):
                reader.report(value, f"{what}.{name}: {parsed.message}")
                continue
            columns.append(PermittedColumn(name, *parsed))
            places.append(_Place(table, key, columns[-1]))
    if not columns and len(reader.problems) == before:
        reader.report(node, f"expected at least one column in {what}, found none; name a column or remove the table.")
    return tuple(columns)


def _check_columns(
    reader: NodeReader, tables: dict[str, PermittedTable], places: list[_Place], *, shifting: bool
) -> None:
    """What a single column cannot show: persons need a person column, and no person column stays as it is."""
    person_names = {t.person.lower() for t in tables.values() if t.person}
    for place in places:
        table, column = tables[place.table], place.column
        label = f"{place.table}.{column.name}"
        name = column.name.lower()
        if table.person is None and column.treatment in _PERSONAL:
            message = (
                f"expected {column.treatment} only in a table that names its person column, found it at {label}; "
                f'add "person: <column>" to {place.table}.'
            )
            reader.report(place.node, message)
        elif table.person is None and name in person_names:
            message = (
                f"expected no person column in a table without person, found {label}; "
                f'add "person: {column.name}" to {place.table} or remove the column.'
            )
            reader.report(place.node, message)
        elif name in person_names and column.treatment is not Treatment.PERSON_PSEUDONYM:
            message = (
                f"expected person-pseudonym for the person column {label}, found {column.treatment}; "
                "change it or remove the column."
            )
            reader.report(place.node, message)
        if column.treatment is Treatment.SHIFT_DATE and not shifting:
            message = (
                f"expected no shift-date while dates.shift_days is 0, found it at {label}; "
                "set dates.shift_days or choose year or month."
            )
            reader.report(place.node, message)
