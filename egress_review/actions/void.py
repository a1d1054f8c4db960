"""An output request becomes void when its bytes or a condition of its release no longer hold: no approval counts."""

from __future__ import annotations

from django.utils import timezone

from egress_review.actions.recorded import REFUSED, open_reason
from egress_review.domain.sentences import Sentence
from egress_review.domain.states import Verb, next_state
from egress_review.models import OutputRequest, stored_sentence
from enclave.portal.record import AuditedChange

CHANGED = Sentence(
    "The files held are not those that were submitted, so all approvals are void. Make a new output request."
)


def void(change: AuditedChange, row: OutputRequest, *reasons: str) -> None:
    """Record the refusal and set the state, inside the caller's transaction."""
    change.record(
        REFUSED,
        subject=row.pk,
        decision="deny",
        policies=("bytes-approved-are-bytes-released",),
        data={"reasons": [open_reason(reason) for reason in reasons], "voided": True},
    )
    row.state = next_state(Verb.VOID, row.request_state).value
    row.closing_reasons = [stored_sentence(reason) for reason in reasons]
    row.closed_at = timezone.now()
    row.save(update_fields=["state", "closing_reasons", "closed_at"])
