"""One range of a table's rows: where the table is cut, and the statement that reads one piece. Pure.

A statement over a range is the plain statement with the table's rows put in the place of its name:
``WITH "visit" AS NOT MATERIALIZED (SELECT * FROM extract.main."visit" WHERE rowid BETWEEN a AND b) SELECT …``. DuckDB
sees through it: projection, filter and range end in one scan, and whole row groups are skipped. Every ranged statement
is built here, and the only thing that depends on how rows are numbered is the ``RowSource``.

Non-goal: whether the plain statement may be cut (``plain_scans``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from enclave.domain.manifest import ManifestTable
from enclave.gateway.gate import CATALOG, NUMBERED

ROW_GROUP = 122_880
"""Rows of a row group in a native DuckDB file; a range that begins and ends with one reads nothing twice."""
MAXIMUM_PARTS = 1024
_GROUPS_OF_A_PART = 8
_LAST_ROW = 2**63 - 1
_ROW_NUMBER = "rowid"
ROW_COLUMN = "__row"
"""The row's number in a numbered view (``ruled_views``)."""


@dataclass(frozen=True)
class RowSource:
    """Where numbered rows come from. ``relation`` and ``number`` are SQL; ``hidden``: leave ``number`` out of ``*``."""

    relation: str
    number: str
    hidden: bool = False


@dataclass(frozen=True)
class RowRange:
    """Part ``part`` (from 1) of ``parts``: the rows numbered ``low`` to ``high``, both included."""

    part: int
    parts: int
    low: int
    high: int


def quoted(name: str) -> str:
    """A name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def find_row_source(table: ManifestTable, *, is_view: bool) -> RowSource | None:
    """The native row numbers of an extract's table; None when a column of its own hides them.

    ``is_view``: the permit's rules hide the person's tables behind views, which have no row numbers; then it is the
    view that shows the same rows with their place in the file.
    """
    if any(column.name.lower() in (_ROW_NUMBER, ROW_COLUMN) for column in table.columns):
        return None
    if is_view:
        return RowSource(f"{NUMBERED}.main.{quoted(table.name)}", quoted(ROW_COLUMN), hidden=True)
    return RowSource(f"{CATALOG}.main.{quoted(table.name)}", _ROW_NUMBER)


def cut(rows: int, parts: int | None, most_rows: int) -> list[RowRange]:
    """Ranges that cover every row once: ``parts`` of them, or as many as make parts of about a million rows.

    ``most_rows``: what one query may bring; parts are made no larger than that when nobody said how many. A table of
    few row groups is cut between them as long as there are enough, and within them otherwise. The last range is open.
    """
    wanted = parts or -(-rows // max(1, min(_GROUPS_OF_A_PART * ROW_GROUP, most_rows)))
    count = max(1, min(wanted, MAXIMUM_PARTS, max(1, rows)))
    groups = -(-rows // ROW_GROUP)
    unit, units = (ROW_GROUP, groups) if groups >= count else (1, rows)
    starts = [units * number // count * unit for number in range(count)]
    ends = [start - 1 for start in starts[1:]] + [_LAST_ROW]
    return [RowRange(i, count, low, high) for i, (low, high) in enumerate(zip(starts, ends, strict=True), start=1)]


def scan_statement(table: str, columns: Sequence[str] | None, condition: str | None) -> str:
    """The plain scan of some columns; ``condition`` is SQL on a line of its own, so that its comments end there."""
    selected = ", ".join(quoted(column) for column in columns) if columns is not None else "*"
    where = f" WHERE ({condition}\n)" if condition else ""
    return f"SELECT {selected} FROM {quoted(table)}{where}"  # noqa: S608 - examined by the gate


def ranged_statement(statement: str, table: str, rows: RowRange, source: RowSource | None) -> str:
    """``statement``, which reads ``table`` under its plain name, over some of its rows.

    Without a source it is the statement itself; raises ValueError when ``rows`` is not the only part then.
    """
    if source is None:
        if rows.parts != 1:
            raise ValueError("expected a row source for a part of a table, found none")
        return statement
    columns = f"* EXCLUDE ({source.number})" if source.hidden else "*"
    within = f"{source.number} BETWEEN {rows.low} AND {rows.high}"
    piece = f"SELECT {columns} FROM {source.relation} WHERE {within}"  # noqa: S608 - names and numbers of ours
    return f"WITH {quoted(table)} AS NOT MATERIALIZED ({piece}) {statement}"
