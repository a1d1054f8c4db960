"""What people said about an output request, and what changed since the version before, as values for the templates.

Who sees whose words is asked of ``domain.visibility`` for each of them; a template cannot show one on its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from egress_review.actions.compare import Comparison
from egress_review.domain.differences import Differences
from egress_review.domain.follow_ups import Change, ComparedFinding, FileChange, Standing, count_by_standing
from egress_review.domain.rules import RequestFacts, can_follow
from egress_review.domain.states import RequestState
from egress_review.domain.visibility import Part, can_read, shown_state
from egress_review.models import OutputRequest, Remark, Review
from enclave.domain.ids import PersonId, ProjectId
from enclave.domain.people import Person

LISTED_VERSIONS = 20


@dataclass(frozen=True)
class ListedVersion:
    """One version of the same request; ``state`` as this person may know it."""

    request: OutputRequest
    state: RequestState
    is_this: bool


@dataclass(frozen=True)
class ShownChange:
    """One file and what changed in it; ``remarks`` are those about it in the earlier version."""

    change: Change
    name: str
    position: int | None
    pair: FileChange
    findings: tuple[ComparedFinding, ...]
    standings: Mapping[str, int]
    remarks: tuple[Remark, ...]
    lines: Differences | None

    @property
    def gone(self) -> list[ComparedFinding]:
        """Findings that the earlier version had and this one has not."""
        return [finding for finding in self.findings if finding.standing is Standing.GONE]

    @property
    def present(self) -> list[ComparedFinding]:
        """Findings of this version."""
        return [finding for finding in self.findings if finding.standing is not Standing.GONE]


def readable_reviews(person: Person, row: OutputRequest, facts: RequestFacts) -> list[Review]:
    """Decisions that ``person`` may know of, oldest first."""
    rows = row.reviews.select_related("reviewer")
    return [review for review in rows if can_read(Part.REVIEWS, _author(review), person, facts)]


def readable_remarks(person: Person, row: OutputRequest, facts: RequestFacts) -> Mapping[str, tuple[Remark, ...]]:
    """Remarks that ``person`` may read, by the name of the file they are about."""
    found: defaultdict[str, list[Remark]] = defaultdict(list)
    for remark in row.remarks.select_related("reviewer", "file", "finding"):
        if can_read(Part.REMARKS, _author(remark), person, facts):
            found[remark.file.name].append(remark)
    return {name: tuple(remarks) for name, remarks in found.items()}


def _author(said: Review | Remark) -> PersonId:
    return PersonId(said.reviewer.person_id)


def listed_versions(person: Person, row: OutputRequest) -> list[ListedVersion]:
    """The latest versions, the first one first; empty for a request that is the only one."""
    latest = list(row.versions().select_related("requester").reverse()[:LISTED_VERSIONS])
    if len(latest) < 2:
        return []
    return [ListedVersion(version, _shown(person, version), version.pk == row.pk) for version in reversed(latest)]


def _shown(person: Person, row: OutputRequest) -> RequestState:
    return shown_state(person, row.as_facts()) if row.is_open else row.request_state


def what_changed(person: Person, found: Comparison | None) -> dict[str, Any]:
    """``since``: the earlier version and what was said about it; ``changes``: file by file. Empty for version 1."""
    if found is None:
        return {"since": None, "changes": []}
    earlier, facts = found.earlier, found.earlier.as_facts()
    remarks = readable_remarks(person, earlier, facts)
    said = {"request": earlier, "reviews": readable_reviews(person, earlier, facts)}
    return {"since": said, "changes": [_change(found, pair, n, remarks) for n, pair in enumerate(found.files, start=1)]}


def _change(found: Comparison, pair: FileChange, position: int, remarks: Mapping[str, Sequence[Remark]]) -> ShownChange:
    now, then = pair.after.name if pair.after else "", pair.before.name if pair.before else ""
    findings = tuple(finding for finding in found.findings if _is_about(finding, now, then))
    return ShownChange(
        change=pair.change,
        name=now or then,
        position=position if pair.after else None,
        pair=pair,
        findings=findings,
        standings=count_by_standing(findings),
        remarks=tuple(remarks.get(then, ())),
        lines=found.lines.get(now),
    )


def _is_about(finding: ComparedFinding, now: str, then: str) -> bool:
    """What is gone bears the name that its file had then."""
    return finding.file == (then if finding.standing is Standing.GONE else now)


def may_be_followed(person: Person, row: OutputRequest) -> bool:
    """May ``person`` make the next version now?"""
    return can_follow(person, ProjectId(row.project_id), row.as_followed())
