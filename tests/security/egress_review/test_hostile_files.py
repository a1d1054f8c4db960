"""Files built to slip past a check or to break it. Whatever the bytes: findings, never an exception, and in time."""

from __future__ import annotations

import base64
import json
import struct
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_review.domain.findings import Severity
from egress_review.parsing.rendering import Flag, render
from egress_review.sdc import run_checks
from enclave.domain.permits import OutputRules

RULES = OutputRules()
SUFFIXES = (".csv", ".ipynb", ".md", ".txt", ".png", ".svg", ".json", ".zip", "")


def blocking(name: str, content: bytes, rules: OutputRules = RULES) -> set[str]:
    found = run_checks({name: content}, rules, None)
    return {finding.check for finding in found if finding.severity is Severity.BLOCKING}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
       + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b""))  # fmt: skip


def notebook(*outputs: dict[str, object], source: str = "1", **extra: object) -> bytes:
    cell = {"cell_type": "code", "id": "a", "source": source, "metadata": {}, "execution_count": None,
            "outputs": list(outputs)}  # fmt: skip
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell], **extra}).encode()


def shown(data: dict[str, object]) -> dict[str, object]:
    return {"output_type": "display_data", "metadata": {}, "data": data}


@given(st.binary(max_size=400), st.sampled_from(SUFFIXES))
def test_any_bytes_give_findings_and_a_page(content: bytes, suffix: str) -> None:
    name = f"file{suffix}"
    findings = run_checks({name: content}, RULES, None)
    render(name, content, tuple(Flag(finding.severity, finding.location) for finding in findings))


@given(st.text(alphabet='a1,;\t|"\n\r <>/th=tabledr!-P2', max_size=300), st.sampled_from(SUFFIXES))
def test_any_text_gives_findings_and_a_page(text: str, suffix: str) -> None:
    name, content = f"file{suffix}", text.encode()
    findings = run_checks({name: content}, RULES, None)
    render(name, content, tuple(Flag(finding.severity, finding.location) for finding in findings))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    )
)
def test_any_json_gives_findings(value: object) -> None:
    run_checks({"a.json": json.dumps(value).encode()}, RULES, None)
    run_checks({"a.ipynb": json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": value}).encode()},
               RULES, None)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "check"),
    [
        ("a.csv", b"PK\x03\x04" + b"0" * 100, "file-type"),
        ("a.csv", b"\x1f\x8b\x08" + b"0" * 100, "file-type"),
        ("a.csv", b"PAR1" + b"0" * 100, "file-type"),
        ("a.txt", b"0" * 8 + b"DUCK" + b"0" * 100, "file-type"),
        ("a.exe", b"MZ", "file-type"),
        ("a.tar.gz", b"x", "file-type"),
        ("a.png", b"name,n\nx,3\n", "file-type"),
        ("a.csv", PNG, "file-type"),
        ("a.png", PNG + b"patient list", "hidden-bytes"),
        ("a.png", PNG[:-5], "unreadable"),
        ("a.csv", b"\xff\xfe\x00n", "unreadable"),
        ("a.csv", b"a,b\n1,\0\n", "unreadable"),
        ("a.csv", b'"' + b"x" * 200_000, "unreadable"),
        ("a.json", b"[" * 100_000, "unreadable"),
        ("a.json", b'{"n": 50, "n": 3}', "unreadable"),
        ("a.ipynb", b'{"nbformat": 3, "worksheets": []}', "unreadable"),
        ("a.ipynb", b'{"nbformat": 4, "cells": 5}', "unreadable"),
        ("a.ipynb", b"not json", "unreadable"),
        ("a.svg", b"<svg><script>x()</script></svg>", "active-content"),
        ("a.svg", b'<svg onload="x()"></svg>', "active-content"),
        ("a.svg", b"<!DOCTYPE svg [<!ENTITY a 'b'>]><svg/>", "active-content"),
        ("a.svg", b'<svg><image href="https://x.example/?q"/></svg>', "active-content"),
        ("a.svg", b"<svg><foreignObject></foreignObject></svg>", "active-content"),
        ("a.md", b"[x](javascript:alert(1))", "active-content"),
        ("a.txt", "in\u200bvisible".encode(), "hidden-text"),
        ("a.txt", "\U000e0041\U000e0042".encode(), "hidden-text"),
        ("a.csv", "a\u202eb,n\n".encode(), "hidden-text"),
        ("a.txt", b"note PAAAABBBBCCCCDDDD2222 end", "pseudonym"),
        ("a.png", PNG[:-12] + chunk(b"tEXt", b"c\0PAAAABBBBCCCCDDDD2222") + PNG[-12:], "pseudonym"),
        ("a.ipynb", notebook(source="x = 'PAAAABBBBCCCCDDDD2222'"), "pseudonym"),
        ("a.ipynb", notebook(metadata={"x": "PAAAABBBBCCCCDDDD2222"}), "pseudonym"),
        ("a.ipynb", notebook(shown({"application/javascript": "x()"})), "active-content"),
        ("a.ipynb", notebook(shown({"text/html": "<img src=x onerror=x()>"})), "active-content"),
        ("a.ipynb", notebook(shown({"application/vnd.plotly.v1+json": {"data": [1]}})), "unknown-output"),
        ("a.ipynb", notebook(shown({"image/png": base64.b64encode(b"rows").decode()})), "unreadable"),
        ("a.ipynb", notebook(shown({"image/png": base64.b64encode(PNG + b"x").decode()})), "hidden-bytes"),
        ("a.ipynb", notebook({"output_type": "stream", "name": "stdout", "text": ["sex    n\n", "F    3\n"]}),
         "small-count"),
    ],
)  # fmt: skip
def test_what_must_block(name: str, content: bytes, check: str) -> None:
    assert check in blocking(name, content)


