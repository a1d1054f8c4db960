"""Reviewers approve, reject or send back. The second valid approval makes the request ``approved`` and queues its
release; one rejection or return ends it, and approvals given before are void.

The row is locked (``select_for_update``; on SQLite the transaction holds the write lock from its start), so two
approvals at the same moment are two approvals one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.utils import timezone

from egress_review.actions.recorded import REFUSED, check_state, held_snapshot_sha256, locked, plain_words
from egress_review.actions.void import CHANGED, void
from egress_review.domain.rules import (
    RequestFacts,
    Verdict,
    decide_decision,
    decide_review,
    has_quorum,
    is_stale,
    valid_approvers,
)
from egress_review.domain.states import Verb, decide_transition, next_state
from egress_review.models import OutputRequest, Review
from enclave.domain.decisions import check
from enclave.domain.events import EventType
from enclave.portal.models import Job, JobKind, User
from enclave.portal.record import AuditedChange, audited_change
from enclave.portal.rules import StateConflictError


@dataclass(frozen=True)
class _Given:
    """One reviewer's decision as it came in."""

    verb: Verb
    verdict: Verdict
    event: EventType
    seen_sha256: str
    comment: str


def approve(user: User, request: OutputRequest, comment: str, seen_sha256: str) -> OutputRequest:
    """Approve the snapshot ``seen_sha256`` (what the page showed).

    Raises RefusedError (who), StateConflictError (when; other bytes; the request is void if the vault's bytes changed).
    """
    given = _Given(Verb.APPROVE, Verdict.APPROVE, EventType.OUTPUT_REQUEST_APPROVED, seen_sha256, comment)
    return _decide(user, request, given)


def reject(user: User, request: OutputRequest, comment: str) -> OutputRequest:
    """Reject; one rejection ends the request. ``comment`` says why. Raises as ``approve``."""
    return _end(user, request, Verb.REJECT, Verdict.REJECT, EventType.OUTPUT_REQUEST_REJECTED, comment)


def send_back(user: User, request: OutputRequest, comment: str) -> OutputRequest:
    """Ask for changes: the requester makes the next version. ``comment`` says what to change. Raises as ``approve``."""
    return _end(user, request, Verb.RETURN, Verdict.RETURN, EventType.OUTPUT_REQUEST_RETURNED, comment)


def _end(
    user: User, request: OutputRequest, verb: Verb, verdict: Verdict, event: EventType, comment: str
) -> OutputRequest:
    return _decide(user, request, _Given(verb, verdict, event, request.snapshot_sha256, comment))


def _decide(user: User, request: OutputRequest, given: _Given) -> OutputRequest:
    given = replace(given, comment=plain_words(given.comment))
    with audited_change(user, project=request.project_id, subject=request.pk, refusal=REFUSED) as change:
        row = locked(request.pk)
        facts = row.as_facts()
        check_state(decide_transition(given.verb, facts.state))
        check(decide_decision(given.verb, user.as_person(), facts))
        intact = given.verb is not Verb.APPROVE or held_snapshot_sha256(row) == facts.snapshot_sha256
        if not intact:
            void(change, row, CHANGED)
        else:
            _check_given(user, facts, given)
            _keep(change, user, row, given)
    if not intact:
        raise StateConflictError(CHANGED)
    return row


def _check_given(user: User, facts: RequestFacts, given: _Given) -> None:
    decision = decide_review(given.verb, user.as_person(), facts, given.seen_sha256, given.comment)
    if is_stale(decision):
        check_state(decision)
    check(decision)


def _keep(change: AuditedChange, user: User, row: OutputRequest, given: _Given) -> None:
    before = row.as_facts()
    void = {} if given.verdict is Verdict.APPROVE else {"void_approvals_by": sorted(valid_approvers(before))}
    change.record(
        given.event,
        subject=row.pk,
        decision="allow" if given.verdict is Verdict.APPROVE else "deny",
        policies=("two-distinct-reviewers", f"output-request-{given.verb}"),
        counts={"approvals_before": len(valid_approvers(before))},
        data={"snapshot_sha256": row.snapshot_sha256, "quarantined": before.is_quarantined, **void},
        payload={"comment": given.comment} if given.comment else None,
    )
    Review.objects.create(
        request=row,
        reviewer=user,
        requester=row.requester,
        verdict=given.verdict.value,
        snapshot_sha256=row.snapshot_sha256,
        comment=given.comment,
    )
    row.state = next_state(given.verb, row.request_state).value
    if given.verb is not Verb.APPROVE:
        row.closed_at = timezone.now()
    elif has_quorum(row.as_facts()):
        row.state = next_state(Verb.REACH_QUORUM, row.request_state).value
        Job.objects.create(kind=JobKind.RELEASE, payload={"request": row.pk})
    row.save(update_fields=["state", "closed_at"])
