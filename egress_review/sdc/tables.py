"""Tables as the checks see them, and three readers: CSV, HTML and aligned or Markdown text.

All readers are total within their limits and raise ``UnreadableError`` beyond them (fail closed). Numbers are read as
a person would read them: ``5``, ``5.0`` and ``1 234`` are integers.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

from egress_review.domain.findings import Location
from egress_review.domain.sentences import Sentence

CELL_LIMIT = 2_000_000
NOWHERE = Location()
LABELLED = ("key", "value")
"""Header of a table made of a JSON object: one row for each of its plain values."""
HTML_CHARACTERS = 1_000_000
_DECLARATIONS = 200  # html.parser looks at the rest of the text again for each unfinished "<!"
_DELIMITERS = ",;\t|"
_GROUPED = re.compile("\\d{1,3}(?:[, \\u00a0\\u202f]\\d{3})+")
_INTEGER = re.compile(r"\d{1,15}(?:\.0{1,6})?")
_GAP = re.compile("\\t+|[ \\u00a0\\u202f]{2,}")
_RULE = re.compile(r"[\s:|+=-]+")
_SERIES_FOOTER = re.compile(r"(?:Name: (?P<name>.{0,100}?), )?(?:Length: \d+, )?dtype: \w+")


class UnreadableError(Exception):
    """A file or a part of one cannot be checked; ``sentence`` says why."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True)
class Row:
    """One row; ``line`` counts from 1 within the file or the output."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A header (empty: none was recognised) and rows. ``place`` is the notebook cell and output, if any."""

    header: tuple[str, ...]
    rows: tuple[Row, ...]
    place: Location = NOWHERE

    def width(self) -> int:
        """Columns of the widest row."""
        return max((len(row.cells) for row in self.rows), default=len(self.header))

    def name(self, column: int) -> str:
        """Header of a column (from 0), or empty."""
        return self.header[column].strip() if column < len(self.header) else ""

    def at(self, row: Row, column: int) -> Location:
        """Location of a cell; ``column`` from 0."""
        return Location(row.line, column + 1, self.place.cell, self.place.output)


def find_integer(text: str) -> int | None:
    """A non-negative integer as people write them, or None."""
    text = text.strip()
    if _GROUPED.fullmatch(text):
        return int(re.sub(r"\D", "", text))
    return int(text.partition(".")[0]) if _INTEGER.fullmatch(text) else None


def read_csv(text: str) -> Table:
    """The first record is the header unless it holds a number. Raises UnreadableError."""
    first_line = text[:10_000].partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first_line.count)
    rows: list[Row] = []
    cells = 0
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        for record in reader:
            cells += len(record)
            if cells > CELL_LIMIT:
                raise UnreadableError(Sentence("The table has more than %(limit)s cells; too many.", limit=CELL_LIMIT))
            if any(cell.strip() for cell in record):
                rows.append(Row(reader.line_num, tuple(record)))
    except csv.Error as error:
        raise UnreadableError(Sentence("The file cannot be read as a CSV table.")) from error
    return _with_header(rows, Location())


def _with_header(rows: list[Row], place: Location) -> Table:
    if rows and not any(is_number(cell) for cell in rows[0].cells):
        return Table(rows[0].cells, tuple(rows[1:]), place)
    return Table((), tuple(rows), place)


def is_number(text: str) -> bool:
    """An integer or decimal number, with a decimal point or comma."""
    try:
        float(text.strip().replace(",", "."))
    except ValueError:
        return find_integer(text) is not None
    return True


@dataclass
class _OpenTable:
    header: tuple[str, ...] = ()
    rows: list[Row] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    text: list[str] | None = None
    is_head: bool = False


