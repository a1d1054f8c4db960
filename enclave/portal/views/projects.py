"""Applications and project spaces: list, detail, apply, decide."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from enclave.domain.decisions import RefusedError
from enclave.domain.people import Role
from enclave.domain.projects import ProjectState
from enclave.extracts.permit_file import PermitError
from enclave.portal.actions import projects as actions
from enclave.portal.forms import ApplicationForm, DecisionForm
from enclave.portal.models import Project
from enclave.portal.permissions import SignedInRequest, requires, signed_in
from enclave.portal.project_page import project_context


@signed_in
@require_GET
def project_list(request: SignedInRequest) -> HttpResponse:
    """All projects this person may see, newest first, by state if asked."""
    state = request.GET.get("state", "")
    found = actions.visible_projects(request.user).select_related("applicant")
    if state in set(ProjectState):
        found = found.filter(state=state)
    context = {"projects": found, "states": list(ProjectState), "state": state}
    return render(request, "portal/project_list.html", context)


@signed_in
@require_GET
def project_detail(request: SignedInRequest, project: str) -> HttpResponse:
    """One project: where it stands, permit, extract, people, and the buttons of this person."""
    found = actions.get_visible_project(request.user, project)
    return render(request, "portal/project_detail.html", project_context(found, request.user))


@signed_in
@require_GET
def permit_file(request: SignedInRequest, project: str) -> HttpResponse:
    """The data permit's exact bytes."""
    found = actions.get_visible_project(request.user, project)
    response = HttpResponse(found.permit_yaml.encode(), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{found.pk}-permit.yaml"'
    return response


@requires(Role.RESEARCHER)
@require_http_methods(["GET", "POST"])
def apply(request: SignedInRequest) -> HttpResponse:
    """Apply for a project with a data permit; errors name the lines and stand beside the text."""
    form = ApplicationForm(request.POST or None, request.FILES or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "portal/apply.html", {"form": form})
    text, title = form.cleaned_data["permit"], form.cleaned_data["title"]
    try:
        project = actions.submit_application(request.user, text, title, form.cleaned_data["summary"])
    except PermitError as error:
        marked = {problem.line for problem in error.problems}
        lines = [(number in marked, line) for number, line in enumerate(text.split("\n"), 1)]
        context = {"form": _with_text(form, text), "problems": error.problems, "lines": lines}
        return render(request, "portal/apply.html", context, status=422)
    except RefusedError as refused:
        context = {"form": _with_text(form, text), "reasons": refused.reasons}
        return render(request, "portal/apply.html", context, status=422)
    messages.success(request, _("Your application has been handed in. Two people will decide about it."))
    return redirect("project-detail", project.pk)


def _with_text(form: ApplicationForm, text: str) -> ApplicationForm:
    """The same form with an uploaded text in the text box, so that it can be mended there."""
    return ApplicationForm(
        initial={"title": form.cleaned_data["title"], "summary": form.cleaned_data["summary"], "permit_text": text}
    )


def _decide(request: SignedInRequest, act: Callable[[Role, str], Project], done: str) -> HttpResponse:
    form = DecisionForm(request.POST)
    if not form.is_valid():
        raise RefusedError(_("Expected one of the buttons of the project's page, found another form. Go back to it."))
    project = act(Role(form.cleaned_data["as_role"]), form.cleaned_data["comment"])
    messages.success(request, done)
    return redirect("project-detail", project.pk)


@requires(Role.DATA_STEWARD, Role.DATA_PROTECTION_OFFICER)
@require_POST
def approve(request: SignedInRequest, project: str) -> HttpResponse:
    """One of the two approvals."""
    done = _("Your approval has been recorded.")
    return _decide(request, lambda role, note: actions.approve_project(request.user, project, role, note), done)


@requires(Role.DATA_STEWARD, Role.DATA_PROTECTION_OFFICER)
@require_POST
def reject(request: SignedInRequest, project: str) -> HttpResponse:
    """Reject the application."""
    done = _("The rejection has been recorded.")
    return _decide(request, lambda role, note: actions.reject_project(request.user, project, role, note), done)


@requires(Role.ADMIN)
@require_POST
def provision(request: SignedInRequest, project: str) -> HttpResponse:
    """Order the extract and the project space."""
    done = _("The extract is being built. This page shows when the project space is ready.")
    return _decide(request, lambda _role, _note: actions.provision_project(request.user, project), done)


@requires(Role.ADMIN)
@require_POST
def close(request: SignedInRequest, project: str) -> HttpResponse:
    """End the project."""
    done = _("The project has been closed.")
    return _decide(request, lambda _role, note: actions.close_project(request.user, project, note), done)
