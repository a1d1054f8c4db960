"""People and roles, for admins."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from enclave.domain.decisions import RefusedError
from enclave.domain.people import Role
from enclave.portal.accounts_page import access_row, order_rows
from enclave.portal.actions import people as actions
from enclave.portal.actions.accounts import add_person_for_two
from enclave.portal.forms import PersonForm
from enclave.portal.models import User
from enclave.portal.permissions import SignedInRequest, requires
from enclave.portal.rules import can_decide_about


@requires(Role.ADMIN)
@require_GET
def people_list(request: SignedInRequest) -> HttpResponse:
    """Everybody, with roles and access."""
    people = User.objects.prefetch_related("memberships").order_by("-is_active", "username")
    rows = [access_row(request.user, person) for person in people]
    return render(request, "portal/people_list.html", {"rows": rows})


@requires(Role.ADMIN)
@require_GET
def person_detail(request: SignedInRequest, person: str) -> HttpResponse:
    """One person: roles, projects, workspaces, and the buttons."""
    found = get_object_or_404(User, person_id=person)
    context = {
        "shown": found,
        "memberships": found.memberships.select_related("project"),
        "workspaces": found.workspaces.select_related("project")[:10],
        "may_decide": can_decide_about(request.user.as_person(), found.as_person()),
        "access": access_row(request.user, found),
        "orders": order_rows(request.user, found),
        "further_roles": [role for role in Role if role not in found.role_set],
    }
    return render(request, "portal/person_detail.html", context)


@requires(Role.ADMIN)
@require_http_methods(["GET", "POST"])
def person_new(request: SignedInRequest) -> HttpResponse:
    """A new account; its first password is shown once."""
    form = PersonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        password, given = actions.first_password(), form.cleaned_data
        roles = frozenset(Role(role) for role in given["roles"])
        try:
            user, waiting = add_person_for_two(
                request.user, given["username"], given["display_name"], roles, password, _("New account.")
            )
        except RefusedError as refused:
            form.add_error(None, refused.reasons[0])
        else:
            return render(
                request, "portal/person_created.html", {"shown": user, "password": password, "waiting": waiting}
            )
    status = 422 if request.method == "POST" else 200
    return render(request, "portal/person_new.html", {"form": form}, status=status)


@requires(Role.ADMIN)
@require_POST
def revoke(request: SignedInRequest, person: str) -> HttpResponse:
    """Take all access away at once."""
    user = actions.revoke_person(request.user, person)
    messages.success(request, _("%(name)s has no access any more. Running workspaces stop now.") % {"name": user})
    return redirect("person-detail", person)


@requires(Role.ADMIN)
@require_POST
def restore(request: SignedInRequest, person: str) -> HttpResponse:
    """Give access back."""
    user = actions.restore_person(request.user, person)
    messages.success(request, _("%(name)s has access again.") % {"name": user})
    return redirect("person-detail", person)
