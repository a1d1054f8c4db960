"""A reviewed file as plain values for the template: tables, lines, notebook cells. None of it is the researcher's HTML.

Pure. ``render`` parses, so it is called in the sandbox (``work``); ``as_shown`` sets the findings that
the portal has beside what came out of it. Text is escaped by the template; pictures are named by their place and served
by a view of their own with a policy that forbids everything. Long files are cut here and whole as text in the raw view;
rows with findings are always shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from egress_review.domain.findings import Finding, Location, Severity
from egress_review.domain.snapshots import SnapshotFile
from egress_review.sdc.html_tables import read_html
from egress_review.sdc.images import decode_image
from egress_review.sdc.notebooks import Cell, Notebook
from egress_review.sdc.reading import read
from egress_review.sdc.tables import NOWHERE, Table, UnreadableError

SHOWN_ROWS = 200
SHOWN_LINES = 400
SHOWN_CHARACTERS = 400
SVG = "image/svg+xml"
_PICTURES = ("image/png", "image/jpeg", SVG)
Mark = Literal["", "low", "medium", "high"]
Kind = Literal["notebook", "table", "picture", "text", "other"]
_TONE: dict[Severity, Mark] = {Severity.BLOCKING: "high", Severity.WARNING: "medium", Severity.INFO: "low"}


@dataclass(frozen=True)
class Flag:
    """A finding, as far as it is shown: how severe, and where."""

    severity: Severity
    location: Location


@dataclass(frozen=True)
class ShownCell:
    """``mark``: the severest finding about it."""

    text: str
    mark: Mark = ""


@dataclass(frozen=True)
class ShownRow:
    """One row with its line in the file."""

    line: int
    cells: tuple[ShownCell, ...]


@dataclass(frozen=True)
class ShownTable:
    """``left_out`` rows are not shown."""

    header: tuple[ShownCell, ...]
    rows: tuple[ShownRow, ...]
    left_out: int


@dataclass(frozen=True)
class ShownOutput:
    """One part of an output: lines of text, tables read from HTML, or ``picture`` = its MIME type."""

    number: int
    mime: str
    lines: tuple[ShownRow, ...]
    tables: tuple[ShownTable, ...] = ()
    picture: str = ""


@dataclass(frozen=True)
class RenderedCell:
    """A cell of a notebook."""

    number: int
    kind: str
    source: str
    outputs: tuple[ShownOutput, ...]


@dataclass(frozen=True)
class Rendered:
    """What is shown of one file. ``kind`` chooses the template's branch."""

    kind: Kind
    table: ShownTable | None = None
    lines: tuple[ShownRow, ...] = ()
    left_out: int = 0
    cells: tuple[RenderedCell, ...] = ()


