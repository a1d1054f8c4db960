"""Test queries: an auditor orders one and sees whether its record came."""

from __future__ import annotations

from datetime import UTC, datetime

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from enclave.domain.people import Role
from enclave.domain.projects import ProjectState
from enclave.portal.actions.canaries import order_canary
from enclave.portal.auditing import log
from enclave.portal.auditing.canaries import canary_rows
from enclave.portal.auditing.forms import CanaryForm
from enclave.portal.models import Project
from enclave.portal.permissions import SignedInRequest, requires
from enclave.portal.views.audit import record_reading


@requires(Role.AUDITOR)
@require_http_methods(["GET", "POST"])
def canaries(request: SignedInRequest) -> HttpResponse:
    """The form and the orders so far."""
    active = Project.objects.filter(state=ProjectState.ACTIVE).order_by("pk")
    projects = [(project.pk, project.title or project.pk) for project in active]
    form = CanaryForm(request.POST or None, projects=projects)
    if request.method == "POST" and form.is_valid():
        order_canary(request.user, form.cleaned_data["project"], form.cleaned_data["within"])
        messages.success(request, _("Ordered. Its record should be here within the time you chose."))
        return redirect("canaries")
    record_reading(request.user, "canaries")
    now = datetime.now(UTC)
    context = {"form": form, "has_projects": bool(projects), "canaries": canary_rows(log.fresh_index(), now)}
    return render(request, "portal/canaries.html", context)
