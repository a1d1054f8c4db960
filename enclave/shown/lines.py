"""Lines of an archive file, and the chain over them that the audit log commits to. Pure.

A line is one JSON object: number, time, the chain's digest before it, the key's fingerprint, the sealed content. The
digest after a line is ``SHA-256(digest before ‖ SHA-256(line))``, so the last one stands for all lines and their order.
Every line names the digest before it: a reader goes on behind a line that is damaged, and still knows what is missing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

import orjson

START = "0" * 64
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_KEY = re.compile(r"[0-9a-f]{16}", re.ASCII)


@dataclass(frozen=True)
class Head:
    """How many lines there are, and the chain's digest after them."""

    lines: int = 0
    digest: str = START

    def after(self, raw: bytes) -> Head:
        """The head with one more line; ``raw`` without its line feed."""
        content = bytes.fromhex(self.digest) + hashlib.sha256(raw).digest()
        return Head(self.lines + 1, hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class Line:
    """One archived message. ``at``: RFC 3339, UTC."""

    number: int
    at: str
    before: str
    key: str
    box: bytes

    @property
    def head_before(self) -> Head:
        """Where the chain stood."""
        return Head(self.number - 1, self.before)


def encode_line(line: Line) -> bytes:
    """The line without its line feed (base64 and JSON hold none)."""
    box = base64.b64encode(line.box).decode()
    return orjson.dumps({"n": line.number, "at": line.at, "before": line.before, "key": line.key, "box": box})


def parse_line(raw: bytes) -> Line | None:
    """None for anything but a line as ``encode_line`` writes it."""
    try:
        found = orjson.loads(raw)
        line = Line(
            found["n"], found["at"], found["before"], found["key"], base64.b64decode(found["box"], validate=True)
        )
    except (ValueError, KeyError, TypeError):
        return None
    is_numbered = isinstance(line.number, int) and line.number > 0
    texts = all(isinstance(text, str) for text in (line.at, line.before, line.key))
    if not is_numbered or not texts or not _HEX.fullmatch(line.before) or not _KEY.fullmatch(line.key):
        return None
    return line if encode_line(line) == raw else None
