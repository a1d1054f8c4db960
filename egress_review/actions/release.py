"""The runner releases an approved request: every condition is asked again, then record, receipt, commit.

Idempotent: a request that is released stays as it is, so the runner may repeat the job after a crash. If a condition no
longer holds the request becomes void (recorded) and the job fails with the sentences.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from audit.client import AuditRefused, AuditUnavailable
from egress_review.actions.recorded import REFUSED, check_state, held_snapshot_sha256, locked
from egress_review.actions.submit import approved_permit
from egress_review.actions.void import void
from egress_review.checks_version import checks_sha256
from egress_review.domain.rules import (
    JUSTIFICATION_CHARACTERS,
    REVIEWER_ROLES,
    ReleaseConditions,
    Verdict,
    decide_release,
    valid_approvers,
)
from egress_review.domain.sentences import Sentence
from egress_review.domain.states import RequestState, Verb, decide_transition, next_state
from egress_review.models import OutputRequest, Review
from egress_review.receipt import DisclosureControl, Receipt, ReceiptReview, approvals_of, findings_of, issue
from enclave.domain.decisions import Deny, RefusedError
from enclave.domain.events import EventType
from enclave.domain.ids import PersonId
from enclave.keys import receipt_private_key
from enclave.portal.record import AuditedChange, audited_change
from enclave.settings import Settings

ACTOR = "system:runner"
AUDIT_ATTEMPTS = 10
"""Each attempt waits some seconds for its record by itself; then the job fails and the request stays approved."""


def release(request_id: str) -> OutputRequest:
    """Release one approved output request. Raises RefusedError or StateConflictError, both recorded."""
    with audited_change(ACTOR, subject=request_id, refusal=REFUSED) as change:
        row = locked(request_id)
        if row.request_state is RequestState.RELEASED:
            return row
        change.project = row.project_id
        check_state(decide_transition(Verb.RELEASE, row.request_state))
        decision = decide_release(row.as_facts(), _conditions(row))
        if isinstance(decision, Deny):
            void(change, row, *decision.reasons)
        else:
            _release(change, row)
    if isinstance(decision, Deny):
        raise RefusedError(*decision.reasons)
    return row


def _conditions(row: OutputRequest) -> ReleaseConditions:
    reviewers = [review.reviewer.as_person() for review in row.reviews.select_related("reviewer")]
    return ReleaseConditions(
        held_sha256=held_snapshot_sha256(row),
        today=datetime.now(UTC).date(),
        permit_expires_on=row.project.expires_on,
        is_requester_active=row.requester.is_active,
        still_reviewers=frozenset(p.id for p in reviewers if p.active and p.roles & REVIEWER_ROLES),
    )


def _release(change: AuditedChange, row: OutputRequest) -> None:
    files = row.snapshot_files()
    approvers = valid_approvers(row.as_facts())
    control = _disclosure_control(row)
    recorded = change.record(
        EventType.OUTPUT_REQUEST_RELEASED,
        subject=row.pk,
        decision="allow",
        policies=("two-approvals", "bytes-approved-are-bytes-released"),
        counts={"files": len(files), "bytes": sum(file.bytes for file in files), "approvals": len(approvers)},
        data={
            "snapshot_sha256": row.snapshot_sha256,
            "files_sha256": [file.sha256 for file in files],
            "permit_sha256": row.permit_sha256,
            "approved_by": sorted(approvers),
            "requester": row.requester.person_id,
        },
    )
    row.receipt = _receipt(row, approvers, recorded.index, control)
    row.state = next_state(Verb.RELEASE, row.request_state).value
    row.closed_at = timezone.now()
    row.save(update_fields=["receipt", "state", "closed_at"])


def _disclosure_control(row: OutputRequest) -> DisclosureControl:
    """The criteria of the permit the request was checked against. Raises RefusedError when that cannot be read."""
    permit = approved_permit(row.project)
    if permit.sha256 != row.permit_sha256:
        raise RefusedError(
            Sentence("The project's data permit is not the one that was approved, so nothing can be released.")
        )
    return DisclosureControl(
        permit_sha256=permit.sha256,
        minimum_count=permit.outputs.minimum_count,
        file_types=permit.outputs.file_types,
        maximum_bytes=permit.outputs.maximum_bytes,
        maximum_files=permit.outputs.maximum_files,
        quarantined=row.as_facts().is_quarantined,
        findings=findings_of(row.all_findings()),
        reviews=tuple(_review(review) for review in row.reviews.select_related("reviewer")),
        checks_at_release_sha256=checks_sha256(),
    )


def _review(review: Review) -> ReceiptReview:
    justified = len(review.comment.strip()) >= JUSTIFICATION_CHARACTERS
    at = review.decided_at.isoformat(timespec="seconds")
    return ReceiptReview(review.reviewer.person_id, at, review.verdict, justified)


def _receipt(row: OutputRequest, approvers: frozenset[PersonId], log_index: int, control: DisclosureControl) -> str:
    reviews = row.reviews.select_related("reviewer").filter(verdict=Verdict.APPROVE.value)
    approvals = [(r.reviewer.person_id, r.decided_at) for r in reviews if r.reviewer.person_id in approvers]
    content = Receipt(
        request=row.pk,
        project=row.project_id,
        requester=row.requester.person_id,
        files=row.snapshot_files(),
        snapshot_sha256=row.snapshot_sha256,
        approvals=approvals_of(approvals),
        permit_sha256=row.permit_sha256,
        log_origin=settings.ENCLAVE.log_origin,
        log_index=log_index,
        issued_at=int(datetime.now(UTC).timestamp()),
        disclosure_control=control,
    )
    return issue(receipt_private_key(settings.ENCLAVE), content)


def run_job(enclave: Settings, job: dict[str, Any]) -> None:
    """The runner's handler of ``release`` jobs: ``{"request": id}``. Waits for an audit log that is being restarted."""
    for _attempt in range(AUDIT_ATTEMPTS - 1):
        try:
            release(str(job["request"]))
        except AuditRefused:
            raise
        except AuditUnavailable:
            time.sleep(1)
        else:
            return
    release(str(job["request"]))
