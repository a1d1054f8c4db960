"""Rows of the lists: what waits for this reviewer, what this researcher asked for, what happened (for auditors).

Each list costs a fixed number of queries.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count

from egress_review.actions.submit import submit_facts
from egress_review.domain.findings import Severity
from egress_review.domain.rules import REVIEWER_ROLES, can_submit
from egress_review.domain.states import OPEN_STATES
from egress_review.models import OutputFile, OutputFinding, OutputRequest, Review
from enclave.portal.models import Membership, Project, User

LISTED = 200
_OPEN = [state.value for state in OPEN_STATES]


@dataclass(frozen=True)
class ListedRequest:
    """One row. ``is_mine_missing``: this reviewer has not decided yet."""

    request: OutputRequest
    files: int
    blocking: int
    warnings: int
    approvals: int
    is_mine_missing: bool


def review_queue(user: User) -> list[ListedRequest]:
    """Open requests of others, oldest first: who waits longest comes first. Empty for people who do not review."""
    if not user.role_set & REVIEWER_ROLES:
        return []
    rows = OutputRequest.objects.filter(state__in=_OPEN).exclude(requester=user).order_by("submitted_at")
    return _listed(rows.select_related("project", "requester")[:LISTED], user)


def reviewed_lately(user: User) -> list[ListedRequest]:
    """Closed requests of others, newest first."""
    if not user.role_set & REVIEWER_ROLES:
        return []
    rows = OutputRequest.objects.exclude(state__in=_OPEN).exclude(requester=user)
    return _listed(rows.select_related("project", "requester")[:50], user)


def own_requests(user: User) -> list[ListedRequest]:
    """What ``user`` asked for, newest first."""
    rows = OutputRequest.objects.filter(requester=user).select_related("project", "requester")
    return _listed(rows[:LISTED], user)


def all_requests(user: User) -> list[ListedRequest]:
    """Every request, newest first, for auditors."""
    return _listed(OutputRequest.objects.select_related("project", "requester")[:LISTED], user)


def projects_to_submit_from(user: User) -> list[Project]:
    """Projects in which ``user`` may ask for a release now."""
    person = user.as_person()
    memberships = Membership.objects.filter(user=user).select_related("project").order_by("project_id")
    projects = [membership.project for membership in memberships]
    return [project for project in projects if can_submit(person, submit_facts(user, project))]


def _listed(rows: Iterable[OutputRequest], user: User) -> list[ListedRequest]:
    requests = list(rows)
    ids = [request.pk for request in requests]
    severities: dict[str, Counter[str]] = defaultdict(Counter)
    counted = OutputFinding.objects.filter(request__in=ids).order_by().values("request_id", "severity")
    for row in counted.annotate(number=Count("pk")):
        severities[row["request_id"]][row["severity"]] = row["number"]
    files = Counter(OutputFile.objects.filter(request__in=ids).values_list("request_id", flat=True))
    reviews = list(Review.objects.filter(request__in=ids).values_list("request_id", "reviewer_id"))
    decided = Counter(request for request, _reviewer in reviews)
    mine = {request for request, reviewer in reviews if reviewer == user.pk}
    return [
        ListedRequest(
            request=request,
            files=files[request.pk],
            blocking=severities[request.pk][Severity.BLOCKING],
            warnings=severities[request.pk][Severity.WARNING],
            approvals=decided[request.pk],
            is_mine_missing=request.is_open and request.pk not in mine,
        )
        for request in requests
    ]
