"""Is anything missing that was sent? Each writer numbers its records per start; intents announce outcomes; the log says
every so often that it runs; an auditor's canary queries must turn up. Pure.

Problems: two records with one number; a canary that is due and has no query. Notices (a process may have died, a
machine may have slept): a gap, an open intent, a silence, a restart, a clock set back.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from audit.own_events import OwnEvent
from audit.report import Question, Report
from audit.scan import CANARY, Noted, RecordScan, Summary
from audit.times import parse_at, say_duration, seconds_between

CANARY_GRACE = timedelta(minutes=15)
RUNNING_SECONDS = 120
"""A query begun this shortly before the newest record may still be running: no notice."""
SILENT_INTERVALS = 3
CLOCK_SECONDS = 1.0
"""Times going back by less are not worth a notice."""

KEPT = frozenset({OwnEvent.PRUNED, OwnEvent.REDACTED, OwnEvent.WITNESS_CONFIGURED, OwnEvent.ANCHOR_RECEIVED})
"""Records about the log itself that other verdicts need."""

Runs = list[tuple[int, int]]


@dataclass
class Canary:
    """A scheduled query that waits for its intent; ``answered``: index and time of the first one after it."""

    index: int
    project: str
    template: str
    due: str = ""
    answered: tuple[int, str] | None = None


class Completeness:
    """Feed the summaries of neighbouring stretches in order, then ``report``."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str], Runs] = {}
        self._doubled: list[int] = []
        self._open: dict[str, list[tuple[int, str]]] = {}
        self._canaries: list[Canary] = []
        self._waiting: dict[tuple[str, str], list[Canary]] = {}
        self._life = DaemonLife()
        self._back: list[tuple[int, str]] = []
        self.own: list[Noted] = []
        self.payloads = 0
        self.last_at = ""

    def add(self, index: int, leaf: Mapping[str, Any]) -> None:
        """Take one record by itself (a stretch of one)."""
        scan = RecordScan()
        scan.add(index, leaf)
        summary = scan.summary()
        self.merge(summary, [index] if self.overlaps(summary) else [])

    def overlaps(self, summary: Summary) -> dict[tuple[str, str], Runs]:
        """Numbers of the next stretch that stand in an earlier one already, per writer and start."""
        found = {}
        for key, runs in summary.runs.items():
            if key in self._runs and (shared := overlap(self._runs[key], runs)):
                found[key] = shared
        return found

    def merge(self, summary: Summary, doubled: Iterable[int] = ()) -> None:
        """Take the next stretch; ``doubled``: its records whose numbers are among the overlaps."""
        self._doubled += sorted({*summary.doubled, *doubled})
        for key, runs in summary.runs.items():
            self._runs[key] = join(self._runs.get(key, []), runs)
        for request, count in summary.closed.items():
            self._close(request, count)
        for request, opened in summary.opened.items():
            self._open.setdefault(request, []).extend(opened)
        self._merge_canaries(summary)
        self._merge_times(summary)
        self.payloads += summary.payloads
        self.last_at = summary.last_at or self.last_at

    def _close(self, request: str, count: int) -> None:
        if opened := self._open.get(request):
            del opened[-count:]
            if not opened:
                del self._open[request]

    def _merge_canaries(self, summary: Summary) -> None:
        for key in [key for key in self._waiting if key in summary.templates]:
            for canary in self._waiting.pop(key):
                canary.answered = summary.templates[key]
        for noted in summary.noted:
            if noted.type != CANARY:
                continue
            canary = Canary(noted.index, str(noted.leaf.get("project")), noted.text("template_sha256"))
            canary.due, canary.answered = noted.text("due"), summary.answered.get(noted.index)
            self._canaries.append(canary)
            if canary.answered is None:
                self._waiting.setdefault((canary.project, canary.template), []).append(canary)

    def _merge_times(self, summary: Summary) -> None:
        back = list(summary.back)
        if self.last_at and summary.first_at and summary.first_at < self.last_at:
            back.insert(0, (summary.first_index, self.last_at, summary.first_at))
        recorded = {noted.index for noted in summary.noted if noted.type == OwnEvent.CLOCK_JUMPED}
        for index, before, at in back:
            if index not in recorded:
                self._went_back(index, before, at)
        for noted in summary.noted:
            # the record before the first of a stretch stands in the stretch before
            self._life.take(noted, noted.before or self.last_at)
            if noted.type in KEPT:
                self.own.append(noted)

    def _went_back(self, index: int, before: str, at: str) -> None:
        seconds = seconds_between(at, before)
        if seconds is not None and seconds > CLOCK_SECONDS:
            self._back.append((index, f"The clock went back {say_duration(seconds)} before this record."))

    def report(self, report: Report, *, pruned: bool = False) -> None:
        """Write what was found into the report; after pruning, numbers below the first one seen are not expected."""
        question = Question.COMPLETENESS
        for index in self._doubled:
            report.problem(question, "Another record carries the same writer, start and number.", entry=index)
        self._report_canaries(report)
        for (writer, boot), runs in sorted(self._runs.items()):
            missing, first = gaps(runs, runs[0][0] if pruned else 1)
            if missing:
                report.notice(question, f"{missing} number(s) missing from {writer} (start {boot}) from {first} on.")
        for index, at in sorted(item for opened in self._open.values() for item in opened):
            age = seconds_between(at, self.last_at)
            if age is None or age > RUNNING_SECONDS:
                report.notice(question, "Open intent: no outcome was recorded for this query.", index)
        for index, sentence in sorted(self._back + self._life.finish(self.last_at)):
            report.notice(question, sentence, index)

    def _report_canaries(self, report: Report) -> None:
        newest = parse_at(self.last_at)
        for canary in self._canaries:
            due = parse_at(canary.due)
            if due is None:
                report.notice(Question.COMPLETENESS, "This canary query has no readable due time.", canary.index)
                continue
            answered = None if canary.answered is None else parse_at(canary.answered[1])
            if answered is not None and answered <= due + CANARY_GRACE:
                continue
            if newest is None or newest <= due + CANARY_GRACE:
                continue
            what = "has no query" if canary.answered is None else f"has its query too late (entry {canary.answered[0]})"
            report.problem(
                Question.COMPLETENESS,
                f"The canary query due {canary.due} in project {canary.project} {what}: a query was not recorded.",
                entry=canary.index,
            )


