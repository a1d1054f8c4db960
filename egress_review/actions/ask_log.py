"""What the audit log holds about the queries behind an output request, for its reviewers.

Reading the log is recorded before it is read (EHDS art. 73(1)(e)), with whom it was about and for which request.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from audit.alerts import AlertState, Status
from audit.index import IndexUnwritable
from audit.reader import LogUnreadable
from egress_review.actions.recorded import refusals_recorded
from egress_review.actions.submit import approved_permit
from egress_review.asked import find_asked
from egress_review.domain.asked import Asked
from egress_review.domain.visibility import Part, check_see
from egress_review.models import OutputRequest
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.portal.auditing.alerts import all_alerts
from enclave.portal.auditing.log import fresh_index
from enclave.portal.models import User
from enclave.portal.record import record

ABOUT_RESULTS = frozenset({"differencing", "near-threshold", "shifting-filters", "mass-extraction"})
"""Rules that speak of what was asked. Hours of work, refusals and accounts are the auditors' business."""


@dataclass(frozen=True)
class Background:
    """What was asked, and the alerts about it that nobody has settled yet, newest first."""

    asked: Asked
    alerts: tuple[AlertState, ...]


def read_background(user: User, request: OutputRequest) -> Background | None:
    """What the log says about the requester in this project; None when it cannot be searched now (the page says so).

    Raises RefusedError (recorded) for whoever may not see it.
    """
    person = request.requester.person_id
    with refusals_recorded(user, project=request.project_id, subject=request.pk):
        check_see(Part.QUERIES, user.as_person(), request.as_facts())
    record(
        EventType.AUDIT_READ,
        user,
        project=request.project_id,
        subject="log:queries",
        decision="allow",
        data={"persons": [person], "request": request.pk},
    )
    try:
        minimum = approved_permit(request.project).outputs.minimum_count
        index = fresh_index()
        asked = find_asked(index, person, request.project_id, request.submitted_at, minimum)
        alerts = tuple(alert for alert in all_alerts(index) if _concerns(alert, request, asked))
    except (LogUnreadable, IndexUnwritable, duckdb.Error, RefusedError):
        return None
    return Background(asked, alerts)


def _concerns(alert: AlertState, request: OutputRequest, asked: Asked) -> bool:
    return (
        alert.rule in ABOUT_RESULTS
        and alert.status is Status.OPEN
        and alert.actor == request.requester.person_id
        and alert.project in (request.project_id, None)
        and alert.raised_at >= asked.since
    )
