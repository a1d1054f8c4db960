"""Which lines differ between two versions of a text, CSV file or notebook: one pure function over untrusted bytes.

Not ``difflib``: its time grows with the square of the lines, or worse, where lines repeat, and whoever writes the files
chooses the lines. Here lines that occur once in both versions are the anchors, in their longest common order ("patience
diff"), again between two anchors, at most ``DEPTH`` times: about n · log n for any bytes. What has no anchor counts as
removed and added as a whole; the result may be longer than necessary, never wrong.

Bounds: ``COMPARED_BYTES`` and ``COMPARED_LINES`` a version, ``SHOWN_LINES`` lines of the answer, ``SHOWN_CHARACTERS`` a
line. Beyond them the answer says why there is none, or how much was left out. Characters that would not be seen are
written as ``<U+200B>``: what differs is to be seen. Non-goal: what a change means.
"""

from __future__ import annotations

import hashlib
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from egress_review.domain.differences import (
    COMPARED_LINES,
    CONTEXT,
    NOT_COMPARED,
    SHOWN_CHARACTERS,
    SHOWN_LINES,
    Differences,
    DiffLine,
    LineKind,
    may_compare,
)
from egress_review.domain.sentences import Sentence
from egress_review.sdc.notebooks import Cell, Notebook
from egress_review.sdc.reading import read

DEPTH = 12
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_READABLE_OUTPUTS = ("text/plain", "text/markdown", "text/html", "application/json")


class _NotComparedError(Exception):
    def __init__(self, sentence: Sentence) -> None:
        super().__init__(sentence)
        self.sentence = sentence


def line_differences(name: str, before: bytes, after: bytes) -> Differences:
    """Never raises for any bytes; ``name`` says how both are read."""
    if not may_compare(name, len(before), len(after)):
        return Differences(note=NOT_COMPARED)
    try:
        old, new = _lines(name, before), _lines(name, after)
    except _NotComparedError as error:
        return Differences(note=error.sentence)
    if old == new:
        return Differences(note=_SAME_LINES)
    # Numbers instead of lines: comparing two long lines that are almost the same costs time, comparing numbers none.
    numbers: dict[str, int] = {}
    old_ids = [numbers.setdefault(line, len(numbers)) for line in old]
    new_ids = [numbers.setdefault(line, len(numbers)) for line in new]
    return _shown(list(_script(old_ids, new_ids)), old, new)


_TOO_MANY_LINES = Sentence("Not compared line by line: more than %(limit)s lines.", limit=COMPARED_LINES)
_UNREADABLE = Sentence("Not compared line by line: one of the two versions cannot be read as text.")
_SAME_LINES = Sentence("No line of text differs; the bytes do: line ends, metadata or the like.")


def _lines(name: str, content: bytes) -> list[str]:
    try:
        reading = read(name, content)
    # As in the checks: whatever a reader trips over in hostile bytes means that nobody can say what is in them.
    except Exception as error:
        raise _NotComparedError(_UNREADABLE) from error
    if reading.notebook is not None:
        lines = list(_notebook_lines(reading.notebook))
    elif reading.text is not None:
        lines = reading.text.splitlines()
    else:
        raise _NotComparedError(_UNREADABLE)
    if len(lines) > COMPARED_LINES:
        raise _NotComparedError(_TOO_MANY_LINES)
    return lines


def _notebook_lines(notebook: Notebook) -> Iterator[str]:
    for cell in notebook.cells:
        yield f"── {cell.kind} ──"
        yield from cell.source.splitlines()
        yield from _output_lines(cell)


def _output_lines(cell: Cell) -> Iterator[str]:
    for output in cell.outputs:
        for mime, text in output.parts.items():
            yield f"── {mime} ──"
            if mime in _READABLE_OUTPUTS:
                yield from text.splitlines()
            else:
                yield f"SHA-256 {hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _script(old: Sequence[int], new: Sequence[int]) -> Iterator[tuple[LineKind, int, int]]:
    """Kind and positions (from 0) of every line, in reading order; removed before added."""
    at_old = at_new = 0
    for match_old, match_new in (*_matches(old, new), (len(old), len(new))):
        yield from ((LineKind.REMOVED, number, at_new) for number in range(at_old, match_old))
        yield from ((LineKind.ADDED, match_old, number) for number in range(at_new, match_new))
        if match_old < len(old):
            yield LineKind.SAME, match_old, match_new
        at_old, at_new = match_old + 1, match_new + 1


