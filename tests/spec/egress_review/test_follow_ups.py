"""What changed from one version to the next: files and findings as tables, lines against any two texts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_review.domain.differences import COMPARED_BYTES, COMPARED_LINES, SHOWN_LINES, LineKind
from egress_review.domain.findings import Finding, Location, Severity
from egress_review.domain.follow_ups import Change, Standing, compare_files, compare_findings, count_by_standing
from egress_review.domain.sentences import Sentence
from egress_review.domain.snapshots import SnapshotFile
from egress_review.sdc.differences import line_differences, visible

C = Change


def file(name: str, letter: str) -> SnapshotFile:
    return SnapshotFile(name, letter * 64, 1)


FILES = [
    # before, after, change and earlier name of each file, in order
    ("a=1", "a=1", [(C.UNCHANGED, "a", "a")]),
    ("a=1", "a=2", [(C.CHANGED, "a", "a")]),
    ("a=1", "b=1", [(C.UNCHANGED, "a", "b")]),
    ("a=1", "b=2", [(C.ADDED, "", "b"), (C.REMOVED, "a", "")]),
    ("a=1 b=2", "b=1 a=2", [(C.UNCHANGED, "a", "b"), (C.UNCHANGED, "b", "a")]),
    ("a=1", "a=2 b=1", [(C.CHANGED, "a", "a"), (C.UNCHANGED, "a", "b")]),
    ("a=1 b=1", "b=1", [(C.UNCHANGED, "b", "b"), (C.REMOVED, "a", "")]),
    ("a=1 b=2", "", [(C.REMOVED, "a", ""), (C.REMOVED, "b", "")]),
]


@pytest.mark.parametrize(("before", "after", "expected"), FILES)
def test_files(before: str, after: str, expected: list[tuple[Change, str, str]]) -> None:
    old, new = ([file(*text.split("=")) for text in side.split()] for side in (before, after))
    found = compare_files(old, new)
    assert [(p.change, p.before.name if p.before else "", p.after.name if p.after else "") for p in found] == expected


COUNT = Finding("small-count", Severity.BLOCKING, "a", Sentence("A count under %(limit)s.", limit=11), Location(3, 2))
FINDINGS = [
    # before, after, files before, files after, gone same new
    ([COUNT], [COUNT], "a=1", "a=2", (0, 1, 0)),
    ([COUNT], [], "a=1", "a=2", (1, 0, 0)),
    ([], [COUNT], "a=1", "a=2", (0, 0, 1)),
    ([COUNT], [replace(COUNT, location=Location(4, 2))], "a=1", "a=2", (1, 0, 1)),
    ([COUNT], [replace(COUNT, severity=Severity.WARNING)], "a=1", "a=2", (1, 0, 1)),
    ([COUNT], [replace(COUNT, file="b")], "a=1", "b=1", (0, 1, 0)),
    ([COUNT], [replace(COUNT, file="b")], "a=1", "b=2", (1, 0, 1)),
    ([COUNT], [COUNT, COUNT], "a=1", "a=2", (0, 1, 1)),
]


@pytest.mark.parametrize(("before", "after", "old", "new", "expected"), FINDINGS)
def test_findings(
    before: list[Finding], after: list[Finding], old: str, new: str, expected: tuple[int, int, int]
) -> None:
    files = compare_files([file(*old.split("="))], [file(*new.split("="))])
    counts = count_by_standing(compare_findings(before, after, files))
    assert (counts[Standing.GONE], counts[Standing.SAME], counts[Standing.NEW]) == expected


def shown(name: str, before: bytes, after: bytes) -> list[tuple[str, str]]:
    return [(line.kind.value, line.text) for line in line_differences(name, before, after).lines]


def test_a_table_with_one_count_changed() -> None:
    before = b"sex,n\n" + b"".join(b"%d,%d\n" % (n, n + 100) for n in range(9)) + b"M,4\nZ,77\n"
    found = line_differences("a.csv", before, before.replace(b"M,4\n", b"M,<11\n"))
    assert [(line.kind, line.before, line.after, line.text) for line in found.lines] == [
        (LineKind.GAP, None, None, ""),
        (LineKind.SAME, 9, 9, "7,107"),
        (LineKind.SAME, 10, 10, "8,108"),
        (LineKind.REMOVED, 11, None, "M,4"),
        (LineKind.ADDED, None, 11, "M,<11"),
        (LineKind.SAME, 12, 12, "Z,77"),
    ]


def notebook(source: str, picture: str) -> bytes:
    output = {"output_type": "display_data", "metadata": {}, "data": {"image/png": picture}}
    cell = {"cell_type": "code", "id": "c", "metadata": {}, "execution_count": 1, "source": source, "outputs": [output]}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}).encode()


def test_a_notebook_is_compared_by_its_cells() -> None:
    found = shown("a.ipynb", notebook("x = 1\nplot(x)", "AAAA"), notebook("x = 2\nplot(x)", "AAAB"))
    kinds = [kind for kind, _text in found]
    assert ("removed", "x = 1") in found
    assert ("added", "x = 2") in found
    assert kinds.count("removed") == 2  # the line of source, and the picture's hash
    assert not any("AAAA" in text for _kind, text in found)


NOT_MADE = [
    ("a.csv", b"x" * (COMPARED_BYTES + 1), b"y", "at most"),
    ("a.png", b"x", b"y", "at most"),
    ("a.txt", b"\xff", b"y", "cannot be read"),
    ("a.txt", b"a\0b", b"y", "cannot be read"),
    ("a.txt", b"x\n" * (COMPARED_LINES + 1), b"y", "lines"),
    ("a.txt", b"x\r\ny", b"x\ny", "line ends"),
    ("a.ipynb", b"[" * 100_000, b"{}", ""),
]


@pytest.mark.parametrize(("name", "before", "after", "words"), NOT_MADE)
def test_no_comparison_says_why(name: str, before: bytes, after: bytes, words: str) -> None:
    found = line_differences(name, before, after)
    assert words in str(found.note or "")
    assert not found.lines or not words


def test_what_cannot_be_seen_is_written_out() -> None:
    assert shown("a.txt", b"total 5", "total\u200b 5\u202e".encode()) == [
        ("removed", "total 5"),
        ("added", "total<U+200B> 5<U+202E>"),
    ]
    assert visible("x" * 900).endswith("x …")


def test_many_lines_that_differ_are_counted_not_shown() -> None:
    before, after = (b"".join(b"%s%d\n" % (side, n) for n in range(1000)) for side in (b"a", b"b"))
    found = line_differences("a.txt", before, after)
    assert len([line for line in found.lines if line.kind in (LineKind.REMOVED, LineKind.ADDED)]) == SHOWN_LINES
    assert found.left_out == 2000 - SHOWN_LINES


LINES = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f", "g", ""]), max_size=14)


@given(LINES, LINES)
def test_the_lines_make_one_version_into_the_other(old: list[str], new: list[str]) -> None:
    """Whatever is the same in both is in order, and what is shown as removed or added makes up the difference."""
    before, after = ("".join(f"{line}\n" for line in side).encode() for side in (old, new))
    found = line_differences("a.txt", before, after)
    if found.note is not None:
        assert old == new
        return
    rest, made = list(old), list(new)
    for line in sorted((n for n in found.lines if n.kind is LineKind.REMOVED), key=lambda n: -(n.before or 0)):
        assert rest.pop((line.before or 0) - 1) == line.text
    for line in sorted((n for n in found.lines if n.kind is LineKind.ADDED), key=lambda n: -(n.after or 0)):
        assert made.pop((line.after or 0) - 1) == line.text
    assert rest == made


REPEATED = [b"0,0\n" * COMPARED_LINES, b"0,0\n1,1\n" * (COMPARED_LINES // 2), b"\n" * COMPARED_LINES]


def test_hostile_repetition_is_work_in_proportion_to_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: how many lines the search for anchors looks at, in what makes ``difflib`` quadratic."""
    from egress_review.sdc import differences

    looked_at = 0
    once = differences._once

    def counting(lines: list[int], low: int, high: int) -> list[tuple[int, int]]:
        nonlocal looked_at
        looked_at += high - low
        return once(lines, low, high)

    monkeypatch.setattr(differences, "_once", counting)
    for before in REPEATED:
        for after in REPEATED:
            line_differences("a.csv", before + b"x\n", b"y\n" + after)
    assert looked_at <= len(REPEATED) ** 2 * 2 * differences.DEPTH * (COMPARED_LINES + 1)
