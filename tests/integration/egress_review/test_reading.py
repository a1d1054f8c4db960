"""Hostile files in the real sandbox: what each comes to, and that the next is read as if nothing had been."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from enclave_test_waiting import wait_for  # type: ignore[import-not-found]
from PIL import Image

from egress_review.domain.findings import Finding, Severity
from egress_review.domain.snapshots import SnapshotFile, sha256
from egress_review.parsing import helper as helper_module
from egress_review.parsing.answers import findings_as_bytes
from egress_review.parsing.files import FileReader
from egress_review.parsing.helper import End, Helper, Unanswered
from egress_review.parsing.limits import ReadingLimits
from egress_review.sdc import check_file
from egress_review.sdc.differences import line_differences
from enclave.domain.decisions import RefusedError
from enclave.domain.permits import OutputRules

RULES = OutputRules(file_types=(".csv", ".ipynb", ".md", ".txt", ".png", ".svg", ".json", ".jpg"))
LIMITS = ReadingLimits(processor_seconds=60, seconds=120.0, request_seconds=600.0)
SLOW = b"1,2\n" * 1_200_000
"""More than ten seconds of checks."""


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, rows: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 10, 10)).save(file, "JPEG")
    return file.getvalue()


def notebook(**data: Any) -> bytes:
    output = {"output_type": "display_data", "metadata": {}, "data": data}
    cell = {"cell_type": "code", "id": "a", "source": "1", "metadata": {}, "execution_count": None, "outputs": [output]}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}).encode()


PICTURE = png(3, 2, b"\0abc\0def")


@pytest.fixture(scope="module")
def helper() -> Iterator[Helper]:
    made = Helper()
    yield made
    made.close()


@pytest.fixture
def reader(helper: Helper) -> FileReader:
    return FileReader(helper, LIMITS)


def blocked(findings: tuple[Finding, ...]) -> list[str]:
    return [f"{f.check}: {f.message}" for f in findings if f.severity is Severity.BLOCKING]


SAME = {
    "good.csv": b"sex,n\nF,1373\nM,1321\n",
    "small.csv": b"\xef\xbb\xbfsex;n\nF;3\n",
    "latin.csv": b"ann\xe9e,n\n1,2\n",
    "zero.txt": b"a\0b",
    "empty.json": b"",
    "twice.json": b'{"n": 50, "n": 3}',
    "records.json": b'[{"sex": "F", "n": 3}]',
    "table.md": b"<table><thead><tr><th>sex<th>n</tr></thead><tr><td>F<td>3</table>\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    "hidden.txt": "in\u200bvisible \U0001f600".encode(),
    "run.svg": b"<svg onload='x()'/>",
    "picture.png": PICTURE,
    "more.png": PICTURE + b"patients",
    "cut.png": PICTURE[:-5],
    "picture.jpg": jpeg(),
    "archive.csv": b"PK\x03\x04" + b"0" * 100,
    "file.exe": b"MZ",
    "pseudonym.txt": b"note PAAAABBBBCCCCDDDD2222 end",
    "old.ipynb": b'{"nbformat": 3, "worksheets": []}',
    "wrong.ipynb": b'{"nbformat": 4, "nbformat_minor": 2, "metadata": {}, "cells": [{"cell_type": "code"}]}',
    "newer.ipynb": b'{"nbformat": 4, "nbformat_minor": 9, "metadata": {}, "cells": []}',
    "fine.ipynb": notebook(**{"text/html": "<table><tr><td>n</td></tr><tr><td>3</td></tr></table>"}),
    "shown.ipynb": notebook(**{"image/png": base64.b64encode(PICTURE).decode(), "text/plain": "n\n3\n"}),
    "script.ipynb": notebook(**{"application/javascript": "x()", "image/jpeg": base64.b64encode(jpeg()).decode()}),
}


def test_the_sandbox_says_what_the_checks_say(reader: FileReader) -> None:
    """Nothing that a check needs is missing where no file can be opened any more."""
    for name, content in SAME.items():
        assert list(reader.check(name, content, RULES, None)) == check_file(name, content, RULES, None), name


HOSTILE: dict[str, tuple[bytes, ReadingLimits, str]] = {
    "points.png": (png(40_000, 40_000, b""), LIMITS, "unreadable: The picture has more than 20000000 pixels"),
    "bomb.png": (png(4, 4, b"\0" * 20_000_000), LIMITS, ""),
    "short.png": (png(4000, 4000, b"\0"), LIMITS, "unreadable: The picture is broken or cut off"),
    "nested.md": (b"<table><td>" * 100_000, LIMITS, "unreadable: The HTML output is too large or too tangled"),
    "open.md": (b"<a " * 300_000, LIMITS, ""),
    "deep.json": (b"[" * 2_000_000, LIMITS, "unreadable: The file cannot be read as JSON"),
    "digits.json": (b"9" * 2_000_000, LIMITS, "unreadable: The file cannot be read as JSON"),
    "cells.csv": (b"," * 2_000_001, LIMITS, "unreadable: The table has more than 2000000 cells"),
    "processor.csv": (SLOW, replace(LIMITS, processor_seconds=1), "unreadable: Reading this file took more than 1 sec"),
    "time.csv": (SLOW, replace(LIMITS, seconds=0.05), "unreadable: Reading this file took more than 1 seconds and"),
    "memory.json": (b"[" + b"[]," * 1_600_000 + b"[]]", replace(LIMITS, memory_mb=200),
                    "unreadable: Reading this file took more than 200 MB"),
    "answer.csv": (b"a,n\n" + b"x,3\n" * 50, replace(LIMITS, answer_bytes=99), "unreadable: Reading this file gave"),
    "late.csv": (b"a,n\n", replace(LIMITS, request_seconds=0.0), "unreadable: The other files took all the time"),
}  # fmt: skip


def test_the_sandbox_compares_as_the_function_does(reader: FileReader) -> None:
    old, new = notebook(**{"text/plain": "n\n3"}), notebook(**{"text/plain": "n\n30", "image/png": "aGVsbG8="})
    for name, before, after in (
        ("t.csv", b"a,n\nx,3\n", b"a,n\nx,30\n"),
        ("n.ipynb", old, new),
        ("n.ipynb", old, b"[" * 50_000),
        ("t.txt", b"x\n" * 400_000, b"y\n" * 400_000),
        ("t.png", PICTURE, PICTURE),
    ):
        assert reader.compare(name, before, after) == line_differences(name, before, after)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_hostile_file_comes_to(helper: Helper, name: str) -> None:
    content, limits, expected = HOSTILE[name]
    reader = FileReader(helper, limits)
    found = [sentence for sentence in blocked(reader.check(name, content, RULES, None)) if expected]
    assert any(sentence.startswith(expected) for sentence in found) or not expected, found
    good = FileReader(helper, LIMITS).check("good.csv", SAME["good.csv"], RULES, None)
    assert good == (), "the next file is read as if nothing had been"


def processes_below(pid: int) -> list[int]:
    """All descendants, parents first."""
    found, pending = [], [pid]
    while pending:
        above = pending.pop(0)
        found.append(above)
        for task in Path(f"/proc/{above}/task").glob("*/children"):
            pending += [int(child) for child in task.read_text().split()]
    return found[1:]


class UnsafeLiar(Helper):
    """Answers what it is told to, as a process that a file has taken over could."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self._answer = answer

    def ask(self, *_task: Any, **_limits: Any) -> bytes:
        return self._answer


