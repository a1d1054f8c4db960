"""What the catalogue says of a data set (names and types of its tables' columns, no row, no count), and a data permit
to start from that is made of it (SATRE 3.4.01). Pure.

The draft permits nothing: every table is commented out, so that whoever applies chooses each by hand.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS_OF_YAML = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "none"})


@dataclass(frozen=True)
class OutlinedColumn:
    """``type`` is DuckDB's name of the type."""

    name: str
    type: str


@dataclass(frozen=True)
class OutlinedTable:
    """One table of a source."""

    name: str
    columns: tuple[OutlinedColumn, ...]


def stored_outline(tables: Iterable[OutlinedTable]) -> list[dict[str, Any]]:
    """As the catalogue's row keeps it."""
    return [{"name": table.name, "columns": [[c.name, c.type] for c in table.columns]} for table in tables]


def read_outline(stored: list[dict[str, Any]]) -> tuple[OutlinedTable, ...]:
    """Inverse of ``stored_outline``."""
    return tuple(
        OutlinedTable(table["name"], tuple(OutlinedColumn(name, kind) for name, kind in table["columns"]))
        for table in stored
    )


def draft_permit(dataset: str, version: str, title: str, tables: tuple[OutlinedTable, ...]) -> str:
    """YAML for an application: the head to be filled in, and below it every table, commented out.

    The person's column is guessed as the one that most tables have; treatments from the types: dates are shifted,
    everything else is kept. Both are for the applicant to check.
    """
    person = _commonest(tables)
    lines = [*_head(dataset, version, title), "tables:"]
    for table in tables:
        lines += [f"#  {line}" for line in _table(table, person)]
    return "\n".join(lines) + "\n"


def _head(dataset: str, version: str, title: str) -> list[str]:
    return [
        f"# A data permit to start from: {dataset} {version}.",
        "# Fill in the lines with three dots. Then take the # away before the tables and columns that your question",
        "# needs, and only those: what is not listed never arrives. All keys: examples/permits/README.md",
        "permit: 1",
        "project: my-project",
        f"title: {json.dumps(title, ensure_ascii=False)}",
        "purpose: ...",
        "legal_basis: ...",
        f"dataset: {{name: {dataset}, version: {json.dumps(version)}}}",
        "people:",
        "  researchers: [...]",
        "expires_on: ...  # such as 2027-12-31",
        "pseudonyms: {domain: my-project}",
        "dates: {shift_days: 180}  # each person's dates move by a constant of their own of at most so many days",
        "",
    ]


def _table(table: OutlinedTable, person: str | None) -> Iterable[str]:
    yield f"{_key(table.name)}:"
    names = {column.name.lower(): column.name for column in table.columns}
    if person in names:
        yield f"  person: {_key(names[person])}  # is it the person's identifier?"
    yield "  columns:"
    for column in table.columns:
        yield f"    {_key(column.name)}: {_treatment(column, person)}  # {column.type}"


def _commonest(tables: tuple[OutlinedTable, ...]) -> str | None:
    """The column name (lower case) that most tables have; None where no name is in two."""
    counted = Counter(column.name.lower() for table in tables for column in table.columns)
    if not counted:
        return None
    most = max(counted.values())
    return min(name for name, number in counted.items() if number == most) if most > 1 else None


def _treatment(column: OutlinedColumn, person: str | None) -> str:
    if column.name.lower() == person:
        return "person-pseudonym"
    return "shift-date" if column.type.startswith(("DATE", "TIMESTAMP")) else "keep"


def _key(name: str) -> str:
    is_plain = _PLAIN.fullmatch(name) and name.lower() not in _WORDS_OF_YAML
    return name if is_plain else json.dumps(name, ensure_ascii=False)
