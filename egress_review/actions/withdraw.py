"""The requester takes an output request back while reviewers have not finished."""

from __future__ import annotations

from django.utils import timezone

from egress_review.actions.recorded import REFUSED, check_state, locked
from egress_review.domain.rules import decide_withdraw
from egress_review.domain.states import Verb, decide_transition, next_state
from egress_review.models import OutputRequest
from enclave.domain.decisions import check
from enclave.domain.events import EventType
from enclave.portal.models import User
from enclave.portal.record import audited_change


def withdraw(user: User, request: OutputRequest) -> OutputRequest:
    """Raises StateConflictError when it is too late, RefusedError for anybody but the requester."""
    with audited_change(user, project=request.project_id, subject=request.pk, refusal=REFUSED) as change:
        row = locked(request.pk)
        facts = row.as_facts()
        check_state(decide_transition(Verb.WITHDRAW, facts.state))
        check(decide_withdraw(user.as_person(), facts))
        change.record(EventType.OUTPUT_REQUEST_WITHDRAWN, subject=row.pk, decision="allow")
        row.state = next_state(Verb.WITHDRAW, row.request_state).value
        row.closed_at = timezone.now()
        row.save(update_fields=["state", "closed_at"])
    return row