@dataclass(frozen=True)
class ShownNotebookCell(RenderedCell):
    """A cell with its findings."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class ShownFile:
    """One file of the review page with its findings."""

    position: int
    file: SnapshotFile
    kind: Kind
    findings: tuple[Finding, ...]
    table: ShownTable | None
    lines: tuple[ShownRow, ...]
    left_out: int
    cells: tuple[ShownNotebookCell, ...]


def render(name: str, content: bytes, findings: tuple[Flag, ...]) -> Rendered:
    """``findings`` of this file are marked. Never raises for any bytes, but MemoryError; the unreadable is other."""
    reading = read(name, content)
    if reading.notebook is not None:
        return Rendered("notebook", cells=tuple(_notebook_cell(cell, findings) for cell in reading.notebook.cells))
    if reading.suffix in (".csv", ".tsv") and reading.tables:
        return Rendered("table", table=show_table(reading.tables[0], findings))
    if reading.suffix in (".png", ".svg", ".jpg", ".jpeg"):
        return Rendered("picture")
    if reading.text is None:
        return Rendered("other")
    lines, left_out = show_lines(reading.text, findings)
    return Rendered("text", lines=lines, left_out=left_out)


def as_shown(position: int, file: SnapshotFile, rendered: Rendered, findings: Iterable[Finding]) -> ShownFile:
    """``findings`` of all files, or of this one."""
    mine = tuple(finding for finding in findings if finding.file == file.name)
    cells = tuple(
        ShownNotebookCell(
            cell.number, cell.kind, cell.source, cell.outputs, tuple(f for f in mine if f.location.cell == cell.number)
        )
        for cell in rendered.cells
    )
    return ShownFile(position, file, rendered.kind, mine, rendered.table, rendered.lines, rendered.left_out, cells)


def show_lines(text: str, findings: tuple[Flag, ...]) -> tuple[tuple[ShownRow, ...], int]:
    """The first lines and every line with a finding; and how many are left out."""
    marks: dict[int | None, Mark] = {}
    for (line, _column), mark in _marks(findings).items():
        marks[line] = "high" if "high" in (mark, marks.get(line)) else mark
    rows = text.splitlines()
    lines = tuple(
        ShownRow(number, (ShownCell(_cut(line), marks.get(number, "")),))
        for number, line in enumerate(rows, start=1)
        if number <= SHOWN_LINES or number in marks
    )
    return lines, len(rows) - len(lines)


def show_table(table: Table, findings: tuple[Flag, ...]) -> ShownTable:
    """The first rows and every row with a finding, flagged cells marked."""
    marks = _marks(findings)
    columns = {column: mark for (line, column), mark in marks.items() if line is None and column is not None}
    lines = {line for line, _column in marks if line is not None}
    chosen = [row for n, row in enumerate(table.rows) if n < SHOWN_ROWS or row.line in lines]
    rows = tuple(
        ShownRow(
            row.line,
            tuple(
                ShownCell(_cut(cell), marks.get((row.line, n)) or marks.get((row.line, None)) or columns.get(n, ""))
                for n, cell in enumerate(row.cells, start=1)
            ),
        )
        for row in chosen
    )
    header = tuple(ShownCell(_cut(name), columns.get(n, "")) for n, name in enumerate(table.header, start=1))
    return ShownTable(header, rows, len(table.rows) - len(rows))


def _marks(findings: tuple[Flag, ...]) -> dict[tuple[int | None, int | None], Mark]:
    marks: dict[tuple[int | None, int | None], Mark] = {}
    # The least severe first, so that the severest stays.
    for severity in (Severity.INFO, Severity.WARNING, Severity.BLOCKING):
        for finding in findings:
            place = finding.location
            if finding.severity is severity and (place.line is not None or place.column is not None):
                marks[(place.line, place.column)] = _TONE[severity]
    return marks


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + " …"


def _notebook_cell(cell: Cell, findings: tuple[Flag, ...]) -> RenderedCell:
    mine = tuple(finding for finding in findings if finding.location.cell == cell.number)
    outputs: list[ShownOutput] = []
    for output in cell.outputs:
        here = tuple(finding for finding in mine if finding.location.output == output.number)
        for mime, text in output.parts.items():
            outputs.append(_output(output.number, mime, text, here))
    return RenderedCell(cell.number, cell.kind, cell.source, tuple(outputs))


def _output(number: int, mime: str, text: str, findings: tuple[Flag, ...]) -> ShownOutput:
    if mime in _PICTURES:
        return ShownOutput(number, mime, (), picture=mime)
    shown, _left_out = show_lines(text, () if mime == "text/html" else findings)
    if mime != "text/html":
        return ShownOutput(number, mime, shown)
    try:
        tables = read_html(text, NOWHERE)
    except UnreadableError:
        tables = []
    return ShownOutput(number, mime, shown, tuple(show_table(table, findings) for table in tables))


def picture_of(notebook: Notebook, cell: int, output: int, mime: str) -> tuple[str, bytes] | None:
    """MIME type and bytes of a notebook's picture, or None when there is none of a kind that is safe to serve."""
    for part in (p for c in notebook.cells if c.number == cell for p in c.outputs if p.number == output):
        text = part.parts.get(mime, "")
        content = text.encode("utf-8", "replace") if mime == SVG and text else decode_image(mime, text)
        if content:
            return mime, content
    return None
