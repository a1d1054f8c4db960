"""How far a target has come, durably, and in which log: a replaced or rewritten log is noticed, never exported on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from audit.durable import write_atomic
from audit.merkle import EMPTY_ROOT, HASH_BYTES

_VERSION = 1


class CursorBroken(RuntimeError):
    """The cursor file cannot be understood; the sentence says what to do."""


@dataclass(frozen=True)
class Position:
    """``next``: first index not delivered. ``size``, ``root``: the newest head seen, which later ones must extend.

    ``first``: below this nothing is ever sent, not even again.
    """

    origin: str
    next: int = 0
    size: int = 0
    root: bytes = EMPTY_ROOT
    first: int = 0


class CursorFile:
    """One position in one file, replaced by rename after fsync."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Position | None:
        """The position stored, None when there is none; raise :class:`CursorBroken`."""
        try:
            stored = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self._broken() from error
        try:
            root, first = bytes.fromhex(stored["root"]), stored["first"]
            position = Position(stored["origin"], stored["next"], stored["size"], root, first)
            numbers = all(isinstance(number, int) for number in (first, position.next, position.size))
            sound = numbers and first >= 0 and 0 <= position.next <= position.size and len(root) == HASH_BYTES
            if stored["version"] != _VERSION or not isinstance(position.origin, str) or not sound:
                raise self._broken()
        except (KeyError, TypeError, ValueError) as error:
            raise self._broken() from error
        return position

    def save(self, position: Position) -> None:
        """Durable when this returns."""
        stored = {
            "version": _VERSION,
            "origin": position.origin,
            "next": position.next,
            "size": position.size,
            "root": position.root.hex(),
            "first": position.first,
        }
        write_atomic(self._path, json.dumps(stored).encode() + b"\n", mode=0o640)

    def _broken(self) -> CursorBroken:
        return CursorBroken(
            f"{self._path.name} is no cursor of this exporter; restore it, or remove it to export from the start again."
        )
