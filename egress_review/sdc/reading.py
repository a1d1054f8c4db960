"""Reads one file for all checks: its kind by name, its text, tables and notebook, or why it cannot be read.

Limits: at most ``CHECKED_BYTES`` are read, whatever the data permit allows to leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from egress_review.domain.findings import Finding, Location
from egress_review.domain.sentences import Sentence
from egress_review.sdc.html_tables import read_html
from egress_review.sdc.notebooks import Notebook, parse_json, read_notebook
from egress_review.sdc.tables import LABELLED, Row, Table, UnreadableError, read_csv, read_text_tables
from enclave.domain.manifest import Manifest
from enclave.domain.permits import OutputRules

CHECKED_BYTES = 10_000_000
TEXT_TYPES = frozenset({".csv", ".tsv", ".ipynb", ".md", ".txt", ".svg", ".json"})
IMAGE_TYPES = frozenset({".png", ".svg", ".jpg", ".jpeg"})
READABLE_TYPES = TEXT_TYPES | {".png"}
"""Types that the checks can look into; any other that a data permit names needs a person's eyes and a justification."""


@dataclass(frozen=True)
class Reading:
    """One file as read. ``problem`` says why it could not be read; then text, tables and notebook may be empty."""

    name: str
    content: bytes
    suffix: str
    text: str | None = None
    tables: tuple[Table, ...] = ()
    notebook: Notebook | None = None
    problem: Sentence | None = None


Check = Callable[[Reading, OutputRules, Manifest | None], Iterator[Finding]]
"""A disclosure check: a pure function from one file, the permit's rules and the extract's manifest to findings."""


def suffix_of(name: str) -> str:
    """Lower-case extension with its dot, or empty."""
    return PurePosixPath(name).suffix.lower()


def unparsed(name: str, content: bytes) -> Reading:
    """What can be said without looking into the file."""
    is_too_large = len(content) > CHECKED_BYTES
    problem = Sentence("The file is too large to be checked.") if is_too_large else None
    return Reading(name, content, suffix_of(name), problem=problem)


def read(name: str, content: bytes) -> Reading:
    """Never raises for any bytes, but MemoryError."""
    begun = unparsed(name, content)
    suffix = begun.suffix
    if begun.problem is not None or suffix not in TEXT_TYPES:
        return begun
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Reading(name, content, suffix, problem=Sentence("Expected UTF-8 text, found other bytes."))
    if "\0" in text:
        return Reading(name, content, suffix, problem=Sentence("Expected text, found zero bytes in it."))
    try:
        notebook = read_notebook(text) if suffix == ".ipynb" else None
        return Reading(name, content, suffix, text, tuple(_tables(suffix, text, notebook)), notebook)
    except UnreadableError as error:
        return Reading(name, content, suffix, text, problem=error.sentence)


def _tables(suffix: str, text: str, notebook: Notebook | None) -> Iterator[Table]:
    if notebook is not None:
        yield from _notebook_tables(notebook)
    elif suffix in (".csv", ".tsv"):
        yield read_csv(text)
    elif suffix in (".md", ".txt"):
        yield from read_text_tables(text, Location())
        yield from read_html(text, Location())
    elif suffix == ".json":
        yield from _record_tables(parse_json(text))


def _notebook_tables(notebook: Notebook) -> Iterator[Table]:
    for cell in notebook.cells:
        if cell.kind != "code":
            yield from read_text_tables(cell.source, Location(cell=cell.number))
            yield from read_html(cell.source, Location(cell=cell.number))
        for output in cell.outputs:
            place = Location(cell=cell.number, output=output.number)
            for mime, part in output.parts.items():
                if mime == "text/html":
                    yield from read_html(part, place)
                elif mime == "application/json":
                    yield from _record_tables(parse_json(part), place)
                elif mime in ("text/plain", "text/markdown"):
                    yield from read_text_tables(part, place)


def _record_tables(value: Any, place: Location | None = None) -> Iterator[Table]:
    """Lists of objects, and objects of numbers (label → count), anywhere in a JSON value."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            pending.extend(item.values())
            flat = [(str(k), v) for k, v in item.items() if isinstance(v, int | float | str)]
            if flat:
                rows = tuple(Row(n, (key, str(found))) for n, (key, found) in enumerate(flat, start=1))
                yield Table(LABELLED, rows, place or Location())
        elif isinstance(item, list):
            records = [entry for entry in item if isinstance(entry, dict)]
            if records:
                yield _from_records(records, place or Location())
                pending.extend(v for r in records for v in r.values() if isinstance(v, dict | list))
            pending.extend(entry for entry in item if isinstance(entry, list))


def _from_records(records: list[dict[str, Any]], place: Location) -> Table:
    header = tuple(dict.fromkeys(str(key) for record in records for key in record))
    if len(header) * len(records) > 2_000_000:
        raise UnreadableError(Sentence("The table has more than %(limit)s cells; too many.", limit=2_000_000))
    rows = (Row(n, tuple(str(r.get(key, "")) for key in header)) for n, r in enumerate(records, start=1))
    return Table(header, tuple(rows), place)
