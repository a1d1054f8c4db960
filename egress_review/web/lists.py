"""Rows of the lists: what waits for this reviewer, what this researcher asked for, what happened (for auditors).

Each list costs a fixed number of queries.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from django.db.models import Count, QuerySet

from egress_review.actions.submit import submit_facts
from egress_review.domain.findings import Severity
from egress_review.domain.rules import REVIEWER_ROLES, RequestFacts, ReviewFact, Verdict, can_submit, has_decided
from egress_review.domain.states import OPEN_STATES, RequestState
from egress_review.domain.visibility import shown_state
from egress_review.models import OutputFile, OutputFinding, OutputRequest, Review
from enclave.domain.ids import PersonId
from enclave.portal.models import Membership, Project, User

LISTED = 200
_OPEN = [state.value for state in OPEN_STATES]


@dataclass(frozen=True)
class ListedRequest:
    """One row; ``state`` as this person may know it. ``is_mine_missing``: this reviewer has not decided yet;
    ``is_change_awaited``: it was sent back to this requester, who has not made the next version."""

    request: OutputRequest
    state: RequestState
    files: int
    blocking: int
    warnings: int
    is_mine_missing: bool
    is_change_awaited: bool


def review_queue(user: User) -> list[ListedRequest]:
    """Open requests of others, oldest first: who waits longest comes first. Empty for people who do not review."""
    if not user.role_set & REVIEWER_ROLES:
        return []
    rows = OutputRequest.objects.filter(state__in=_OPEN).exclude(requester=user).order_by("submitted_at")
    return _listed(rows, user)


def reviewed_lately(user: User) -> list[ListedRequest]:
    """Closed requests of others, newest first."""
    if not user.role_set & REVIEWER_ROLES:
        return []
    rows = OutputRequest.objects.exclude(state__in=_OPEN).exclude(requester=user)
    return _listed(rows, user, limit=50)


def own_requests(user: User) -> list[ListedRequest]:
    """What ``user`` asked for, newest first."""
    rows = OutputRequest.objects.filter(requester=user)
    return _listed(rows, user)


def sent_back(user: User, project: Project) -> list[OutputRequest]:
    """What was sent back to ``user`` in ``project`` and has no next version yet, newest first."""
    rows = OutputRequest.objects.filter(requester=user, project=project, state=RequestState.RETURNED.value)
    return list(rows.filter(followed_by__isnull=True)[:20])


def all_requests(user: User) -> list[ListedRequest]:
    """Every request, newest first, for auditors."""
    return _listed(OutputRequest.objects.all(), user)


def projects_to_submit_from(user: User) -> list[Project]:
    """Projects in which ``user`` may ask for a release now."""
    person = user.as_person()
    memberships = Membership.objects.filter(user=user).select_related("project").order_by("project_id")
    projects = [membership.project for membership in memberships]
    return [project for project in projects if can_submit(person, submit_facts(user, project))]


def _listed(rows: QuerySet[OutputRequest], user: User, limit: int = LISTED) -> list[ListedRequest]:
    requests = list(rows.select_related("project", "requester", "followed_by")[:limit])
    ids = [request.pk for request in requests]
    severities: dict[str, Counter[str]] = defaultdict(Counter)
    counted = OutputFinding.objects.filter(request__in=ids).order_by().values("request_id", "severity")
    for row in counted.annotate(number=Count("pk")):
        severities[row["request_id"]][row["severity"]] = row["number"]
    files = Counter(OutputFile.objects.filter(request__in=ids).values_list("request_id", flat=True))
    person, reviews = user.as_person(), _reviews_of(ids)
    facts = {
        request.pk: RequestFacts(
            requester=PersonId(request.requester.person_id),
            state=request.request_state,
            snapshot_sha256=request.snapshot_sha256,
            is_quarantined=severities[request.pk][Severity.BLOCKING] > 0,
            reviews=tuple(reviews[request.pk]),
        )
        for request in requests
    }
    return [
        ListedRequest(
            request=request,
            state=shown_state(person, facts[request.pk]),
            files=files[request.pk],
            blocking=severities[request.pk][Severity.BLOCKING],
            warnings=severities[request.pk][Severity.WARNING],
            is_mine_missing=request.is_open and not has_decided(person, facts[request.pk]),
            is_change_awaited=request.request_state is RequestState.RETURNED
            and request.requester_id == user.pk
            and not request.is_followed,
        )
        for request in requests
    ]


def _reviews_of(ids: list[str]) -> defaultdict[str, list[ReviewFact]]:
    found: defaultdict[str, list[ReviewFact]] = defaultdict(list)
    rows = Review.objects.filter(request__in=ids).select_related("reviewer")
    for row in rows:
        fact = ReviewFact(PersonId(row.reviewer.person_id), Verdict(row.verdict), row.snapshot_sha256)
        found[row.request_id].append(fact)
    return found
