"""Rows about single people: long tables with a near-unique column, and tables with the columns of an extract's table.

A heuristic: a long list of codes looks alike, so it warns; a table that has most columns of one table of the extract
blocks.
"""

from __future__ import annotations

from collections.abc import Iterator

from egress_review.domain.findings import Finding, Location, Severity
from egress_review.domain.sentences import Sentence
from egress_review.sdc.reading import Reading
from egress_review.sdc.small_counts import is_count_name
from egress_review.sdc.tables import Table, find_integer
from enclave.domain.manifest import Manifest
from enclave.domain.permits import OutputRules

LONG_TABLE_ROWS = 50
NEAR_UNIQUE = 0.9
_SHARED_COLUMNS = 3
_SHARED_SHARE = 0.6


def check_row_level(reading: Reading, rules: OutputRules, manifest: Manifest | None) -> Iterator[Finding]:
    """``row-level``: blocking for an extract's own columns, a warning for a near-unique column in a long table."""
    for table in reading.tables:
        source = _resembled(table, manifest)
        rows = len(table.rows)
        if source is not None:
            message = Sentence("%(rows)s rows with the columns of the extract's table %(table)s: single people?",
                               rows=rows, table=source)  # fmt: skip
            yield Finding("row-level", Severity.BLOCKING, reading.name, message, table.place)
            continue
        column = _near_unique(table)
        if column is not None:
            message = Sentence("%(rows)s rows, and this column is different in nearly all: single people?", rows=rows)
            place = Location(None, column + 1, table.place.cell, table.place.output)
            yield Finding("row-level", Severity.WARNING, reading.name, message, place)


def _resembled(table: Table, manifest: Manifest | None) -> str | None:
    header = {name.strip().lower() for name in table.header} - {""}
    for known in manifest.tables if manifest and table.rows else ():
        shared = header & {column.name.lower() for column in known.columns}
        if known.person is not None and len(shared) >= _SHARED_COLUMNS and len(shared) >= _SHARED_SHARE * len(header):
            return known.name
    return None


def _near_unique(table: Table) -> int | None:
    if len(table.rows) <= LONG_TABLE_ROWS:
        return None
    if any(is_count_name(table.name(column)) for column in range(table.width())):
        return None
    for column in range(table.width()):
        cells = [row.cells[column].strip() for row in table.rows if column < len(row.cells)]
        filled = [cell for cell in cells if cell]
        if len(filled) <= LONG_TABLE_ROWS or all(_is_measure(cell) for cell in filled):
            continue
        if len(set(filled)) >= NEAR_UNIQUE * len(filled):
            return column
    return None


def _is_measure(text: str) -> bool:
    """A decimal number: measures are all different without naming anybody."""
    if find_integer(text) is not None:
        return False
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
