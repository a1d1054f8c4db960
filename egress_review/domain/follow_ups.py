"""What changed from one version of an output request to the next: its files and its findings. Pure, no bytes.

A file is unchanged when its SHA-256 is that of a file of the earlier version, whatever its name. A finding is at the
same place only when check, severity, sentence and place are the same: one whose place moved counts as gone and as new,
because calling a new finding an old one would be the dangerous mistake. In a changed file it may be about another
value; the lines that differ show that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum

from egress_review.domain.findings import Finding
from egress_review.domain.snapshots import SnapshotFile


class Change(StrEnum):
    """What happened to a file since the earlier version."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"


class Standing(StrEnum):
    """What happened to a finding since the earlier version."""

    NEW = "new"
    SAME = "at-the-same-place"
    GONE = "gone"


@dataclass(frozen=True)
class FileChange:
    """``before`` is the file of the earlier version that is compared, ``after`` that of this one; one may be None."""

    change: Change
    before: SnapshotFile | None
    after: SnapshotFile | None


@dataclass(frozen=True)
class ComparedFinding(Finding):
    """A finding that knows whether the earlier version had it."""

    standing: Standing = Standing.NEW


def compare_files(before: Sequence[SnapshotFile], after: Sequence[SnapshotFile]) -> tuple[FileChange, ...]:
    """One entry for each file of ``after``, in its order, then one for each file of ``before`` that is gone."""
    by_name = {file.name: file for file in before}
    by_hash = {file.sha256: file for file in reversed(before)}
    found = []
    for file in after:
        named = by_name.get(file.name)
        same = named if named and named.sha256 == file.sha256 else by_hash.get(file.sha256)
        change = Change.UNCHANGED if same else Change.CHANGED if named else Change.ADDED
        found.append(FileChange(change, same or named, file))
    kept = {change.before.name for change in found if change.before}
    return (*found, *(FileChange(Change.REMOVED, file, None) for file in before if file.name not in kept))


def compare_findings(
    before: Iterable[Finding], after: Iterable[Finding], changes: Iterable[FileChange]
) -> tuple[ComparedFinding, ...]:
    """The findings of ``after`` as new or same, then those of ``before`` that are gone, under their file's old name."""
    names = {pair.after.name: pair.before.name for pair in changes if pair.before and pair.after}
    known = Counter(before)
    found = []
    for finding in after:
        then = replace(finding, file=names.get(finding.file, ""))
        standing = Standing.SAME if known[then] else Standing.NEW
        known[then] -= 1
        found.append(_compared(finding, standing))
    return (*found, *(_compared(finding, Standing.GONE) for finding in (+known).elements()))


def count_by_standing(findings: Iterable[ComparedFinding]) -> Mapping[str, int]:
    """Every standing, also those with none."""
    counts = dict.fromkeys((standing.value for standing in Standing), 0)
    for finding in findings:
        counts[finding.standing] += 1
    return counts


def _compared(finding: Finding, standing: Standing) -> ComparedFinding:
    return ComparedFinding(**{f.name: getattr(finding, f.name) for f in fields(Finding)}, standing=standing)
