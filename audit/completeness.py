"""Is anything missing that was sent? Each writer numbers its records per start; intents announce outcomes. Pure.

A gap or an open intent is a notice: a process may have died between the two. Two records with one number are a problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from audit.report import Question, Report

INTENT, OUTCOME = "query:intent", "query:outcome"


@dataclass
class Sequence:
    """The numbers seen from one writer since one start; memory grows only with what is out of order."""

    following: int = 1
    ahead: set[int] = field(default_factory=set)

    def add(self, number: int) -> bool:
        """False when the number was there already."""
        if number < self.following or number in self.ahead:
            return False
        self.ahead.add(number)
        while self.following in self.ahead:
            self.ahead.remove(self.following)
            self.following += 1
        return True

    def missing(self) -> int:
        """How many numbers below the greatest one are missing."""
        return max(self.ahead) - self.following + 1 - len(self.ahead) if self.ahead else 0


class Completeness:
    """Feed every leaf in order, then ``report``."""

    def __init__(self) -> None:
        self._sequences: dict[tuple[str, str], Sequence] = {}
        self._doubled: list[int] = []
        self._open: dict[str, int] = {}

    def add(self, index: int, leaf: Mapping[str, Any]) -> None:
        """Take the record at ``index``."""
        match leaf:
            case {"writer": str(writer), "boot": str(boot), "seq": int(number)}:
                if not self._sequences.setdefault((writer, boot), Sequence()).add(number):
                    self._doubled.append(index)
        request = leaf.get("request_id")
        if not isinstance(request, str):
            return
        if leaf.get("type") == INTENT:
            self._open.setdefault(request, index)
        elif leaf.get("type") == OUTCOME:
            self._open.pop(request, None)

    def report(self, report: Report) -> None:
        """Write what was found into the report."""
        for index in self._doubled:
            report.problem(
                Question.COMPLETENESS, "Another record carries the same writer, start and number.", entry=index
            )
        for (writer, boot), sequence in sorted(self._sequences.items()):
            if missing := sequence.missing():
                report.notice(
                    Question.COMPLETENESS,
                    f"{missing} number(s) missing from {writer} (start {boot}) from {sequence.following} on.",
                )
        for index in sorted(self._open.values()):
            report.notice(Question.COMPLETENESS, "Open intent: no outcome was recorded for this query.", index)
