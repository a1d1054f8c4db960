"""Who looked at what a project used: recorded before it is shown."""

from __future__ import annotations

from django.conf import settings

from enclave.domain.events import EventType
from enclave.domain.ids import ProjectId
from enclave.domain.usage import Month
from enclave.metering.report import ProjectMonth, month_of_all, month_of_project
from enclave.portal.auditing.log import fresh_index
from enclave.portal.models import User
from enclave.portal.record import record


def read_month(user: User, month: Month, form: str) -> list[ProjectMonth]:
    """All projects; ``form``: ``page`` or ``csv``."""
    record(EventType.USAGE_VIEWED, user, subject=f"usage:{month}", decision="allow", data={"form": form})
    return month_of_all(settings.ENCLAVE.metering_dir, fresh_index(), month)


def read_project_month(user: User, project: ProjectId, month: Month) -> ProjectMonth:
    """One project; that ``user`` may see it was checked before."""
    subject = f"usage:{month}"
    record(EventType.USAGE_VIEWED, user, project=project, subject=subject, decision="allow", data={"form": "page"})
    return month_of_project(settings.ENCLAVE.metering_dir, fresh_index(), project, month)
