"""Small counts in tables (SNDS: counts under 11 are not shown), by name, shape and subtraction.

A column is a count when its name says so (``n``, ``patients``, ``effectif`` …): cells from 1 to the threshold − 1
block. So do those of a table with several columns of whole numbers and no other numbers, which is how a
cross-tabulation looks; a single column of whole numbers may be counts and gives a warning. One hidden cell beside a
total can be computed: blocking when the result is small. Not handled: subtraction across files, rates over small bases.
SATRE 3.3.06.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from egress_review.domain.findings import Finding, Location, Severity
from egress_review.domain.sentences import Sentence
from egress_review.sdc.reading import Reading
from egress_review.sdc.tables import LABELLED, Table, find_integer, is_number
from enclave.domain.manifest import Manifest
from enclave.domain.permits import OutputRules

_COUNT_WORDS = frozenset(
    "n nb num no number numbers count counts cnt freq frequency frequencies effectif effectifs total totals patients "
    "patient people persons individuals subjects participants cases cas nombre size events deaths deces décès obs "
    "observations records visits stays sejours séjours occurrences tally".split()
)
_OTHER_WORDS = frozenset(
    "age ages year years annee année month mois day days jour jours week semaine hour heure quarter trimestre date id "
    "ids code codes concept identifier rank rang index version band tranche mean median min max std percent pct rate "
    "ratio share p pvalue ci lower upper level order position decile quartile".split()
)
_WORD = re.compile(r"[^\W\d_]+")
_HIDDEN = frozenset({"", "*", "-", "–", "—", "na", "n/a", "nan", "none", "null", "nd", "s", "x", "…", "..."})
_BELOW = re.compile(r"[<≤]\s*=?\s*\d{1,6}")
_TOTAL = frozenset({"total", "totals", "all", "ensemble", "sum", "somme", "overall", "margin"})


def _words(name: str) -> frozenset[str]:
    spaced = re.sub(r"(?<=[a-zà-ÿ])(?=[A-Z])", " ", name[:200])
    return frozenset(word.lower() for word in _WORD.findall(spaced))


def is_count_name(name: str) -> bool:
    """``n_patients``, ``patientCount``, ``effectif``: the name says that the column holds counts."""
    words = _words(name)
    return bool(words & _COUNT_WORDS) and not words & _OTHER_WORDS


def _has_count_shape(table: Table, column: int) -> bool:
    """Whole numbers (or hidden cells) only, at least one, and no name that says what else they are."""
    words = _words(table.name(column))
    if words & _OTHER_WORDS and not words & _COUNT_WORDS:
        return False
    seen = 0
    for row in table.rows:
        text = row.cells[column].strip() if column < len(row.cells) else ""
        if find_integer(text) is not None:
            seen += 1
        elif not _is_hidden(text):
            return False
    return seen > 0


def _is_hidden(text: str) -> bool:
    return text.lower() in _HIDDEN or _BELOW.fullmatch(text) is not None


def check_small_counts(reading: Reading, rules: OutputRules, manifest: Manifest | None) -> Iterator[Finding]:
    """``small-count``: cells from 1 to ``minimum_count`` − 1."""
    for table in reading.tables:
        named = [c for c in range(table.width()) if is_count_name(table.name(c))]
        shaped = [c for c in range(table.width()) if c not in named and _may_be_counts(table, c)]
        crossed = len(shaped) > 1 and not any(_has_decimals(table, c) for c in range(table.width()))
        for column in named:
            yield from _small_cells(reading.name, table, column, rules, Severity.BLOCKING)
        for column in shaped:
            severity = Severity.BLOCKING if crossed else Severity.WARNING
            yield from _small_cells(reading.name, table, column, rules, severity)
        if table.header == LABELLED:
            yield from _labelled_counts(reading.name, table, rules)


def _may_be_counts(table: Table, column: int) -> bool:
    return not _is_key_column(table, column) and _has_count_shape(table, column)


def _has_decimals(table: Table, column: int) -> bool:
    return any("." in cell and is_number(cell) for cell in _cells(table, column) if find_integer(cell) is None)


def _cells(table: Table, column: int) -> Iterator[str]:
    return (row.cells[column].strip() for row in table.rows if column < len(row.cells))


def _labelled_counts(file: str, table: Table, rules: OutputRules) -> Iterator[Finding]:
    """JSON such as ``{"n": 5}``: the label of a row says that it is a count."""
    rows = tuple(row for row in table.rows if is_count_name(row.cells[0]))
    yield from _small_cells(file, Table(table.header, rows, table.place), 1, rules, Severity.BLOCKING)


def _is_key_column(table: Table, column: int) -> bool:
    """Row numbers 0, 1, 2 … that data frames print are no counts."""
    if column > 0 or table.name(0) not in ("", "key"):
        return False
    numbers = [find_integer(row.cells[0]) if row.cells else None for row in table.rows]
    return numbers in (list(range(len(numbers))), list(range(1, len(numbers) + 1))) and table.width() > 1


def _small_cells(file: str, table: Table, column: int, rules: OutputRules, severity: Severity) -> Iterator[Finding]:
    message = Sentence(MESSAGES[severity], limit=rules.minimum_count)
    for row in table.rows:
        number = find_integer(row.cells[column]) if column < len(row.cells) else None
        if number is not None and 1 <= number < rules.minimum_count:
            yield Finding("small-count", severity, file, message, table.at(row, column))


MESSAGES = {
    Severity.BLOCKING: "A count under %(limit)s.",
    Severity.WARNING: "A whole number under %(limit)s; is it a count?",
}


def check_subtraction(reading: Reading, rules: OutputRules, manifest: Manifest | None) -> Iterator[Finding]:
    """``subtraction``: one hidden cell and a total, whose difference is a small count."""
    for table in reading.tables:
        for column in range(table.width()):
            place = _subtractable(table, column, rules.minimum_count)
            if place is not None:
                message = Sentence("This hidden count can be computed from the total; it is under %(limit)s.",
                                   limit=rules.minimum_count)  # fmt: skip
                yield Finding("subtraction", Severity.BLOCKING, reading.name, message, place)


def _subtractable(table: Table, column: int, minimum: int) -> Location | None:
    total: int | None = None
    others = 0
    hidden: list[Location] = []
    for row in table.rows:
        text = row.cells[column].strip() if column < len(row.cells) else ""
        number = find_integer(text)
        if any(cell.strip().lower() in _TOTAL for cell in row.cells[:column]):
            total = number
        elif number is not None:
            others += number
        elif _is_hidden(text):
            hidden.append(table.at(row, column))
        else:
            return None
    if total is None or len(hidden) != 1:
        return None
    return hidden[0] if 1 <= total - others < minimum else None