class _TableParser(HTMLParser):
    """Collects the text of table cells; a ``colspan`` makes that many columns."""

    def __init__(self, place: Location) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[Table] = []
        self._open: list[_OpenTable] = []
        self._place = place
        self._span = 1
        self._cells = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table" and len(self._open) < 20:
            self._open.append(_OpenTable())
        if not self._open:
            return
        table = self._open[-1]
        if tag == "tr":
            self._end_row(table)
        elif tag in ("td", "th"):
            self._end_cell(table)
            table.text, self._span = [], _span(attrs)
        elif tag in ("thead", "tbody"):
            self._end_row(table)
            table.is_head = tag == "thead"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1].text is not None:
            self._open[-1].text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if not self._open:
            return
        table = self._open[-1]
        if tag in ("td", "th"):
            self._end_cell(table)
        elif tag in ("tr", "thead", "tbody", "table"):
            self._end_row(table)
        if tag == "thead":
            table.is_head = False
        elif tag == "table":
            self._end_table()

    def finish(self) -> list[Table]:
        self.close()
        while self._open:
            self._end_row(self._open[-1])
            self._end_table()
        return self.tables

    def _end_cell(self, table: _OpenTable) -> None:
        if table.text is None:
            return
        self._cells += self._span
        if self._cells > CELL_LIMIT:
            raise UnreadableError(Sentence("The table has more than %(limit)s cells; too many.", limit=CELL_LIMIT))
        table.cells.extend(["".join(table.text).strip()] * self._span)
        table.text = None

    def _end_row(self, table: _OpenTable) -> None:
        self._end_cell(table)
        if table.cells:
            row = Row(len(table.rows) + 1, tuple(table.cells))
            if table.is_head:
                table.header = _merged_header(table.header, row.cells)
            else:
                table.rows.append(row)
        table.cells = []

    def _end_table(self) -> None:
        table = self._open.pop()
        if table.header:
            self.tables.append(Table(table.header, tuple(table.rows), self._place))
        elif table.rows:
            self.tables.append(_with_header(table.rows, self._place))


def _span(attrs: list[tuple[str, str | None]]) -> int:
    written = dict(attrs).get("colspan") or "1"
    return min(int(written), 1000) or 1 if written.isascii() and written.isdigit() and len(written) < 6 else 1


def _merged_header(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """pandas writes the names of the index in a second header row."""
    width = max(len(first), len(second))
    pairs = zip(first + ("",) * (width - len(first)), second + ("",) * (width - len(second)), strict=True)
    return tuple(f"{a} {b}".strip() for a, b in pairs)


def read_html(text: str, place: Location) -> list[Table]:
    """All tables of an HTML text. Raises UnreadableError when it is too large or built to keep a parser busy."""
    if len(text) > HTML_CHARACTERS or text.count("<!") + text.count("<?") > _DECLARATIONS:
        raise UnreadableError(Sentence("The HTML output is too large or too tangled to be checked."))
    parser = _TableParser(place)
    try:
        parser.feed(text)
        return parser.finish()
    except (AssertionError, ValueError) as error:  # html.parser's own complaints about broken declarations
        raise UnreadableError(Sentence("The HTML output cannot be read.")) from error


def read_text_tables(text: str, place: Location) -> list[Table]:
    """Tables in printed text: Markdown pipes, columns two spaces or a tab apart, pandas series and frames."""
    return [_text_table(block, place) for block in _blocks(text)]


def _fields(line: str) -> tuple[str, ...]:
    line = line.strip()
    if line.count("|") >= 1:
        return tuple(part.strip() for part in line.strip("|").split("|"))
    return tuple(_GAP.split(line))


def _blocks(text: str) -> Iterator[list[tuple[int, str]]]:
    block: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            if block:
                yield block
            block = []
        elif not _RULE.fullmatch(line):
            block.append((number, line))
    if block:
        yield block


def _text_table(block: list[tuple[int, str]], place: Location) -> Table:
    name = ""
    footer = _SERIES_FOOTER.fullmatch(block[-1][1].strip())
    if footer:
        name = footer["name"] or ""
        block = block[:-1]
    rows = [Row(number, _fields(line)) for number, line in block]
    if footer and rows:
        first = rows[0].cells if len(rows[0].cells) == 1 else ("",)
        return Table((first[0], name), tuple(row for row in rows if len(row.cells) > 1), place)
    table = _with_header(rows, place)
    if table.header and table.rows and max(len(r.cells) for r in table.rows) == len(table.header) + 1:
        # A printed data frame: the index has no heading.
        return Table(("", *table.header), table.rows, place)
    return table
