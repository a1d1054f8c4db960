"""Tables as the checks see them, and two readers: CSV and aligned or Markdown text.

Both are total within their limits and raise ``UnreadableError`` beyond them (fail closed). Numbers are read as
a person would read them: ``5``, ``5.0`` and ``1 234`` are integers.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from egress_review.domain.findings import Location
from egress_review.domain.sentences import Sentence

CELL_LIMIT = 2_000_000
NOWHERE = Location()
LABELLED = ("key", "value")
"""Header of a table made of a JSON object: one row for each of its plain values."""
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


@lru_cache(maxsize=1 << 16)
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
    return with_header(rows, Location())


def with_header(rows: list[Row], place: Location) -> Table:
    """The first row is the header unless it holds a number."""
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
    table = with_header(rows, place)
    if table.header and table.rows and max(len(r.cells) for r in table.rows) == len(table.header) + 1:
        # A printed data frame: the index has no heading.
        return Table(("", *table.header), table.rows, place)
    return table
