"""What is believed of an answer out of the sandbox, and what is not."""

from __future__ import annotations

import ast
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from PIL import Image

from egress_review.domain import differences, wordings
from egress_review.domain.differences import SHOWN_CHARACTERS
from egress_review.domain.findings import Finding, Location, Severity
from egress_review.domain.sentences import Sentence
from egress_review.parsing.answers import (
    DIFF_LINES,
    FINDINGS,
    NonsenseError,
    as_png,
    differences_as_bytes,
    findings_as_bytes,
    pixels_as_bytes,
    read_differences,
    read_findings,
    read_pixels,
    read_rendered,
    read_versions,
    rendered_as_bytes,
    versions_as_bytes,
)
from egress_review.parsing.rendering import Flag, render
from egress_review.sdc import notebooks, pixels, small_counts
from egress_review.sdc.differences import line_differences
from egress_review.sdc.pixels import Pixels
from egress_review.sdc.tables import UnreadableError

CSV = b"sex,n\nF,3\nM,50\n"
FOUND = Finding(
    "row-level",
    Severity.BLOCKING,
    "t.csv",
    Sentence("%(rows)s rows with the columns of the extract's table %(table)s: single people?", rows=3, table="person"),
    Location(cell=2),
)
SAID: dict[str, Any] = json.loads(findings_as_bytes([FOUND]))[0]


def _said_by_the_checks() -> Iterator[str]:
    for path in (*Path(small_counts.__file__).parent.glob("*.py"), Path(differences.__file__)):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Sentence":
                assert node.args, path
                if isinstance(node.args[0], ast.Constant):
                    yield node.args[0].value
    yield from small_counts.MESSAGES.values()


def test_the_table_holds_exactly_what_the_checks_say() -> None:
    assert set(wordings.WORDINGS) == set(_said_by_the_checks())
    assert len(set(wordings.WORDINGS)) == len(wordings.WORDINGS)


def test_there_and_back() -> None:
    assert read_findings(findings_as_bytes([FOUND]), "t.csv", {"person"}) == [FOUND]
    rendered = render("t.csv", CSV, (Flag(Severity.BLOCKING, Location(2, 2)),))
    assert read_rendered(rendered_as_bytes(rendered)) == rendered
    assert rendered.table is not None and rendered.table.rows[0].cells[1].mark == "high"


@pytest.mark.parametrize(
    "change",
    [
        {"check": "all-is-well"},
        {"severity": "harmless"},
        {"severity": 5},
        {"wording": -1},
        {"wording": len(wordings.WORDINGS)},
        {"wording": "0"},
        {"wording": True},
        {"values": {"rows": 3}},
        {"values": {"rows": 3, "table": "person", "more": 1}},
        {"values": {"rows": 3, "table": "Marie Dupont, born 1950"}},
        {"values": {"rows": "Marie Dupont", "table": "person"}},
        {"values": {"rows": 10**10, "table": "person"}},
        {"values": {"rows": -1, "table": "person"}},
        {"values": {"rows": True, "table": "person"}},
        {"values": {"rows": [3], "table": "person"}},
        {"place": [None, None, None]},
        {"place": [0, None, None, None]},
        {"place": [2**40, None, None, None]},
        {"place": ["2", None, None, None]},
        {"file": "other.csv"},
    ],
)
def test_findings_that_are_not_believed(change: dict[str, Any]) -> None:
    with pytest.raises(NonsenseError):
        read_findings(json.dumps([{**SAID, **change}]).encode(), "t.csv", {"person"})


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x80\x04\x95",
        b"[",
        b"[" * 100_000,
        b"{}",
        b"null",
        b"[null]",
        b"[]]",
        b'["\\ud800"]',
        b"[" + b"9" * 5000 + b"]",
        b"[{}]",
        json.dumps([SAID] * (FINDINGS + 1)).encode(),
    ],
    ids=range(12),
)
def test_answers_that_are_none(answer: bytes) -> None:
    for read in (
        lambda: read_findings(answer, "t.csv", {"person"}),
        lambda: read_rendered(answer),
        lambda: read_differences(answer),
    ):
        with pytest.raises(NonsenseError):
            read()


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "script"},
        {"table": {"header": [{"text": "a", "mark": 'x" onload="'}], "rows": [], "left_out": 0}},
        {"lines": [[1, "a"]]},
        {"left_out": "many"},
        {"cells": [{"number": 1, "kind": "code", "source": None, "outputs": []}]},
    ],
)
def test_rendered_files_that_are_not_believed(change: dict[str, Any]) -> None:
    shown = json.loads(rendered_as_bytes(render("t.txt", b"a\n", ())))
    with pytest.raises(NonsenseError):
        read_rendered(json.dumps({**shown, **change}).encode())


