"""What changed since the version before: for reviewers with the lines that differ, for the requester without.

The bytes of the earlier version are shown again, so that is recorded again, before anything is shown. Bounded: no
comparison is begun after ``SECONDS``; what was not compared says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from egress_review.actions.look import record_viewed
from egress_review.actions.reading import REVIEWING, reading
from egress_review.actions.recorded import held_bytes, refusals_recorded
from egress_review.domain.differences import NOT_COMPARED, Differences, may_compare
from egress_review.domain.findings import Finding
from egress_review.domain.follow_ups import Change, ComparedFinding, FileChange, compare_files, compare_findings
from egress_review.domain.sentences import Sentence
from egress_review.domain.snapshots import SnapshotFile
from egress_review.domain.visibility import Part, check_see
from egress_review.models import OutputRequest
from egress_review.parsing.files import FileReader
from egress_review.parsing.turns import BusyError
from enclave.domain.decisions import RefusedError
from enclave.portal.models import User

SECONDS = 5.0
_TIME_IS_OVER = Sentence("Not compared line by line: comparing the files before this one took all the time there is.")
_NOT_HELD = Sentence("Not compared line by line: the vault no longer holds the earlier version of this file.")


@dataclass(frozen=True)
class Comparison:
    """``findings`` also holds those that are gone; ``lines`` is by the file's name now, for changed files only."""

    earlier: OutputRequest
    files: tuple[FileChange, ...]
    findings: tuple[ComparedFinding, ...]
    lines: Mapping[str, Differences]


def compare_with_earlier(row: OutputRequest, findings: Sequence[Finding]) -> Comparison | None:
    """Names, hashes and ``findings`` (those of ``row``) alone; None when ``row`` follows nothing."""
    if row.follows is None:
        return None
    files = compare_files(row.follows.snapshot_files(), row.snapshot_files())
    return Comparison(row.follows, files, compare_findings(row.follows.all_findings(), findings, files), {})


def compare_contents(
    user: User,
    row: OutputRequest,
    contents: Mapping[str, bytes],
    findings: Sequence[Finding],
    clock: Callable[[], float] = time.monotonic,
) -> Comparison | None:
    """With lines, for a reviewer; ``contents`` are the files of ``row`` by name. Raises RefusedError (recorded)."""
    found = compare_with_earlier(row, findings)
    if found is None:
        return None
    earlier = found.earlier
    with refusals_recorded(user, project=earlier.project_id, subject=earlier.pk):
        check_see(Part.FILES, user.as_person(), earlier.as_facts())
    before = {after.name: _held(user, earlier, old) for old, after in _worth_reading(found)}
    if read := [old for old, after in _worth_reading(found) if before[after.name] is not None]:
        record_viewed(user, earlier, read)
    try:
        with refusals_recorded(user, project=row.project_id, subject=row.pk), reading(user, REVIEWING) as reader:
            lines = dict(_lines(found, before, contents, reader, clock))
    except BusyError as busy:
        lines = {after.name: Differences(note=busy.sentence) for _before, after in _changed(found)}
    return Comparison(earlier, found.files, found.findings, lines)


def _held(user: User, earlier: OutputRequest, file: SnapshotFile) -> bytes | None:
    """None, on record, where the vault has lost it: the review goes on without the comparison."""
    try:
        with refusals_recorded(user, project=earlier.project_id, subject=earlier.pk):
            return held_bytes(file)
    except RefusedError:
        return None


def _worth_reading(found: Comparison) -> list[tuple[SnapshotFile, SnapshotFile]]:
    return [pair for pair in _changed(found) if may_compare(pair[1].name, pair[0].bytes, pair[1].bytes)]


def _changed(found: Comparison) -> Iterator[tuple[SnapshotFile, SnapshotFile]]:
    for pair in found.files:
        if pair.change is Change.CHANGED and pair.before and pair.after:
            yield pair.before, pair.after


def _lines(
    found: Comparison,
    before: Mapping[str, bytes | None],
    contents: Mapping[str, bytes],
    reader: FileReader,
    clock: Callable[[], float],
) -> Iterator[tuple[str, Differences]]:
    ends_at = clock() + SECONDS
    for _before, after in _changed(found):
        if after.name not in before:
            yield after.name, Differences(note=NOT_COMPARED)
        elif (old := before[after.name]) is None:
            yield after.name, Differences(note=_NOT_HELD)
        elif clock() > ends_at:
            yield after.name, Differences(note=_TIME_IS_OVER)
        else:
            yield after.name, reader.compare(after.name, old, contents[after.name])
