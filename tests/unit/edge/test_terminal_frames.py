"""Frames of a terminal: what may go on to the browser and back, however the workspace cuts it up."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.edge import terminal_frames
from enclave.edge.terminal_frames import (
    TerminalText,
    clean_typed,
    find_event,
    read_shown,
    shown_frame,
    without_escapes,
)

ESC = "\x1b"
OSC = f"{ESC}]"
REMOVED = {
    "clipboard": (f"a{OSC}52;c;c2VjcmV0\x07b", "ab"),
    "clipboard, ST": (f"a{OSC}52;c;c2VjcmV0{ESC}\\b", "ab"),
    "clipboard, 8-bit ST": (f"a{OSC}52;c;c2VjcmV0\x9cb", "ab"),
    "link": (f"{OSC}8;;https://example.org/?secret\x07click{OSC}8;;\x07", "click"),
    "title": (f"{OSC}0;secret\x07{OSC}2;secret{ESC}\\x", "x"),
    "8-bit OSC": ("a\x9d52;c;x\x07b", "a52;c;x\x07b"),
    "picture": (f"a{ESC}Pq#0;2;0;0;0{ESC}\\b", "ab"),
    "other strings": (f"a{ESC}_x{ESC}\\b{ESC}^y{ESC}\\c{ESC}Xz{ESC}\\d", "abcd"),
    "bell ends no device string": (f"a{ESC}Pq\x07x{ESC}\\b", "ab"),
    "window": (f"a{ESC}[22;0tb{ESC}[8;100;100tc", "abc"),
    "printer": (f"a{ESC}[5ib", "ab"),
    "unknown escape": (f"a{ESC}kb", "ab"),
    "control inside a sequence": (f"{ESC}[3\n1mx", "3\n1mx"),
    "8-bit CSI": ("\x9b31mx", "31mx"),
    "delete and enquiry": ("a\x7fb\x05c\x00d", "abcd"),
    "string cut short": (f"a{OSC}52;c;x\x18b{OSC}52;c;y\x1ac", "abc"),
    "string ended by a colour": (f"{OSC}52;c;x{ESC}[31mred", f"{ESC}[31mred"),
    "too long a sequence": (f"{ESC}[{'1' * 300}mx", f"{'1' * 300}mx"),
}
KEPT = {
    "text": "é 漢字 🙂 https://example.org\r\n\tx\b\a",
    "colours": f"{ESC}[1;38;2;255;0;0mred{ESC}[0m{ESC}[4:3mx",
    "cursor": f"{ESC}[2J{ESC}[H{ESC}[10;20f{ESC}7{ESC}8{ESC}M{ESC}[?25l",
    "modes": f"{ESC}[?1049h{ESC}[?2004h{ESC}={ESC}>{ESC}[4 q{ESC}[!p",
    "character sets": f"{ESC}(B{ESC})0\x0e\x0f{ESC}#8",
}
_UNIT = re.compile(
    r"(?:[^\x00-\x1f\x7f-\x9f]|[\x07-\x0f]|\x1b\[[0-?]*[ -/]*[@-hj-su-~]|\x1b[78=>DEHMNOcno|}~]"
    r"|\x1b[()*+./-][0-~]|\x1b#[3-8]|\x1b%[@G])*",
    re.DOTALL,
)


@pytest.mark.parametrize(("given_text", "expected"), REMOVED.values(), ids=REMOVED)
def test_what_reaches_beyond_the_terminal_is_removed(given_text: str, expected: str) -> None:
    assert TerminalText().clean(given_text) == expected


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_a_terminal_stays_usable(text: str) -> None:
    assert TerminalText().clean(text) == text


_PARTS = st.sampled_from(
    [ESC, "[", "]", "P", "\\", "\x07", "\x9c", "\x9d", "52;c;", "8;;", "\x18", "31", "m", "t", "(", " ", "k", "x\n"]
)


@given(st.lists(st.one_of(_PARTS, st.text(max_size=3)), max_size=40), st.data())
def test_how_it_is_cut_into_frames_changes_nothing(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    whole, cut = TerminalText(), TerminalText()
    pieces = [cut.clean(text[start:end]) for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert "".join(pieces) == whole.clean(text)
    for piece in pieces:
        assert _UNIT.fullmatch(piece), "every frame is whole in itself"


def test_the_end_of_an_endless_string_is_text_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal_frames, "_LONGEST_STRING", 10)
    text = TerminalText()
    assert text.clean(f"a{OSC}01234567") == "a"
    assert text.clean("89back") == "back"


@pytest.mark.parametrize(
    ("frames", "rows"),
    [
        (["one\r\n", "two\r\n"], 2),
        (["l", "s", "\r\n", "out\r\n"], 2),
        ([f"{ESC}[1;1Hone{ESC}[2;1Htwo{ESC}[3;1H"], 2),
        (["\r\n\r\n\r\n"], 0),
        ([f"{ESC}[31mred{ESC}[0m"], 1),
        (["10 %\r", "20 %\r"], 2),
    ],
)
def test_rows_are_lines_that_begin(frames: list[str], rows: int) -> None:
    text = TerminalText()
    assert sum(text.count_rows(text.clean(frame)) for frame in frames) == rows


@pytest.mark.parametrize(
    "data", [b'["stdout","x"]', '["stdout"]', '["stdout",1]', '["stdout","x",1]', '{"stdout":"x"}', "[]", "", "x", "1"]
)
def test_other_frames_show_nothing(data: Any) -> None:
    assert read_shown(data) is None
    assert find_event(data) is None


def test_frames_are_written_anew() -> None:
    assert read_shown(shown_frame('é"\x1b[0m')) == 'é"\x1b[0m'
    assert find_event('["setup", {"secret": 1}]') == '["setup",{}]'
    assert find_event('["disconnect", "secret"]') == '["disconnect",1]'
    assert without_escapes(f"{ESC}[31mred{ESC}[0m\r\nx") == "red\nx"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('["stdin", "ls\\r"]', ["stdin", "ls\r"]),
        ('["set_size", 24, 80, 300.5, 700]', ["set_size", 24, 80, 0, 0]),
        ('["set_size", 24, 80, null, -1]', ["set_size", 24, 80, 0, 0]),
        ('["set_size", 0, 80, 1, 1]', None),
        ('["set_size", true, 80, 1, 1]', None),
        ('["set_size", 24, 100000, 1, 1]', None),
        ('["set_size", 24, 80]', None),
        ('["stdin", "a", "b"]', None),
        ('["stdin", 1]', None),
        ('["stdout", "x"]', None),
        ('["stdin", "' + "x" * 70_000 + '"]', None),
        ("[", None),
        (b'["stdin", "x"]', None),
    ],
)
def test_the_browser_types_and_sets_the_size_and_no_more(data: Any, expected: list[object] | None) -> None:
    found = clean_typed(data)
    assert (found and orjson.loads(found)) == expected