def _matches(old: Sequence[int], new: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of positions of lines that are the same, rising in both."""
    found: list[tuple[int, int]] = []
    pending = [(0, len(old), 0, len(new), DEPTH)]
    while pending:
        low_old, high_old, low_new, high_new, depth = pending.pop()
        while low_old < high_old and low_new < high_new and old[low_old] == new[low_new]:
            found.append((low_old, low_new))
            low_old, low_new = low_old + 1, low_new + 1
        while low_old < high_old and low_new < high_new and old[high_old - 1] == new[high_new - 1]:
            high_old, high_new = high_old - 1, high_new - 1
            found.append((high_old, high_new))
        if low_old == high_old or low_new == high_new or not depth:
            continue
        anchors = _anchors(old, new, (low_old, high_old, low_new, high_new))
        if anchors:
            starts = [(low_old, low_new), *((a + 1, b + 1) for a, b in anchors)]
            ends = [*anchors, (high_old, high_new)]
            found.extend(anchors)
            pending.extend((a, c, b, d, depth - 1) for (a, b), (c, d) in zip(starts, ends, strict=True))
    return sorted(found)


def _anchors(old: Sequence[int], new: Sequence[int], window: tuple[int, int, int, int]) -> list[tuple[int, int]]:
    """Lines that occur exactly once in each part, as many as stand in the same order in both."""
    low_old, high_old, low_new, high_new = window
    there = {line: at for at, line in _once(new, low_new, high_new)}
    pairs = [(at, there[line]) for at, line in _once(old, low_old, high_old) if line in there]
    return _longest_rising(pairs)


def _once(lines: Sequence[int], low: int, high: int) -> list[tuple[int, int]]:
    part = lines[low:high]
    counts = Counter(part)
    return [(at, line) for at, line in enumerate(part, start=low) if counts[line] == 1]


def _longest_rising(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest run of ``pairs`` (rising in the first) that rises in the second; patience sorting."""
    tops: list[int] = []
    piles: list[tuple[int, int]] = []
    below: dict[tuple[int, int], tuple[int, int] | None] = {}
    for pair in pairs:
        at = bisect_left(tops, pair[1])
        below[pair] = piles[at - 1] if at else None
        tops[at : at + 1] = [pair[1]]
        piles[at : at + 1] = [pair]
    found = []
    last = piles[-1] if piles else None
    while last is not None:
        found.append(last)
        last = below[last]
    return found[::-1]


def _shown(script: list[tuple[LineKind, int, int]], old: list[str], new: list[str]) -> Differences:
    differing = [at for at, (kind, _old, _new) in enumerate(script) if kind is not LineKind.SAME]
    kept = differing[:SHOWN_LINES]
    near = sorted({at for here in kept for at in range(here - CONTEXT, here + CONTEXT + 1) if 0 <= at < len(script)})
    chosen = [at for at in near if script[at][0] is LineKind.SAME or at <= kept[-1]]
    lines: list[DiffLine] = []
    for position, at in enumerate(chosen):
        if at > (chosen[position - 1] + 1 if position else 0):
            lines.append(DiffLine(LineKind.GAP))
        lines.append(_line(script[at], old, new))
    if chosen and chosen[-1] < len(script) - 1:
        lines.append(DiffLine(LineKind.GAP))
    return Differences(tuple(lines), left_out=len(differing) - len(kept))


def _line(step: tuple[LineKind, int, int], old: list[str], new: list[str]) -> DiffLine:
    kind, at_old, at_new = step
    if kind is LineKind.ADDED:
        return DiffLine(kind, None, at_new + 1, visible(new[at_new]))
    return DiffLine(kind, at_old + 1, at_new + 1 if kind is LineKind.SAME else None, visible(old[at_old]))


def visible(text: str) -> str:
    """At most ``SHOWN_CHARACTERS``, and every character that would not be seen by its code."""
    cut = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + " …"
    return "".join(
        f"<U+{ord(sign):04X}>" if sign != "\t" and unicodedata.category(sign) in _INVISIBLE else sign for sign in cut
    )
