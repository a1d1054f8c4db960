"""Archives of displayed output: which there are and whether they are what the log says. Every look is recorded."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from audit.reader import LogUnreadable
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.domain.people import Role
from enclave.portal.auditing import shown
from enclave.portal.models import Project
from enclave.portal.permissions import SignedInRequest, requires
from enclave.portal.record import record


@requires(Role.AUDITOR, Role.DATA_PROTECTION_OFFICER)
@require_GET
def shown_list(request: SignedInRequest) -> HttpResponse:
    """One line per project that keeps any."""
    record(EventType.SHOWN_ARCHIVE_LISTED, request.user, decision="allow", data={"where": "portal"})
    context = {"archives": shown.archives(), "reads_log": _reads_log(request)}
    return render(request, "portal/shown_list.html", context)


@requires(Role.AUDITOR, Role.DATA_PROTECTION_OFFICER)
@require_GET
def shown_project(request: SignedInRequest, project: str) -> HttpResponse:
    """Its days; with ``?compare=1`` each held against what the audit log commits to."""
    is_compared = request.GET.get("compare") == "1"
    data: dict[str, str | int | bool | list[str]] = {"where": "portal", "compared": is_compared}
    record(EventType.SHOWN_ARCHIVE_LISTED, request.user, project=project, decision="allow", data=data)
    found = Project.objects.filter(pk=project).first()
    if found is None:
        raise Http404
    try:
        days = shown.days_of(project, is_compared=is_compared)
    except LogUnreadable as error:
        raise RefusedError(_("The audit log cannot be read now, so nothing was compared. Try again later.")) from error
    held = bool(days) and all(day.comparison is not None and day.comparison.is_proven for day in days)
    context = {"project": found, "days": days, "is_compared": is_compared, "is_proven": held}
    return render(request, "portal/shown_project.html", {**context, "reads_log": _reads_log(request)})


def _reads_log(request: SignedInRequest) -> bool:
    """Only then does the way back to the audit log lead anywhere."""
    return Role.AUDITOR in request.user.role_set
