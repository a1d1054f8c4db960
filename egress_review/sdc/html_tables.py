"""Tables of an HTML text, in time linear in its length.

Not html.parser: in Python 3.11 it looks at the whole rest of the text again for every unclosed tag (measured: 500 kB
of ``<a `` take minutes), and this text comes from a hostile kernel. All patterns here are possessive and bounded. A
table tag that they cannot read makes the text unreadable (fail closed). Non-goal: a document tree; cells are all.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

from egress_review.domain.findings import Location
from egress_review.domain.sentences import Sentence
from egress_review.sdc.tables import CELL_LIMIT, Row, Table, UnreadableError, with_header

HTML_CHARACTERS = 1_000_000
_NESTED = 20
_PLAIN = "[^<>\"']{0,300}+"
_QUOTED = "(?:\"[^\"]{0,300}+\"|'[^']{0,300}+')"
_ATTRIBUTES = f"({_PLAIN}(?:{_QUOTED}{_PLAIN}){{0,8}}+)"
_NAMES = "table|thead|tbody|tfoot|tr|td|th"
_TABLE_TAG = re.compile(rf"<(/?)({_NAMES})(?=[\s/>]){_ATTRIBUTES}>", re.IGNORECASE)
_ANY_TABLE_TAG = re.compile(rf"</?(?:{_NAMES})(?=[\s/>])", re.IGNORECASE)
_OTHER_TAG = re.compile(rf"<[/!?]?[a-z-]{_ATTRIBUTES}>", re.IGNORECASE)
_COLSPAN = re.compile(r"colspan\s{0,5}=\s{0,5}[\"']?(\d{1,5})", re.IGNORECASE)


@dataclass
class _OpenTable:
    header: tuple[str, ...] = ()
    rows: list[Row] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    text: list[str] | None = None
    span: int = 1
    is_head: bool = False


class _Reader:
    """Takes tags and texts in order and collects finished tables."""

    def __init__(self, place: Location) -> None:
        self.tables: list[Table] = []
        self._open: list[_OpenTable] = []
        self._place = place
        self._cells = 0

    def text(self, text: str) -> None:
        if self._open and self._open[-1].text is not None:
            self._open[-1].text.append(html.unescape(_OTHER_TAG.sub("", text)))

    def start(self, tag: str, attributes: str) -> None:
        if tag == "table":
            if len(self._open) >= _NESTED:
                raise UnreadableError(_TANGLED)
            self._open.append(_OpenTable())
        elif self._open:
            table = self._open[-1]
            if tag in ("td", "th"):
                self._end_cell(table)
                found = _COLSPAN.search(attributes)
                table.text, table.span = [], min(int(found[1]), 1000) or 1 if found else 1
            else:
                self._end_row(table)
                table.is_head = table.is_head if tag == "tr" else tag == "thead"

    def end(self, tag: str) -> None:
        if not self._open:
            return
        table = self._open[-1]
        if tag in ("td", "th"):
            self._end_cell(table)
            return
        self._end_row(table)
        if tag == "thead":
            table.is_head = False
        elif tag == "table":
            self._end_table()

    def finish(self) -> list[Table]:
        while self._open:
            self._end_row(self._open[-1])
            self._end_table()
        return self.tables

    def _end_cell(self, table: _OpenTable) -> None:
        if table.text is None:
            return
        self._cells += table.span
        if self._cells > CELL_LIMIT:
            raise UnreadableError(Sentence("The table has more than %(limit)s cells; too many.", limit=CELL_LIMIT))
        table.cells.extend(["".join(table.text).strip()] * table.span)
        table.text = None

    def _end_row(self, table: _OpenTable) -> None:
        self._end_cell(table)
        if table.cells and table.is_head:
            table.header = _merged_header(table.header, table.cells)
        elif table.cells:
            # The header counts as line 1, as in the printed form of the same data frame.
            table.rows.append(Row(len(table.rows) + 1 + bool(table.header), tuple(table.cells)))
        table.cells = []

    def _end_table(self) -> None:
        table = self._open.pop()
        if table.header:
            self.tables.append(Table(table.header, tuple(table.rows), self._place))
        elif table.rows:
            self.tables.append(with_header(table.rows, self._place))


def _merged_header(first: tuple[str, ...], second: list[str]) -> tuple[str, ...]:
    """pandas writes the names of the index in a second header row."""
    width = max(len(first), len(second))
    pairs = zip(first + ("",) * (width - len(first)), second + [""] * (width - len(second)), strict=True)
    return tuple(f"{a} {b}".strip() for a, b in pairs)


def read_html(text: str, place: Location) -> list[Table]:
    """All tables of an HTML text. Raises UnreadableError for a text that is too large or not plainly written."""
    if len(text) > HTML_CHARACTERS:
        raise UnreadableError(_TANGLED)
    reader = _Reader(place)
    at = tags = 0
    for tag in _TABLE_TAG.finditer(text):
        reader.text(text[at : tag.start()])
        at, tags = tag.end(), tags + 1
        if tag[1]:
            reader.end(tag[2].lower())
        else:
            reader.start(tag[2].lower(), tag[3])
    reader.text(text[at:])
    if tags != sum(1 for _tag in _ANY_TABLE_TAG.finditer(text)):
        raise UnreadableError(_TANGLED)
    return reader.finish()


_TANGLED = Sentence("The HTML output is too large or too tangled to be checked.")
