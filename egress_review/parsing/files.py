"""What the rest of the package asks: findings of a file, a file as rows and lines, a picture as a PNG of our own.

Fail closed: a file whose reading meets a limit, dies or answers nonsense has a blocking finding ``unreadable`` that
says so. Each file is read by a process of its own, so none can alter the findings of another. One that takes its
reader over can keep quiet about itself, and nothing else: what needs no parser (type, size, archive, first bytes, a
pseudonym in plain sight) is looked at here as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from math import ceil
from pathlib import PurePosixPath
from typing import Any

import structlog

from egress_review.domain.differences import Differences
from egress_review.domain.findings import Finding, Severity
from egress_review.domain.sentences import Sentence
from egress_review.domain.snapshots import SnapshotFile
from egress_review.parsing.answers import (
    NonsenseError,
    as_png,
    read_differences,
    read_findings,
    read_pixels,
    read_rendered,
    versions_as_bytes,
)
from egress_review.parsing.helper import End, Helper, Unanswered
from egress_review.parsing.limits import PIXEL_BYTES, SVG_BYTES, ReadingLimits
from egress_review.parsing.rendering import SVG, Rendered, ShownFile, as_shown
from egress_review.sdc import check_unparsed, in_order, with_pseudonyms
from enclave.domain.decisions import RefusedError
from enclave.domain.manifest import Manifest
from enclave.domain.permits import OutputRules
from enclave.sandbox import SandboxError

_log = structlog.get_logger()
_NO_SANDBOX = Sentence(
    "No sandbox can be made on this machine, so no file is read and nothing can be asked for. Tell the administrator: "
    "`enclave doctor` says what is missing."
)
_NONSENSE = Sentence(
    "What the program that reads files said of this one is not believed. Look at all of it yourself, and tell the "
    "administrator."
)
_NO_TIME = Sentence("The other files took all the time there is, so this one was not read. Ask for fewer at once.")


class FileReader:
    """The files of one request, one after the other. ``clock`` in seconds."""

    def __init__(self, helper: Helper, limits: ReadingLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._helper, self._limits, self._clock = helper, limits, clock
        self._ends_at = clock() + limits.request_seconds

    def check(self, name: str, content: bytes, rules: OutputRules, manifest: Manifest | None) -> tuple[Finding, ...]:
        """All findings, the severest first. Raises RefusedError when nothing can be read on this machine."""
        plain = check_unparsed(name, content, rules)
        task = {
            "do": "check",
            "rules": asdict(rules),
            "manifest": manifest.model_dump(mode="json") if manifest else None,
        }
        tables = frozenset(table.name for table in manifest.tables) if manifest else frozenset()
        answer = self._ask(task, name, content)
        if not isinstance(answer, Sentence):
            try:
                found = read_findings(answer, name, tables)
                return tuple(with_pseudonyms(name, content, in_order([*plain, *found])))
            except NonsenseError:
                answer = _not_believed("check")
        return tuple(with_pseudonyms(name, content, in_order([*plain, _unreadable(name, answer)])))

    def check_all(
        self, files: Mapping[str, bytes], rules: OutputRules, manifest: Manifest | None
    ) -> tuple[Finding, ...]:
        """File by file in the order given."""
        return tuple(f for name, content in files.items() for f in self.check(name, content, rules, manifest))

    def show(self, position: int, file: SnapshotFile, content: bytes, findings: Iterable[Finding]) -> ShownFile:
        """For the review page. Never raises: what cannot be shown says why, among its findings."""
        mine = [finding for finding in findings if finding.file == file.name]
        task = {"do": "render", "findings": [[f.severity, *asdict(f.location).values()] for f in mine]}
        try:
            answer = self._ask(task, file.name, content)
            if not isinstance(answer, Sentence):
                return as_shown(position, file, read_rendered(answer), mine)
        except NonsenseError:
            answer = _not_believed("render")
        except RefusedError:
            answer = _NO_SANDBOX
        return not_shown(position, file, mine, answer)

    def compare(self, name: str, before: bytes, after: bytes) -> Differences:
        """Lines that differ between two versions of a file. Never raises: where there are none, a note says why."""
        try:
            answer = self._ask({"do": "compare"}, name, versions_as_bytes(before, after))
            return Differences(note=answer) if isinstance(answer, Sentence) else read_differences(answer)
        except NonsenseError:
            return Differences(note=_not_believed("compare"))
        except RefusedError:
            return Differences(note=_NO_SANDBOX)

    def picture(self, name: str, content: bytes) -> bytes | None:
        """A PNG or JPEG file as a PNG of ours; None when there is nothing to show. Raises RefusedError."""
        return self._picture({"do": "picture"}, name, content, PIXEL_BYTES)

    def notebook_picture(self, name: str, content: bytes, cell: int, output: int, mime: str) -> bytes | None:
        """A picture among a notebook's outputs: its text for SVG, else a PNG of ours. Raises RefusedError."""
        task = {"do": "notebook-picture", "cell": cell, "output": output, "mime": mime}
        return self._picture(task, name, content, SVG_BYTES if mime == SVG else PIXEL_BYTES)

    def _picture(self, task: dict[str, Any], name: str, content: bytes, most: int) -> bytes | None:
        answer = self._ask(task, name, content, most)
        if isinstance(answer, Sentence) or not answer:
            return None
        if task.get("mime") == SVG:
            return answer
        try:
            return as_png(read_pixels(answer))
        except NonsenseError:
            _not_believed("picture")
            return None

    def _ask(self, task: dict[str, Any], name: str, content: bytes, most: int | None = None) -> bytes | Sentence:
        """Its answer, or why there is none. The reader learns the kind of the file, not its name."""
        left = self._ends_at - self._clock()
        if left <= 0:
            return _NO_TIME
        limits = replace(self._limits, seconds=min(self._limits.seconds, left))
        given = {**task, "name": f"file{PurePosixPath(name).suffix.lower()}"}
        try:
            answer = self._helper.ask(given, content, limits, most or limits.answer_bytes)
        except SandboxError as error:
            _log.error("files-cannot-be-read", kind=type(error).__name__)
            raise RefusedError(_NO_SANDBOX) from error
        if isinstance(answer, Unanswered):
            _log.warning("file-not-read", end=answer.end, bytes=len(content))
            return _why(answer.end, limits, most or limits.answer_bytes)
        return answer


