"""A self-test's report: what was run where, and what came out. Pure, and the reading of stored reports.

``open`` fails; so does ``error``, because a probe that did not run has proved nothing. What is only *noted* and what is
a known *residual* is shown and does not fail. Reports are JSON under ``ENCLAVE_HOME/selftest/``, with the same as text
beside it; neither holds a secret or a path that a sandbox named.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from enclave.files import write_atomically
from enclave.selftest.probes import CATALOGUE
from enclave.selftest.probes.model import CLOSED, ERROR, NOT_APPLICABLE, OPEN, STATES, TERMINAL, is_tried
from enclave.selftest.residuals import RESIDUALS
from enclave.settings import Settings

PLACES = ("server", "kernel", TERMINAL)
NOTED, RESIDUAL = "noted", "residual"
VERDICTS = (CLOSED, OPEN, ERROR, NOTED, RESIDUAL, NOT_APPLICABLE)
_BY_ID = {probe.id: probe for probe in CATALOGUE}
_LONGEST_DETAIL = 300
_FORM = 1


@dataclass(frozen=True)
class Finding:
    """One probe at one place; ``verdict`` is one of VERDICTS."""

    probe: str
    group: str
    place: str
    verdict: str
    detail: str

    @property
    def en(self) -> str:
        """What it tried."""
        return _BY_ID[self.probe].en if self.probe in _BY_ID else self.probe

    @property
    def fr(self) -> str:
        """The same in French."""
        return _BY_ID[self.probe].fr if self.probe in _BY_ID else self.probe


@dataclass(frozen=True)
class Report:
    """Everything about one run. ``reason``: why it was run (``asked``, ``first``, ``due``, ``code``, ``kernel``)."""

    started_at: datetime
    finished_at: datetime
    engine: str
    kernel: str
    code: str
    catalogue_sha256: str
    reason: str
    findings: tuple[Finding, ...]
    problem: str = ""
    """Why it could not be carried out; empty when it was."""
    started_index: int = -1
    """Where its start stands in the audit log."""

    @property
    def is_good(self) -> bool:
        """Everything ran and nothing is open."""
        return not self.problem and bool(self.findings) and not self.of(OPEN) and not self.of(ERROR)

    def of(self, verdict: str) -> tuple[Finding, ...]:
        """All findings with this verdict."""
        return tuple(finding for finding in self.findings if finding.verdict == verdict)

    def counts(self) -> dict[str, int]:
        """Verdict → number, all of them."""
        found = Counter(finding.verdict for finding in self.findings)
        return {verdict: found[verdict] for verdict in VERDICTS}

    def groups(self) -> list[tuple[str, dict[str, int]]]:
        """Group → counts, in the catalogue's order."""
        names = dict.fromkeys(finding.group for finding in self.findings)
        return [(name, _only(self, name).counts()) for name in names]

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.started_at:%Y-%m-%dT%H%M%SZ}"


def _only(report: Report, group: str) -> Report:
    return replace(report, findings=tuple(f for f in report.findings if f.group == group))


def judge(place: str, outcomes: Mapping[str, Any]) -> list[Finding]:
    """Findings from what a sandbox wrote: every probe that belongs there, also one it says nothing about."""
    found = []
    for probe in CATALOGUE:
        if not is_tried(probe, place):
            continue
        outcome = outcomes.get(probe.id)
        state, detail = ERROR, "no outcome"
        if isinstance(outcome, list) and len(outcome) == 2 and outcome[0] in STATES:
            state, detail = outcome[0], _printable(str(outcome[1]))
        if state == OPEN and probe.noted:
            state = NOTED
        elif state == OPEN and probe.id in RESIDUALS:
            state = RESIDUAL
        found.append(Finding(probe.id, probe.group, place, state, detail))
    return found


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:_LONGEST_DETAIL])


def to_json(report: Report) -> str:
    """As it is stored and as ``enclave selftest --json`` prints it."""
    content = asdict(report) | {
        "form": _FORM,
        "started_at": report.started_at.isoformat(timespec="seconds"),
        "finished_at": report.finished_at.isoformat(timespec="seconds"),
        "good": report.is_good,
        "counts": report.counts(),
    }
    return json.dumps(content, ensure_ascii=False, indent=1)


def from_json(text: str | bytes) -> Report:
    """Raises ValueError, KeyError or TypeError for what is no report of ours."""
    given: dict[str, Any] = json.loads(text)
    for derived in ("form", "good", "counts"):
        given.pop(derived)
    findings = tuple(Finding(**finding) for finding in given.pop("findings"))
    times = {name: datetime.fromisoformat(given[name]) for name in ("started_at", "finished_at")}
    return Report(**{**given, **times, "findings": findings})


def to_text(report: Report) -> str:
    """For people: heads, counts per group, then everything that is not closed."""
    seconds = (report.finished_at - report.started_at).total_seconds()
    counts = report.counts()
    verdict = "nothing is open" if report.is_good else "NOT GOOD"
    lines = [
        f"Self-test of the isolation, {report.started_at:%Y-%m-%d %H:%M} UTC: {verdict}",
        f"engine {report.engine} · kernel {report.kernel} · code {report.code}",
        f"took {seconds:.0f} s · why: {report.reason}",
        "  ".join(f"{verdict} {number}" for verdict, number in counts.items()),
        "",
    ]
    if report.problem:
        lines += [f"Not carried out: {report.problem}", ""]
    for group, own in report.groups():
        said = ", ".join(f"{number} {verdict}" for verdict, number in own.items() if number)
        lines.append(f"  {group:18} {said}")
    for verdict in (OPEN, ERROR, RESIDUAL, NOTED, NOT_APPLICABLE):
        if findings := report.of(verdict):
            lines += ["", verdict.upper()]
            lines += [f"  {f.place:7} {f.probe}: {f.en} ({f.detail})" for f in findings]
    return "\n".join(lines) + "\n"


def folder_of(settings: Settings) -> Path:
    """Where reports are."""
    return settings.root / "selftest"


def store(settings: Settings, report: Report) -> Path:
    """Write both forms; returns the JSON file. Raises OSError."""
    folder = folder_of(settings)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / f"{report.name}.json"
    write_atomically(file.with_suffix(".txt"), to_text(report).encode(), mode=0o600)
    write_atomically(file, to_json(report).encode(), mode=0o600)
    return file


def stored(settings: Settings, most: int = 20) -> list[Report]:
    """The newest first; a file that cannot be read as a report is passed over."""
    found = []
    for file in sorted(folder_of(settings).glob("*.json"), reverse=True)[:most]:
        try:
            found.append(from_json(file.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found
