"""A reviewer says something about one file, or the place of one finding in it, before deciding."""

from __future__ import annotations

from egress_review.actions.recorded import REFUSED, check_state, locked, plain_words
from egress_review.domain.rules import decide_remark
from egress_review.domain.sentences import Sentence
from egress_review.domain.states import decide_open
from egress_review.models import OutputFile, OutputFinding, OutputRequest, Remark
from enclave.domain.decisions import RefusedError, check
from enclave.domain.events import EventType
from enclave.portal.models import User
from enclave.portal.record import audited_change


def remark(user: User, request: OutputRequest, position: int, text: str, finding_id: int | None = None) -> Remark:
    """Remark on the file at ``position`` (from 1). Raises RefusedError, or StateConflictError when it is too late."""
    text = plain_words(text)
    with audited_change(user, project=request.project_id, subject=request.pk, refusal=REFUSED) as change:
        row = locked(request.pk)
        facts = row.as_facts()
        check_state(decide_open(facts.state))
        given = row.remarks.filter(reviewer=user).count()
        check(decide_remark(user.as_person(), facts, text, given))
        file, finding = _place(row, position, finding_id)
        change.record(
            EventType.OUTPUT_REQUEST_REMARKED,
            subject=row.pk,
            decision="allow",
            policies=("output-request-remark",),
            counts={"remarks_before": given},
            data={"file_sha256": file.sha256, "snapshot_sha256": row.snapshot_sha256},
            payload={"file": file.name, "finding": finding.check_id if finding else "", "text": text},
        )
        return Remark.objects.create(
            request=row, file=file, finding=finding, reviewer=user, requester=row.requester, text=text
        )


def _place(row: OutputRequest, position: int, finding_id: int | None) -> tuple[OutputFile, OutputFinding | None]:
    file = row.files.filter(position=position).first()
    if file is None:
        raise RefusedError(Sentence("Expected a file of this output request, found no such number."))
    if finding_id is None:
        return file, None
    finding = row.findings.filter(pk=finding_id, file=file.name).first()
    if finding is None:
        raise RefusedError(Sentence("Expected a finding of this file, found none. Choose one that the page lists."))
    return file, finding
