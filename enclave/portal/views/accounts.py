"""What two people decide about an account, roles, and the yearly review of access. The actions decide and record."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from enclave.domain.accounts import OrderKind, OrderVerb
from enclave.domain.decisions import RefusedError
from enclave.domain.people import Role
from enclave.portal import accounts_page as page
from enclave.portal.actions import accounts as actions
from enclave.portal.forms import AccountOrderForm
from enclave.portal.permissions import SignedInRequest, requires

_OTHER_FORM = "Expected one of the buttons of this page, found another form. Go back to it."


@requires(Role.ADMIN)
@require_POST
def order_reset(request: SignedInRequest, person: str) -> HttpResponse:
    """New credentials: the admin's half of the first password is shown once."""
    ordered = actions.order_reset(request.user, person, request.POST.get("reason", "")[:2000])
    return render(request, "portal/person_half.html", {"ordered": ordered, "is_first": True})


@requires(Role.ADMIN)
@require_POST
def order_role(request: SignedInRequest, person: str) -> HttpResponse:
    """A further role, once a second person confirms."""
    form = AccountOrderForm(request.POST)
    given = form.cleaned_data if form.is_valid() else {}
    if not given.get("role"):
        raise RefusedError(_OTHER_FORM)
    actions.order_role(request.user, person, Role(given["role"]), given["reason"])
    messages.success(request, _("Ordered. The role is there as soon as a second person has confirmed it."))
    return redirect("person-detail", person)


@requires(Role.ADMIN)
@require_POST
def remove_role(request: SignedInRequest, person: str) -> HttpResponse:
    """Take a role away, at once."""
    role = request.POST.get("role", "")
    if role not in set(map(str, Role)):
        raise RefusedError(_OTHER_FORM)
    found = actions.remove_role(request.user, person, Role(role))
    messages.success(
        request, _("The role of %(name)s has been taken away. It counts for nothing from now on.") % {"name": found}
    )
    return redirect("person-detail", person)


@requires(Role.ADMIN, Role.DATA_PROTECTION_OFFICER, Role.DATA_STEWARD)
@require_GET
def order_list(request: SignedInRequest) -> HttpResponse:
    """Orders for accounts; buttons for those who may confirm."""
    return render(request, "portal/account_orders.html", {"rows": page.order_rows(request.user)})


@requires(Role.DATA_PROTECTION_OFFICER, Role.DATA_STEWARD)
@require_POST
def decide(request: SignedInRequest, number: int) -> HttpResponse:
    """Confirm or refuse; of a confirmed reset the second half of the first password is shown once."""
    verb = request.POST.get("verb", "")
    if verb not in set(map(str, OrderVerb)):
        raise RefusedError(_OTHER_FORM)
    decided = actions.decide_account_order(request.user, number, OrderVerb(verb))
    if decided.half:
        return render(request, "portal/person_half.html", {"ordered": decided, "is_first": False})
    if verb == OrderVerb.REFUSE:
        messages.success(request, _("You have turned the order down. Nothing has changed on the account."))
    elif decided.order.kind == OrderKind.ADD_ROLE:
        messages.success(request, _("Confirmed. %(name)s holds the role from now on.") % {"name": decided.order.about})
    return redirect("account-orders")


@requires(Role.ADMIN, Role.DATA_PROTECTION_OFFICER, Role.AUDITOR)
@require_GET
def access_review(request: SignedInRequest) -> HttpResponse:
    """Everybody's access and when somebody last looked at it."""
    rows = page.access_rows(request.user)
    context = {"rows": rows, "can_confirm": any(row.can_confirm for row in rows), "now": timezone.now()}
    return render(request, "portal/access_review.html", context)


@requires(Role.ADMIN, Role.DATA_PROTECTION_OFFICER, Role.AUDITOR)
@require_GET
def access_review_csv(request: SignedInRequest) -> HttpResponse:
    """The same as a file, for the file of the data-protection officer."""
    response = HttpResponse(page.access_csv(page.access_rows(request.user)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="access-review-{timezone.now().date()}.csv"'
    return response


@requires(Role.ADMIN, Role.DATA_PROTECTION_OFFICER)
@require_POST
def confirm_access(request: SignedInRequest, person: str) -> HttpResponse:
    """This person's roles and projects are still right."""
    found = actions.confirm_access(request.user, person, request.POST.get("shown", ""))
    messages.success(request, _("Recorded: the access of %(name)s is still right.") % {"name": found})
    return redirect("access-review")
