"""Ordering a test query: the order and its latest time are recorded now; the moment itself is drawn by lot."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.domain.projects import ProjectState
from enclave.gateway.canary import canary_template, new_canary
from enclave.portal.models import Job, JobKind, Project, User
from enclave.portal.record import audited_change

WITHIN: dict[str, timedelta] = {
    "now": timedelta(0),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
}


def order_canary(auditor: User, project_id: str, within: str) -> datetime:
    """Record the order and queue the query; returns by when it must have run. Raises RefusedError, recorded."""
    with audited_change(auditor, project=project_id) as change:
        project = Project.objects.filter(pk=project_id).first()
        if project is None or project.project_state is not ProjectState.ACTIVE:
            raise RefusedError("A test query needs an active project. Choose one from the list.")
        now = datetime.now(UTC)
        due = now + WITHIN[within]
        sql = new_canary()
        change.record(
            EventType.CANARY_SCHEDULED,
            subject=f"canary:{secrets.token_hex(8)}",
            decision="allow",
            data={
                "template_sha256": canary_template(sql),
                "due": due.isoformat(timespec="seconds").replace("+00:00", "Z"),
                "by": auditor.person_id,
            },
        )
        payload = {"project": project.pk, "person": auditor.person_id, "sql": sql}
        Job.objects.create(
            kind=JobKind.SEND_CANARY, payload=payload, not_before=now + WITHIN[within] * secrets.SystemRandom().random()
        )
    return due
