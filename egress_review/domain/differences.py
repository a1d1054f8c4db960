"""Which lines differ between two versions of a file, as values with their bounds.

``egress_review.sdc.differences`` finds them, in the sandbox; everybody else knows only this.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from egress_review.domain.sentences import Sentence

COMPARED_TYPES = frozenset({".csv", ".tsv", ".txt", ".md", ".json", ".ipynb"})
COMPARED_BYTES = 1_000_000
COMPARED_LINES = 20_000
SHOWN_LINES = 300
SHOWN_CHARACTERS = 400
CONTEXT = 2
"""Lines that are the same, shown before and after what differs."""
NOT_COMPARED = Sentence(
    "Not compared line by line: only text, CSV and notebooks of at most %(limit)s bytes are.", limit=COMPARED_BYTES
)


class LineKind(StrEnum):
    """What a shown line is."""

    SAME = "same"
    REMOVED = "removed"
    ADDED = "added"
    GAP = "gap"
    """Stands for lines that are the same and not shown."""


@dataclass(frozen=True)
class DiffLine:
    """One line; ``before`` and ``after`` are its numbers in the two versions, from 1."""

    kind: LineKind
    before: int | None = None
    after: int | None = None
    text: str = ""


@dataclass(frozen=True)
class Differences:
    """``left_out`` more lines differ than are shown. ``note`` says why there are no lines, or is None."""

    lines: tuple[DiffLine, ...] = ()
    left_out: int = 0
    note: Sentence | None = None


def may_compare(name: str, before_bytes: int, after_bytes: int) -> bool:
    """Is it worth reading the two versions of this file?"""
    return PurePosixPath(name).suffix.lower() in COMPARED_TYPES and max(before_bytes, after_bytes) <= COMPARED_BYTES
