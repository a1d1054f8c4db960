"""What comes out of the sandbox, as bytes and back. Both sides use this; what comes back is believed only in part.

Whoever wrote the file may have written the answer. So: JSON of one fixed shape (pydantic, strict), at most
``FINDINGS`` findings, sentences by their number in ``domain.wordings``, places as whole numbers; a picture as raw
pixels, of which ``as_png`` makes the file that a browser gets. ``NonsenseError`` for anything else.
Non-goal: truth. An answer can say too little about its own file; ``parsing.files`` says what then still holds.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Collection, Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from egress_review.domain.differences import CONTEXT, SHOWN_CHARACTERS, SHOWN_LINES, Differences, DiffLine, LineKind
from egress_review.domain.findings import Finding, Location, Severity
from egress_review.domain.wordings import CHECK_IDS, LARGEST_NUMBER, believed, number_of
from egress_review.parsing.rendering import Rendered
from egress_review.sdc.pixels import PIXELS, Pixels

FINDINGS = 2000
"""The checks have 18 pairs of name and severity that come with places, 101 of each at most."""
DIFF_LINES = SHOWN_LINES * (2 * CONTEXT + 2) + 1
"""Each line that differs with its neighbours and a gap."""
_HEAD = struct.Struct(">III")
_COLOURS = {1: 0, 3: 2, 4: 6}
_Place = Annotated[int, Field(ge=1, le=LARGEST_NUMBER)] | None


class NonsenseError(Exception):
    """Not an answer. Says what was expected, nothing of what was found: that may be a row."""


class _Said(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    check: str
    severity: Severity
    wording: int
    values: Annotated[dict[str, int | str], Field(max_length=3)]
    place: tuple[_Place, _Place, _Place, _Place]


class _Line(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    kind: LineKind
    before: _Place
    after: _Place
    text: Annotated[str, Field(max_length=SHOWN_CHARACTERS * len("<U+10FFFF>") + 2)]


class _Compared(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    lines: Annotated[list[_Line], Field(max_length=DIFF_LINES)]
    left_out: Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]
    wording: int | None
    values: Annotated[dict[str, int | str], Field(max_length=3)]


_FINDINGS: TypeAdapter[list[_Said]] = TypeAdapter(Annotated[list[_Said], Field(max_length=FINDINGS)])
_RENDERED: TypeAdapter[Rendered] = TypeAdapter(Rendered)


def findings_as_bytes(findings: Iterable[Finding]) -> bytes:
    """Raises KeyError for a sentence that is not in the table."""
    rows = [
        {
            "check": finding.check,
            "severity": finding.severity,
            "wording": number_of(finding.message),
            "values": dict(finding.message.values),
            "place": [
                finding.location.line, finding.location.column, finding.location.cell, finding.location.output
            ],
        }
        for finding in findings
    ]  # fmt: skip
    return json.dumps(rows).encode()


def read_findings(answer: bytes, file: str, tables: Collection[str]) -> list[Finding]:
    """Findings about ``file`` and no other; ``tables`` are those of the extract. Raises NonsenseError."""
    try:
        return [_believed(said, file, tables) for said in _FINDINGS.validate_json(answer)]
    except (ValidationError, ValueError) as error:
        raise NonsenseError("Expected a list of findings, found something else.") from error


def _believed(said: _Said, file: str, tables: Collection[str]) -> Finding:
    if said.check not in CHECK_IDS:
        raise ValueError("Expected the name of a check, found another.")
    sentence = believed(said.wording, said.values, tables)
    return Finding(said.check, said.severity, file, sentence, Location(*said.place))


def rendered_as_bytes(rendered: Rendered) -> bytes:
    """A half of a surrogate pair becomes a question mark."""
    return json.dumps(rendered, default=vars, ensure_ascii=False).encode("utf-8", "replace")


def read_rendered(answer: bytes) -> Rendered:
    """Raises NonsenseError."""
    try:
        return _RENDERED.validate_json(answer, strict=True)
    except ValidationError as error:
        raise NonsenseError("Expected a rendered file, found something else.") from error


def differences_as_bytes(found: Differences) -> bytes:
    """Raises KeyError for a sentence that is not in the table."""
    note = found.note
    said = (
        {"wording": None, "values": {}} if note is None else {"wording": number_of(note), "values": dict(note.values)}
    )
    answer = {"lines": [vars(line) for line in found.lines], "left_out": found.left_out, **said}
    return json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")


def read_differences(answer: bytes) -> Differences:
    """Raises NonsenseError."""
    try:
        found = _Compared.model_validate_json(answer)
        note = None if found.wording is None else believed(found.wording, found.values, ())
    except ValueError as error:
        raise NonsenseError("Expected lines that differ, found something else.") from error
    lines = tuple(DiffLine(line.kind, line.before, line.after, line.text) for line in found.lines)
    return Differences(lines, found.left_out, note)


def versions_as_bytes(before: bytes, after: bytes) -> bytes:
    """Two versions of a file as one: the length of the earlier in four bytes, then both."""
    return struct.pack(">I", len(before)) + before + after


def read_versions(content: bytes) -> tuple[bytes, bytes]:
    """Inverse of ``versions_as_bytes``."""
    end = 4 + int.from_bytes(content[:4], "big")
    return content[4:end], content[end:]


def pixels_as_bytes(pixels: Pixels) -> bytes:
    """Width, height and channels in four bytes each, then the rows."""
    return _HEAD.pack(pixels.width, pixels.height, pixels.channels) + bytes(pixels.rows)


def read_pixels(answer: bytes) -> Pixels:
    """Raises NonsenseError."""
    if len(answer) >= _HEAD.size:
        width, height, channels = _HEAD.unpack_from(answer)
        rows = memoryview(answer)[_HEAD.size :]
        is_small = 0 < width * height <= PIXELS and channels in _COLOURS
        if is_small and len(rows) == width * height * channels:
            return Pixels(width, height, channels, rows)
    raise NonsenseError("Expected a picture's pixels, found something else.")


def as_png(pixels: Pixels) -> bytes:
    """A PNG of exactly these pixels (PNG specification, third edition: 8 bits, no filter, no other chunk).

    Written here, from numbers, and not by the sandbox: no byte that a browser's decoder gets was chosen by a file.
    """
    packing, width = zlib.compressobj(1), pixels.width * pixels.channels
    rows = memoryview(pixels.rows)
    packed = [packing.compress(b"\0" + rows[at : at + width]) for at in range(0, len(rows), width)]
    packed.append(packing.flush())
    head = struct.pack(">IIBBBBB", pixels.width, pixels.height, 8, _COLOURS[pixels.channels], 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", b"".join(packed)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def task_as_bytes(task: dict[str, Any], content: bytes) -> bytes:
    """What goes in: the length of the task in four bytes, the task as JSON, the file."""
    head = json.dumps(task).encode()
    return struct.pack(">I", len(head)) + head + content


def read_task(given: bytes) -> tuple[dict[str, Any], bytes]:
    """Ours, so not checked."""
    length = int.from_bytes(given[:4], "big")
    return json.loads(given[4 : 4 + length]), given[4 + length :]