def not_shown(position: int, file: SnapshotFile, findings: Iterable[Finding], why: Sentence) -> ShownFile:
    """A file of the review page that could not be rendered."""
    said = dict.fromkeys((_unreadable(file.name, why), *findings))  # the checks may have met the same limit
    return as_shown(position, file, Rendered("other"), said)


def _unreadable(name: str, why: Sentence) -> Finding:
    return Finding("unreadable", Severity.BLOCKING, name, why)


def _not_believed(task: str) -> Sentence:
    _log.error("answer-not-believed", task=task)
    return _NONSENSE


def _why(end: End, limits: ReadingLimits, most: int) -> Sentence:
    match end:
        case End.SECONDS:
            return Sentence(
                "Reading this file took more than %(limit)s seconds and was stopped. Split it, or make it simpler.",
                limit=ceil(limits.seconds),
            )
        case End.PROCESSOR:
            return Sentence(
                "Reading this file took more than %(limit)s seconds of the processor and was stopped. Split it, or "
                "make it simpler.",
                limit=limits.processor_seconds,
            )
        case End.MEMORY:
            return Sentence(
                "Reading this file took more than %(limit)s MB of memory and was stopped. Split it, or make it "
                "simpler.",
                limit=limits.memory_mb,
            )
        case End.SIZE:
            return Sentence(
                "Reading this file gave more than the %(limit)s bytes that are taken. Split it, or make it simpler.",
                limit=most,
            )
        case End.DIED:
            return Sentence("The program that reads files ended in the middle of this one. Look at all of it yourself.")