class DaemonLife:
    """Starts, stops and heartbeats of the log's daemon, in order."""

    def __init__(self) -> None:
        self._running = False
        self._beat = ""
        self._interval: int | None = None
        self._ended = ""
        self._notices: list[tuple[int, str]] = []
        self._last_index = 0

    def take(self, noted: Noted, before: str) -> None:
        """Take the log's next record about itself; ``before``: the time of the record before it."""
        self._last_index = noted.index
        match noted.type:
            case OwnEvent.STARTED:
                self._started(noted, before)
            case OwnEvent.HEARTBEAT:
                self._interval = noted.count("seconds") or self._interval
                self._hear(noted.index, noted.at)
            case OwnEvent.STOPPED:
                self._hear(noted.index, noted.at)
                self._running, self._ended = False, noted.at
            case OwnEvent.CLOCK_JUMPED:
                seconds = noted.count("seconds") or 0
                self._notices.append((noted.index, f"The log recorded that its clock went back {seconds} s."))
                self._beat = noted.at

    def _started(self, noted: Noted, before: str) -> None:
        if self._running and before:
            self._hear(noted.index, before)
        ended = before if self._running else self._ended
        away = seconds_between(ended, noted.at) if ended else None
        if away is not None:
            how = "after it was not stopped properly" if self._running else "after a stop"
            sentence = f"The log's daemon started again {how}; it was away for {say_duration(away)}."
            self._notices.append((noted.index, sentence))
        self._running, self._beat, self._interval = True, noted.at, None

    def _hear(self, index: int, at: str) -> None:
        silence = seconds_between(self._beat, at) if self._beat else None
        if silence is not None and self._interval and silence > SILENT_INTERVALS * self._interval:
            sentence = (
                f"No heartbeat for {say_duration(silence)} before this record, expected every {self._interval} s."
            )
            self._notices.append((index, sentence))
        self._beat = at

    def finish(self, last_at: str) -> list[tuple[int, str]]:
        """All notices, with a silence up to the newest record."""
        if self._running and last_at:
            self._hear(self._last_index, last_at)
        return self._notices


def join(runs: Runs, more: Runs) -> Runs:
    """Both as ascending runs that neither touch nor overlap."""
    merged = sorted(runs + more) if runs and more and more[0][0] <= runs[-1][1] else runs + more
    joined: Runs = merged[:1]
    for first, last in merged[1:]:
        if first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def overlap(runs: Runs, more: Runs) -> Runs:
    """The numbers that stand in both."""
    found: Runs = []
    for first, last in more:
        at = max(0, bisect_left(runs, (first, first)) - 1)
        while at < len(runs) and runs[at][0] <= last:
            low, high = max(first, runs[at][0]), min(last, runs[at][1])
            if low <= high:
                found.append((low, high))
            at += 1
    return found


def gaps(runs: Runs, first: int) -> tuple[int, int]:
    """How many numbers from ``first`` up to the greatest are missing, and the first of them."""
    missing, begin, following = 0, 0, first
    for low, high in runs:
        if low > following:
            begin = begin if missing else following
            missing += low - following
        following = max(following, high + 1)
    return missing, begin
