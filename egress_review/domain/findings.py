"""Findings of the disclosure checks, as values: where to look and why, never the value that was found.

CNIL, référentiel "entrepôts de données de santé": a failing automatic check raises an alert and quarantines the output
until a trained person has looked. ``Severity.BLOCKING`` is that: approving then needs a written justification.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from egress_review.domain.sentences import Sentence


class Severity(StrEnum):
    """Stored strings."""

    INFO = "info"
    WARNING = "warning"
    BLOCKING = "blocking"


@dataclass(frozen=True)
class Location:
    """Where in a file; all numbers count from 1. ``line`` is a line of the text or record of a CSV file with its header
    as line 1, ``column`` a column of a table, ``cell`` and ``output`` a notebook's cell and its output."""

    line: int | None = None
    column: int | None = None
    cell: int | None = None
    output: int | None = None


@dataclass(frozen=True)
class Finding:
    """One remark of one check about one place in one file."""

    check: str
    severity: Severity
    file: str
    message: Sentence
    location: Location = Location()


def count_by_severity(findings: Iterable[Finding]) -> dict[Severity, int]:
    """Every severity, also those with none."""
    counts = dict.fromkeys(Severity, 0)
    for finding in findings:
        counts[finding.severity] += 1
    return counts
