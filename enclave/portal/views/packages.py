"""Packages that a project adds to the image: ask, decide, see what is there."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from enclave.domain.decisions import RefusedError
from enclave.domain.ids import ProjectId
from enclave.domain.packages import PackageVerb
from enclave.domain.people import Role
from enclave.packages.bills import read_bill
from enclave.portal.actions.packages import decide_package, request_package
from enclave.portal.actions.projects import get_visible_project
from enclave.portal.forms import DecisionForm, PackageForm
from enclave.portal.packages_page import packages_context
from enclave.portal.permissions import SignedInRequest, requires, signed_in

_DONE: dict[PackageVerb, str | Promise] = {
    PackageVerb.APPROVE: _("Your approval has been recorded. The package is being fetched."),
    PackageVerb.REJECT: _("The rejection has been recorded."),
    PackageVerb.WITHDRAW: _("The request has been withdrawn."),
    PackageVerb.RETRY: _("The package is being fetched once more."),
    PackageVerb.REMOVE: _("The package has been removed. Workspaces that are opened from now on do not have it."),
}


@signed_in
@require_http_methods(["GET", "POST"])
def packages(request: SignedInRequest, project: str) -> HttpResponse:
    """The list with its buttons; a POST asks for a package."""
    found = get_visible_project(request.user, project)
    form = PackageForm(request.POST or None)
    status, reasons = 200, tuple[str, ...]()
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            request_package(request.user, found.pk, given["name"], given["versions"], given["reason"])
        except RefusedError as refused:
            status, reasons = 422, refused.reasons
        else:
            messages.success(request, _("Your request has been handed in. A data steward will decide about it."))
            return redirect("packages", found.pk)
    context = {**packages_context(found, request.user), "form": form, "reasons": reasons}
    return render(request, "portal/packages.html", context, status=status)


@requires(Role.DATA_STEWARD, Role.RESEARCHER)
@require_POST
def decide(request: SignedInRequest, project: str, number: int) -> HttpResponse:
    """One verb of the table; who may do it is decided by the action."""
    found = get_visible_project(request.user, project)
    form, verb = DecisionForm({"as_role": Role.DATA_STEWARD, **request.POST.dict()}), request.POST.get("verb", "")
    if not form.is_valid() or verb not in set(map(str, _DONE)):
        raise RefusedError("Expected one of the buttons of this page, found another form. Go back to it.")
    decide_package(request.user, found.pk, number, PackageVerb(verb), form.cleaned_data["comment"])
    messages.success(request, str(_DONE[PackageVerb(verb)]))
    return redirect("packages", found.pk)


@signed_in
@require_GET
def bill(request: SignedInRequest, project: str, version: str) -> HttpResponse:
    """The bill of materials of the set in use (CycloneDX), its exact bytes."""
    found = get_visible_project(request.user, project)
    if not version or version != found.packages_version:
        raise Http404
    try:
        content = read_bill(settings.ENCLAVE, ProjectId(found.pk), version)
    except OSError:
        raise Http404 from None
    response = HttpResponse(content, content_type="application/vnd.cyclonedx+json")
    response["Content-Disposition"] = f'attachment; filename="{found.pk}-packages-{version}.json"'
    return response
