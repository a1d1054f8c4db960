"""What a terminal's channel carries, read strictly, and what of it a browser's terminal may be told. Pure.

Frames are JSON lists (terminado's form): out ``["setup", {}]``, ``["stdout", text]``, ``["disconnect", 1]``; in
``["stdin", text]`` and ``["set_size", rows, columns, height, width]``. Control sequences pass by a positive list:
ECMA-48 control sequences (colours, cursor, modes), a few plain escapes, C0 controls that move the cursor. None that
carry a string pass (OSC, DCS, SOS, PM, APC: clipboard, links, titles, pictures), no 8-bit controls, no window or
printer commands. An unfinished sequence is kept back, so what a frame says never completes what another began.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

from enclave.edge.kernel_frames import Data

LONGEST_TYPED = 65_536
MOST_CELLS = 1000
_LONGEST_STRING = 100_000
"""After so many characters a string that nobody ended is taken for text again."""

SETUP, DISCONNECT = '["setup",{}]', '["disconnect",1]'

_PIECE = re.compile(
    r"(?P<kept>[^\x00-\x1f\x7f-\x9f]+|[\x07-\x0f]"
    r"|\x1b\[[0-?]{0,200}[ -/]{0,4}[@-hj-su-~]"  # not i (print), t (window)
    r"|\x1b(?:[78=>DEHMNOcno|}~]|[()*+./-][0-~]|\#[3-8]|%[@G]))"
    r"|(?P<osc>\x1b\])|(?P<string>\x1b[PX^_])"
    r"|(?P<unfinished>\x1b(?:\[[0-?]{0,200}[ -/]{0,4}|[ -/]{0,4})\Z)"
    r"|\x1b\[[0-?]{0,200}[ -/]{0,4}[it]|\x1b[ -/]{0,4}[0-~]|.",
    re.DOTALL,
)
_ENDS = {"osc": re.compile(r"[\x07\x18\x1a\x1b\x9c]"), "string": re.compile(r"[\x18\x1a\x1b\x9c]")}
_LINE_ENDS = re.compile(r"[\n\v\f\r]|\x1b\[[0-?]*[ -/]*[ABEFHSTdf]|\x1b[DEM]")
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]|[\x00-\x1f]")


@dataclass
class TerminalText:
    """The text of one channel's ``stdout`` frames, in their order."""

    _unfinished: str = ""
    _string: str = ""
    """The kind of string we are in; what is in it goes nowhere."""
    _skipped: int = 0
    _in_line: bool = False

    def clean(self, text: str) -> str:
        """What may go on; the same however the text was cut into frames."""
        text, self._unfinished = self._unfinished + text, ""
        kept: list[str] = []
        at = 0
        while at < len(text):
            if self._string:
                at = self._skip(text, at)
                continue
            piece = _PIECE.match(text, at)
            assert piece is not None, "the last alternative takes any character"  # noqa: S101
            at = piece.end()
            match piece.lastgroup:
                case "kept":
                    kept.append(piece[0])
                case "osc" | "string" as kind:
                    self._string, self._skipped = kind, 0
                case "unfinished":
                    self._unfinished = piece[0]
        return "".join(kept)

    def _skip(self, text: str, at: int) -> int:
        """Where the string ends, or the text. An escape that ends one is read as the beginning of the next sequence."""
        limit = at + _LONGEST_STRING - self._skipped
        end = _ENDS[self._string].search(text, at, limit)
        if end is None:
            stop = min(limit, len(text))
            self._skipped += stop - at
            if self._skipped >= _LONGEST_STRING:
                self._string = ""
            return stop
        self._string = ""
        return end.start() if end[0] == "\x1b" else end.end()

    def count_rows(self, cleaned: str) -> int:
        """Lines that ``cleaned`` begins: text after a line's end or after the cursor was sent to another line."""
        rows = 0
        for number, line in enumerate(_LINE_ENDS.split(cleaned)):
            if number:
                self._in_line = False
            if not self._in_line and _ESCAPES.sub("", line).strip():
                self._in_line = True
                rows += 1
        return rows


def read_shown(data: Data) -> str | None:
    """The text of a ``stdout`` frame; None for any other."""
    found = _list(data)
    if found is None or len(found) != 2 or found[0] != "stdout" or not isinstance(found[1], str):
        return None
    return found[1]


def without_escapes(cleaned: str) -> str:
    """Only the words, for a reader who has no terminal at hand."""
    return _ESCAPES.sub(lambda escape: "\n" if escape[0] == "\n" else "", cleaned)


def shown_frame(text: str) -> str:
    """A ``stdout`` frame."""
    return orjson.dumps(["stdout", text]).decode()


def find_event(data: Data) -> str | None:
    """The frame that says that the terminal is there, or has ended, in our own words; None for any other."""
    return {"setup": SETUP, "disconnect": DISCONNECT}.get(str((_list(data) or [None])[0]))


def clean_typed(data: Data) -> str | None:
    """A frame of the browser, written anew; None when it has another form or is too long."""
    found = _list(data) if len(data) <= 8 * LONGEST_TYPED else None
    if not found:
        return None
    kind, *rest = found
    if kind == "stdin" and len(rest) == 1 and isinstance(rest[0], str) and len(rest[0]) <= LONGEST_TYPED:
        return orjson.dumps(["stdin", rest[0]]).decode()
    if kind == "set_size" and len(rest) == 4 and all(type(n) is int and 0 < n <= MOST_CELLS for n in rest[:2]):
        return orjson.dumps(["set_size", rest[0], rest[1], 0, 0]).decode()
    return None


def _list(data: Data) -> list[object] | None:
    if not isinstance(data, str):
        return None
    try:
        found = orjson.loads(data)
    except ValueError:
        return None
    return found if isinstance(found, list) and found else None
