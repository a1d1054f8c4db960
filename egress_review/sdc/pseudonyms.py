"""Pseudonyms must not leave: columns that the manifest says hold them, and values of their shape anywhere in a file.

A pseudonym is personal data (GDPR art. 4(5)), and it joins what was released to the extract.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from egress_review.domain.findings import Finding, Location, Severity
from egress_review.domain.sentences import Sentence
from egress_review.sdc.reading import Reading
from enclave.domain.manifest import Manifest
from enclave.domain.permits import OutputRules, Treatment
from enclave.extracts.pseudonyms import PSEUDONYM_PATTERN

_PSEUDONYM = re.compile(rf"(?<![A-Za-z0-9])(?:{PSEUDONYM_PATTERN})(?![A-Za-z0-9])")
_PSEUDONYM_BYTES = re.compile(_PSEUDONYM.pattern.encode())
_TREATMENTS = frozenset({Treatment.PERSON_PSEUDONYM, Treatment.PSEUDONYM})


A_PSEUDONYM = Sentence("A project pseudonym.")


def holds_pseudonym(content: bytes) -> bool:
    """One stands in these bytes as it is: no parser is asked."""
    return _PSEUDONYM_BYTES.search(content) is not None


def pseudonym_columns(manifest: Manifest | None) -> frozenset[str]:
    """Lower-case names of all columns that hold pseudonyms."""
    tables = manifest.tables if manifest else ()
    return frozenset(c.name.lower() for table in tables for c in table.columns if c.treatment in _TREATMENTS)


def check_pseudonyms(reading: Reading, rules: OutputRules, manifest: Manifest | None) -> Iterator[Finding]:
    """``pseudonym-column`` and ``pseudonym``, both blocking."""
    known = pseudonym_columns(manifest)
    for table in reading.tables:
        for column, name in enumerate(table.header):
            if name.strip().lower() in known:
                message = Sentence("A column of pseudonyms, says the extract's manifest.")
                place = Location(None, column + 1, table.place.cell, table.place.output)
                yield Finding("pseudonym-column", Severity.BLOCKING, reading.name, message, place)
    for place, text in _texts(reading):
        for number, line in enumerate(text.splitlines(), start=1):
            if _PSEUDONYM.search(line):
                where = Location(number, None, place.cell, place.output)
                yield Finding("pseudonym", Severity.BLOCKING, reading.name, A_PSEUDONYM, where)


def _texts(reading: Reading) -> Iterator[tuple[Location, str]]:
    if reading.notebook is None:
        # Bytes of other types too: a pseudonym in a picture's comment is a pseudonym.
        yield Location(), reading.text if reading.text is not None else reading.content.decode("latin-1")
        return
    found = False
    for cell in reading.notebook.cells:
        parts = [(Location(cell=cell.number), cell.source)]
        for output in cell.outputs:
            place = Location(cell=cell.number, output=output.number)
            parts += [(place, text) for mime, text in output.parts.items()]
        for place, text in parts:
            found = found or _PSEUDONYM.search(text) is not None
            yield place, text
    if not found and reading.text is not None:
        yield Location(), reading.text  # metadata and attachments