def test_emoji_are_allowed_but_no_chain_of_selectors() -> None:
    assert blocking("a.md", "Done \u26a0\ufe0f well".encode()) == set()
    assert blocking("a.md", "Done \u26a0\ufe0f\ufe0e\ufe0f well".encode()) == {"hidden-text"}


def test_too_large_for_the_permit() -> None:
    assert "file-size" in blocking("a.txt", b"x" * 11, OutputRules(maximum_bytes=10))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.md", b"<!--" * 250_000),
        ("a.md", b"<![CDATA[" * 100_000),
        ("a.md", b"<" * 500_000),
        ("a.md", b"<a " * 300_000),
        ("a.md", b"<table>" * 100_000),
        ("a.md", b"<table><td colspan=999999>" * 1_000),
        ("a.md", b"|" * 1_000_000),
        ("a.csv", b"," * 1_000_000),
        ("a.csv", b"1,2\n" * 250_000),
        ("a.json", b"[{}," * 100_000),
        ("a.json", b'[{"a":1},' + b'{"b":2},' * 100_000 + b"{}]"),
        ("a.svg", b"<svg " + b"on" * 500_000),
        ("a.svg", b"href = " * 150_000),
        ("a.txt", b"Name: " * 150_000),
        ("a.txt", (b"1 " * 50 + b"\n") * 5_000),
    ],
)
def test_bombs_end_in_time(name: str, content: bytes) -> None:
    begin = time.monotonic()
    run_checks({name: content}, RULES, None)
    assert time.monotonic() - begin < 60


def test_findings_never_repeat_a_value() -> None:
    content = b"name,n_patients\nDupont Marie,3\nPAAAABBBBCCCCDDDD2222,4\n"
    for finding in run_checks({"a.csv": content}, RULES, None):
        assert "Dupont" not in finding.message
        assert "PAAAA" not in finding.message


def test_thousands_of_findings_become_a_number() -> None:
    content = b"sex,n\n" + b"F,3\n" * 5_000
    found = [finding for finding in run_checks({"a.csv": content}, RULES, None) if finding.check == "small-count"]
    assert len(found) == 101
    assert found[-1].message == "4900 more places like these."
