"""Reading an archive file: every line that can be read, whatever lies between, and what the audit log says about it.

A damaged line never ends the reading. Contract of ``compare``: a commitment of the log (lines, digest) is *kept* when
the chain in the file passes through exactly that digest at that line and no line before it is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from enclave.shown.lines import Head, Line, parse_line


@dataclass(frozen=True)
class Damaged:
    """Bytes that are no line: torn by a kill (then no line is missing), or changed."""

    offset: int
    size: int


@dataclass(frozen=True)
class Chained:
    """One line, the head after it, and whether all lines before it are there unchanged."""

    line: Line
    head: Head
    is_whole: bool


@dataclass(frozen=True)
class Comparison:
    """What the log committed to, held against a file."""

    lines: int
    damaged: int
    kept: int
    """Commitments the file keeps."""
    broken: tuple[Head, ...]
    """Commitments it does not keep: something was removed, changed or put elsewhere."""
    uncommitted: int
    """Lines behind the last commitment that is kept: shown since, or before the edge was killed."""

    @property
    def is_proven(self) -> bool:
        """All that the log says about this day is true of this file."""
        return not self.broken


def read_lines(path: Path) -> Iterator[Chained | Damaged]:
    """In the order of the file. Raises OSError."""
    head, is_whole, offset = Head(), True, 0
    with path.open("rb") as file:
        for raw in file:
            content = raw.rstrip(b"\n")
            line = parse_line(content)
            if line is not None:
                is_whole = is_whole and line.head_before == head
                head = line.head_before.after(content)
                yield Chained(line, head, is_whole)
            elif content:
                yield Damaged(offset, len(content))
            offset += len(raw)


def compare(path: Path, commitments: Iterable[Head]) -> Comparison:
    """Hold the log's commitments of this project, person and day against the file. Raises OSError."""
    wanted = set(commitments) - {Head()}
    lines, damaged, kept, last = 0, 0, set(), 0
    for found in read_lines(path):
        if isinstance(found, Damaged):
            damaged += 1
            continue
        lines += 1
        if found.is_whole and found.head in wanted:
            kept.add(found.head)
            last = lines
    broken = tuple(sorted(wanted - kept, key=lambda head: head.lines))
    return Comparison(lines, damaged, len(kept), broken, lines - last)