SILENCE = findings_as_bytes([])
LIES: dict[str, tuple[bytes, bytes, list[str]]] = {
    "all-is-well": (SILENCE, b"sex,n\nF,3\n", []),
    "archive": (SILENCE, b"PK\x03\x04", ["file-type: The file is an archive; its contents cannot be reviewed."]),
    "pseudonym": (SILENCE, b"id\nPAAAABBBBCCCCDDDD2222\n", ["pseudonym: A project pseudonym."]),
    "too-large": (SILENCE, b"x" * 11, ["file-size: The file has more than the 10 bytes"]),
    "garbage": (b"\x80\x04cos\nsystem\n", b"a,b\n", ["unreadable: What the program that reads files said of this"]),
    "wording": (b'[{"check":"picture","severity":"info","wording":99,"values":{},"place":[null,null,null,null]}]',
                b"a,b\n", ["unreadable: What the program that reads files said of this"]),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_reader_that_lies(lie: str) -> None:
    """It can keep quiet about its file; what needs no parser is found all the same, and nonsense blocks."""
    answer, content, expected = LIES[lie]
    rules = replace(RULES, maximum_bytes=10) if lie == "too-large" else RULES
    found = blocked(FileReader(UnsafeLiar(answer), LIMITS).check("t.csv", content, rules, None))
    assert len(found) == len(expected)
    assert all(sentence.startswith(start) for sentence, start in zip(found, expected, strict=True))
    assert FileReader(UnsafeLiar(answer), LIMITS).picture("t.png", content) is None


def test_pictures_are_drawn_again(reader: FileReader) -> None:
    text = "<svg onload='x()'/>"
    both = notebook(**{"image/png": base64.b64encode(PICTURE).decode(), "image/svg+xml": text})
    for drawn in (
        reader.picture("a.png", PICTURE + b"rest"),
        reader.notebook_picture("a.ipynb", both, 1, 1, "image/png"),
    ):
        assert drawn is not None and drawn != PICTURE
        found = Image.open(io.BytesIO(drawn))
        assert (found.size, found.tobytes()) == ((3, 2), b"abcdef")
    assert reader.notebook_picture("a.ipynb", both, 1, 1, "image/svg+xml") == text.encode()
    assert reader.notebook_picture("a.ipynb", both, 2, 1, "image/png") is None
    assert reader.picture("a.png", b"\x89PNG\r\n\x1a\nno") is None


def test_without_a_sandbox_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    reader = FileReader(Helper(), LIMITS)
    with pytest.raises(RefusedError, match="No sandbox can be made"):
        reader.check("t.csv", b"a,b\n", RULES, None)
    assert "No sandbox" in reader.show(1, SnapshotFile("t.csv", "0" * 64, 4), b"a,b\n", ()).findings[0].message


@pytest.mark.parametrize("victim", ["reader", "sandbox"])
def test_killed_in_the_middle(helper: Helper, monkeypatch: pytest.MonkeyPatch, victim: str) -> None:
    """The file's answer is longer than a pipe holds: its reader is in the middle until somebody takes the answer."""
    helper.warm()
    wait_for(lambda: len(processes_below(helper.pid or 0)) == 2, "bubblewrap's first process and ours, and no file")
    taken, await_answer = [], helper_module._await

    def kill_first(answer: Any, verdict: Any, *limits: Any) -> Any:
        import select

        assert select.select([answer], [], [], 60)[0], "the reader has begun to answer"
        assert helper.pid is not None
        below = processes_below(helper.pid)
        assert len(below) == 4, "and a watcher and a reader"
        os.kill(below[-1] if victim == "reader" else helper.pid, signal.SIGKILL)
        taken.append(await_answer(answer, verdict, *limits))
        return taken[-1]

    content = b"line of a text\n" * 400
    file = SnapshotFile("long.txt", sha256(content), len(content))
    monkeypatch.setattr(helper_module, "_await", kill_first)
    long = content.replace(b"line", b"line " * 70)
    shown = FileReader(helper, LIMITS).show(1, file, long, ())
    assert taken == [Unanswered(End.DIED)]
    assert shown.kind == "other" and "ended in the middle" in shown.findings[0].message
    monkeypatch.undo()
    assert FileReader(helper, LIMITS).show(1, file, long, ()).kind == "text", "and the next is read"


def test_when_nothing_is_heard_the_process_is_replaced(helper: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    helper.warm()
    monkeypatch.setattr(helper_module, "_GRACE_SECONDS", -LIMITS.seconds)
    found = FileReader(helper, LIMITS).check("slow.csv", SLOW, RULES, None)
    assert any(sentence.startswith("unreadable: Reading this file took more than") for sentence in blocked(found))
    assert helper.pid is None
