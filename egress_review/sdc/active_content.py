"""Content that a viewer would run or load: scripts, frames, remote addresses, in SVG files and notebook outputs.

The review page never runs any of it; the check protects the person who opens the released file. HTML without such parts
is a remark only, for the reviewer sees its tables as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from egress_review.domain.findings import Finding, Location, Severity
from egress_review.domain.sentences import Sentence
from egress_review.sdc.notebooks import Cell
from egress_review.sdc.reading import Reading
from enclave.domain.manifest import Manifest
from enclave.domain.permits import OutputRules

_ACTIVE = re.compile(
    r"<\s*/?\s*(?:script|iframe|frame|object|embed|applet|link|meta|base|form|foreignobject|animate|set|handler)\b"
    r"|[\s\"'/]on[a-z]{3,20}\s*=|(?:java|vb)script\s*:|<!entity|<!doctype[^>]{0,200}\[|data\s*:\s*text/html",
    re.IGNORECASE,
)
_REMOTE = re.compile(
    r"(?:src|href|poster|data|background|action)\s*=\s*[\"']?\s*(?:https?:)?//|url\(\s*[\"']?\s*(?:https?:)?//|@import",
    re.IGNORECASE,
)
_HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|<!--", re.IGNORECASE)
_HARMLESS = frozenset({"text/plain", "text/html", "text/markdown", "text/latex", "image/png", "image/jpeg",
                       "image/svg+xml", "application/json"})  # fmt: skip
_SCRIPTS = frozenset({"application/javascript", "text/javascript", "application/ecmascript"})


def check_active_content(reading: Reading, rules: OutputRules, manifest: Manifest | None) -> Iterator[Finding]:
    """``active-content`` and ``unknown-output`` block, ``hidden-html`` warns, ``html-output`` is a remark."""
    if (reading.suffix == ".svg" and reading.text is not None) or (
        reading.suffix == ".md" and reading.text is not None
    ):
        yield from _markup(reading.name, reading.text, Location())
    if reading.notebook is not None:
        for cell in reading.notebook.cells:
            yield from _cell(reading.name, cell)


def _cell(file: str, cell: Cell) -> Iterator[Finding]:
    if cell.kind != "code":
        yield from _markup(file, cell.source, Location(cell=cell.number))
    for output in cell.outputs:
        place = Location(cell=cell.number, output=output.number)
        for mime, text in output.parts.items():
            if mime in _SCRIPTS:
                yield Finding("active-content", Severity.BLOCKING, file, _SCRIPT, place)
            elif mime not in _HARMLESS:
                message = Sentence("An output of a kind that the review cannot show; it may hold all rows behind it.")
                yield Finding("unknown-output", Severity.BLOCKING, file, message, place)
            elif mime in ("text/html", "image/svg+xml", "text/markdown"):
                yield from _markup(file, text, place)
                if mime == "text/html":
                    message = Sentence("HTML output; its tables are shown as text.")
                    yield Finding("html-output", Severity.INFO, file, message, place)


_SCRIPT = Sentence("A script, which would run where the file is opened.")


def _markup(file: str, text: str, place: Location) -> Iterator[Finding]:
    if _ACTIVE.search(text):
        message = Sentence("Markup that runs or embeds something where the file is opened.")
        yield Finding("active-content", Severity.BLOCKING, file, message, place)
    if _REMOTE.search(text):
        message = Sentence("Markup that loads something from another address where the file is opened.")
        yield Finding("active-content", Severity.BLOCKING, file, message, place)
    if _HIDING.search(text):
        message = Sentence("Markup that is not displayed. Look at its source.")
        yield Finding("hidden-html", Severity.WARNING, file, message, place)
