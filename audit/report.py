"""What verification found: one verdict per question, so that a reader sees which guarantee failed and where. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class VerifyError(RuntimeError):
    """Verification could not begin: no directory, no key, an input that cannot be read."""


MAX_FINDINGS = 1000
"""Most problems and most notices kept per question; how many more there were is said in one line."""


class Question(StrEnum):
    """The questions verification answers, in the order they are reported."""

    SIGNATURE = "signature"
    TREE = "tree"
    ENTRIES = "entries"
    CONSISTENCY = "consistency"
    FILES = "files"
    WITNESSES = "witnesses"
    TIMESTAMPS = "timestamps"
    COMPLETENESS = "completeness"
    RECEIPTS = "receipts"
    PAYLOADS = "payloads"


class Status(StrEnum):
    """The verdict on one question."""

    OK = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not-checked"


@dataclass(frozen=True)
class Finding:
    """One thing found: ``file`` below the log directory, ``entry`` the record's index in the log."""

    message: str
    file: str | None = None
    entry: int | None = None

    def __str__(self) -> str:
        place = ", ".join(
            part for part in (self.file, None if self.entry is None else f"entry {self.entry}") if part is not None
        )
        return f"{place}: {self.message}" if place else self.message

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"message": self.message, "file": self.file, "entry": self.entry}


@dataclass
class Verdict:
    """``problems`` make the verdict fail, ``notices`` do not; ``left_out`` counts findings beyond the most kept."""

    question: Question
    checked: bool = True
    problems: list[Finding] = field(default_factory=list)
    notices: list[Finding] = field(default_factory=list)
    left_out: int = 0

    def add(self, findings: list[Finding], finding: Finding) -> None:
        """Keep a finding among ``problems`` or ``notices``, or count it."""
        if len(findings) < MAX_FINDINGS:
            findings.append(finding)
        else:
            self.left_out += 1

    @property
    def status(self) -> Status:
        """Failed on any problem, even when the check could not be finished."""
        if self.problems:
            return Status.FAILED
        return Status.OK if self.checked else Status.NOT_CHECKED

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "status": self.status.value,
            "problems": [finding.as_json() for finding in self.problems],
            "notices": [finding.as_json() for finding in self.notices],
            "left_out": self.left_out,
        }


@dataclass
class Report:
    """The whole result; ``size`` and ``root`` (hex) are those of the checkpoint, as far as it could be read."""

    origin: str = ""
    size: int = 0
    root: str = ""
    verdicts: dict[Question, Verdict] = field(
        default_factory=lambda: {question: Verdict(question) for question in Question}
    )

    @property
    def ok(self) -> bool:
        """True when nothing failed (a question that was not asked, such as consistency, does not count)."""
        return all(verdict.status is not Status.FAILED for verdict in self.verdicts.values())

    def problem(self, question: Question, message: str, file: str | None = None, entry: int | None = None) -> None:
        """Add a problem."""
        self.find(question, Finding(message, file, entry))

    def find(self, question: Question, finding: Finding) -> None:
        """Add a problem that was found elsewhere."""
        verdict = self.verdicts[question]
        verdict.add(verdict.problems, finding)

    def notice(self, question: Question, message: str, entry: int | None = None, file: str | None = None) -> None:
        """Add a notice."""
        verdict = self.verdicts[question]
        verdict.add(verdict.notices, Finding(message, file, entry))

    def skip(self, *questions: Question) -> None:
        """Mark questions as not checked."""
        for question in questions:
            self.verdicts[question].checked = False

    @property
    def problems(self) -> list[Finding]:
        """All problems, in the order of the questions."""
        return [finding for verdict in self.verdicts.values() for finding in verdict.problems]

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "ok": self.ok,
            "origin": self.origin,
            "size": self.size,
            "root": self.root,
            "verdicts": {question.value: verdict.as_json() for question, verdict in self.verdicts.items()},
        }

    def lines(self) -> list[str]:
        """For the terminal."""
        lines = [f"log {self.origin or '(unknown)'}: {self.size} records, root {self.root or '(unknown)'}"]
        for verdict in self.verdicts.values():
            lines.append(f"  {verdict.question.value:<13} {verdict.status.value}")
            lines += [f"    problem: {finding}" for finding in verdict.problems]
            lines += [f"    notice: {finding}" for finding in verdict.notices]
            if verdict.left_out:
                lines.append(f"    and {verdict.left_out} more like these")
        lines.append("verified" if self.ok else "VERIFICATION FAILED")
        return lines
