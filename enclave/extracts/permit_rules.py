"""The ``rules`` part of a data permit: which of the project's people see less of a table than the extract holds.

Every rule names known people, one known table, and the columns that remain, the rows that remain, or both. The rows'
condition is checked like a row filter (``row_filter``) but speaks of the extract's columns. Non-goal: widening; what is
not in the extract cannot be given back by a rule.
"""

from __future__ import annotations

from collections.abc import Collection

from ruamel.yaml.nodes import Node

from enclave.domain.ids import Username
from enclave.domain.permits import PermittedTable, TableRule
from enclave.extracts.permit_nodes import NodeReader, suggest
from enclave.extracts.permit_tables import read_condition


def read_rules(
    reader: NodeReader, node: Node, researchers: Collection[Username], tables: Collection[PermittedTable]
) -> tuple[TableRule, ...]:
    """All rules that could be read; what is wrong is reported at its line."""
    known = {table.name.lower(): table for table in tables}
    rules: list[TableRule] = []
    seen: set[tuple[str, str]] = set()
    for number, item in enumerate(reader.items(node, "rules"), start=1):
        what = f"rules[{number}]"
        found = reader.mapping(item, what, ("people", "table"), ("columns", "rows"))
        people = _read_people(reader, found["people"], what, researchers) if "people" in found else ()
        table = _read_table(reader, found["table"], what, known) if "table" in found else None
        if found and not {"columns", "rows"} & set(found):
            reader.report(
                item, f'expected "columns", "rows" or both in {what}, found neither; say what remains visible.'
            )
        if table is None:
            continue
        columns = _read_columns(reader, found["columns"], what, table) if "columns" in found else ()
        rows = _read_rows(reader, found["rows"], what, table) if "rows" in found else None
        _check_once(reader, item, people, table, seen)
        rules.append(TableRule(people, table.name, columns, rows))
    return tuple(rules)


def _read_people(reader: NodeReader, node: Node, what: str, researchers: Collection[Username]) -> tuple[Username, ...]:
    people: list[Username] = []
    for item in reader.items(node, f"{what}.people"):
        name = reader.text(item, "a user name")
        if name is None:
            continue
        if name not in researchers:
            reader.report(
                item,
                f'expected a researcher of this permit in {what}.people, found "{name[:60]}"'
                f"{suggest(name, researchers)}; correct it, or add the person to people.researchers.",
            )
        elif name in people:
            reader.report(item, f'expected every person once in {what}.people, found "{name}" again; remove one.')
        else:
            people.append(Username(name))
    return tuple(people)


def _read_table(reader: NodeReader, node: Node, what: str, known: dict[str, PermittedTable]) -> PermittedTable | None:
    name = reader.text(node, f"{what}.table")
    if name is None:
        return None
    if name.lower() not in known:
        reader.report(
            node,
            f"expected one of the tables {', '.join(t.name for t in known.values()) or '(none could be read)'} in "
            f'{what}.table, found "{name[:60]}"{suggest(name, known)}; correct it.',
        )
    return known.get(name.lower())


def _read_columns(reader: NodeReader, node: Node, what: str, table: PermittedTable) -> tuple[str, ...]:
    known = {column.name.lower(): column.name for column in table.columns}
    columns: list[str] = []
    for item in reader.items(node, f"{what}.columns"):
        name = reader.text(item, "the name of a column")
        if name is None:
            continue
        column = known.get(name.lower())
        if column is None:
            reader.report(
                item,
                f'expected a column that this permit grants in {table.name}, found "{name[:60]}"'
                f"{suggest(name, known)}; correct it or add it to tables.{table.name}.columns.",
            )
        elif column in columns:
            reader.report(item, f'expected every column once in {what}.columns, found "{column}" again; remove one.')
        else:
            columns.append(column)
    return tuple(columns)


def _read_rows(reader: NodeReader, node: Node, what: str, table: PermittedTable) -> str | None:
    parsed = read_condition(reader, node, what)
    if parsed is None:
        return None
    known = [column.name for column in table.columns]
    for name in sorted(parsed.columns - {column.lower() for column in known}):
        reader.report(
            node,
            f"{what}.rows: expected only columns that this permit grants in {table.name}, found "
            f'"{name[:60]}"{suggest(name, known)}; a rule speaks of the extract, not of the source.',
        )
    return parsed.text


def _check_once(
    reader: NodeReader, node: Node, people: tuple[Username, ...], table: PermittedTable, seen: set[tuple[str, str]]
) -> None:
    for person in people:
        if (person, table.name) in seen:
            message = f"expected one rule for {person} and {table.name}, found a second one; put both into one rule."
            reader.report(node, message)
        seen.add((person, table.name))