OLD = "\n".join(f"line {number}" for number in range(2000)).encode()
VERSIONS = {
    "a few lines": (OLD, OLD.replace(b"line 7\n", b"line seven\n")),
    "every other line": (OLD, "\n".join(f"line {n}" if n % 6 else f"new {n}" for n in range(2000)).encode()),
    "nothing in common": (OLD, b"\n".join([b"x"] * 3000)),
    "nothing that shows": (b"a\n", b"a\r\n"),
    "invisible signs": (b"a\n", ("\u200b\U000e0041" * SHOWN_CHARACTERS).encode()),
    "no text": (b"a\n", b"\xff\x00"),
    "too many lines": (b"a\n", b"b\n" * 30_000),
}


@pytest.mark.parametrize("name", VERSIONS)
def test_differences_there_and_back(name: str) -> None:
    assert read_versions(versions_as_bytes(*VERSIONS[name])) == VERSIONS[name]
    found = line_differences("t.txt", *VERSIONS[name])
    assert read_differences(differences_as_bytes(found)) == found


COMPARED = json.loads(differences_as_bytes(line_differences("t.txt", *VERSIONS["a few lines"])))
LINE = COMPARED["lines"][0]


@pytest.mark.parametrize(
    "change",
    [
        {"lines": [{**LINE, "kind": "script"}]},
        {"lines": [{**LINE, "before": 0}]},
        {"lines": [{**LINE, "before": "1"}]},
        {"lines": [{**LINE, "text": "x" * 4003}]},
        {"lines": [{**LINE, "more": 1}]},
        {"lines": [LINE] * (DIFF_LINES + 1)},
        {"left_out": -1},
        {"left_out": None},
        {"wording": len(wordings.WORDINGS)},
        {"wording": 0, "values": {}},
        {"wording": 0, "values": {"number": "Marie Dupont"}},
    ],
)
def test_differences_that_are_not_believed(change: dict[str, Any]) -> None:
    with pytest.raises(NonsenseError):
        read_differences(json.dumps({**COMPARED, **change}).encode())


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_picture_is_drawn_again_point_by_point(mode: str) -> None:
    picture = Image.effect_mandelbrot((40, 30), (-3, -2.5, 2, 2.5), 50).convert(mode)
    file = io.BytesIO()
    picture.save(file, "PNG")
    found = pixels.read_pixels(file.getvalue() + b"what nobody sees")
    again = Image.open(io.BytesIO(as_png(read_pixels(pixels_as_bytes(found)))))
    again.load()
    assert (again.mode, again.size, again.tobytes()) == (mode, picture.size, picture.tobytes())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        pixels_as_bytes(Pixels(2, 2, 3, b"x" * 11)),
        pixels_as_bytes(Pixels(2, 2, 3, b"x" * 13)),
        pixels_as_bytes(Pixels(2, 2, 2, b"x" * 8)),
        pixels_as_bytes(Pixels(0, 2, 1, b"")),
        pixels_as_bytes(Pixels(2**31, 2**31, 1, b"")),
    ],
    ids=range(6),
)
def test_pixels_that_are_none(answer: bytes) -> None:
    with pytest.raises(NonsenseError):
        read_pixels(answer)


def test_grey_of_16_bits_keeps_its_bright_end() -> None:
    file = io.BytesIO()
    Image.frombytes("I;16", (3, 1), bytes([0, 0, 0xFF, 0x7F, 0xFF, 0xFF])).save(file, "PNG")
    assert pixels.read_pixels(file.getvalue()) == Pixels(3, 1, 1, bytes([0, 0x7F, 0xFF]))


@pytest.mark.parametrize("content", [b"", b"GIF89a" + b"\0" * 50, b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_what_is_no_picture_is_unreadable(content: bytes) -> None:
    with pytest.raises(UnreadableError):
        pixels.read_pixels(content)


def test_minor_versions_that_nbformat_does_not_know_are_all_one() -> None:
    assert nbformat.current_nbformat_minor + 1 == notebooks.NEXT_MINOR
