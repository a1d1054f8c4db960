"""Text that a reviewer would not see: invisible Unicode, very long values, and metadata of notebooks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from egress_review.domain.findings import Finding, Location, Severity
from egress_review.domain.sentences import Sentence
from egress_review.sdc.reading import Reading
from enclave.domain.manifest import Manifest
from enclave.domain.permits import OutputRules

LONG_CELL = 1000
LONG_WORD = 2000
METADATA_BYTES = 2000
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0d"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff\ue000-\uf8ff\U000f0000-\U0010fffd]"
    # One selector after a sign chooses how an emoji looks; a chain of them carries bytes.
    "|[\ufe0e\ufe0f]{2}|^[\ufe0e\ufe0f]"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
_LONG_WORD = re.compile(rf"\S{{{LONG_WORD}}}")


def check_hidden_text(reading: Reading, rules: OutputRules, manifest: Manifest | None) -> Iterator[Finding]:
    """``hidden-text`` (blocking), ``long-value`` (warning), ``hidden-metadata`` (warning)."""
    if reading.notebook is None and reading.text is not None:
        yield from _text(reading.name, reading.text, Location())
    for table in reading.tables:
        for row in table.rows:
            for column, cell in enumerate(row.cells):
                if len(cell) > LONG_CELL:
                    message = Sentence("A value of more than %(limit)s characters.", limit=LONG_CELL)
                    yield Finding("long-value", Severity.WARNING, reading.name, message, table.at(row, column))
    if reading.notebook is not None:
        yield from _notebook(reading)


def _notebook(reading: Reading) -> Iterator[Finding]:
    notebook = reading.notebook
    assert notebook is not None  # noqa: S101  (the caller has looked)
    places = [(Location(), notebook.metadata_bytes)]
    for cell in notebook.cells:
        place = Location(cell=cell.number)
        places.append((place, cell.metadata_bytes))
        yield from _text(reading.name, cell.source, place)
        for output in cell.outputs:
            for mime, text in output.parts.items():
                if not mime.startswith("image/"):
                    yield from _text(reading.name, text, Location(cell=cell.number, output=output.number))
    for place, length in places:
        if length > METADATA_BYTES:
            message = Sentence("Metadata of more than %(limit)s bytes, which no reader shows.", limit=METADATA_BYTES)
            yield Finding("hidden-metadata", Severity.WARNING, reading.name, message, place)


def _text(file: str, text: str, place: Location) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), start=1):
        where = Location(number, None, place.cell, place.output)
        if _INVISIBLE.search(line) or _CONTROL.search(line):
            message = Sentence("Invisible characters, which can carry hidden text.")
            yield Finding("hidden-text", Severity.BLOCKING, file, message, where)
        if _LONG_WORD.search(line):
            message = Sentence("More than %(limit)s characters without a space: encoded data?", limit=LONG_WORD)
            yield Finding("long-value", Severity.WARNING, file, message, where)
