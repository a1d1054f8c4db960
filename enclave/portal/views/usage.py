"""What projects used in a month, and what it costs: all of them for the admin, one for those who see the project."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from enclave.domain.ids import ProjectId
from enclave.domain.people import Role
from enclave.domain.usage import Month, cost_of, grid_of
from enclave.portal import usage_page as page
from enclave.portal.actions.projects import get_visible_project
from enclave.portal.actions.usage import read_month, read_project_month
from enclave.portal.models import Project
from enclave.portal.permissions import SignedInRequest, requires, signed_in


def _month(request: SignedInRequest) -> Month:
    """``?month=2026-11``; without it the present one."""
    text = request.GET.get("month", "")
    try:
        return Month.parse(text) if text else page.present_month()
    except ValueError:
        raise Http404 from None


def _titles() -> dict[str, str]:
    return dict(Project.objects.values_list("pk", "title"))


@requires(Role.ADMIN)
@require_GET
def usage_list(request: SignedInRequest) -> HttpResponse:
    """All projects of one month."""
    month = _month(request)
    prices, problem = page.site_prices()
    rows = page.project_rows(read_month(request.user, month, "page"), _titles(), prices)
    context = {
        "month": month,
        "months": page.months_offered(month),
        "is_present": month == page.present_month(),
        "rows": rows,
        "sum": page.sum_row(rows),
        "prices": page.unit_prices(prices),
        "currency": prices.currency,
        "problem": problem,
        "unreadable": sum(row.unreadable for row in rows),
    }
    return render(request, "portal/usage_list.html", context)


@requires(Role.ADMIN)
@require_GET
def usage_csv(request: SignedInRequest) -> HttpResponse:
    """The same as a file for a spreadsheet or the accounts."""
    month = _month(request)
    prices, _problem = page.site_prices()
    text = page.csv_of(read_month(request.user, month, "csv"), _titles(), prices)
    response = HttpResponse(text, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="usage-{month}.csv"'
    return response


@signed_in
@require_GET
def project_usage(request: SignedInRequest, project: str) -> HttpResponse:
    """One project of one month: grid, storage, days."""
    shown = get_visible_project(request.user, project)
    month = _month(request)
    found = read_project_month(request.user, ProjectId(shown.pk), month)
    prices, problem = page.site_prices()
    lines = grid_of(found.usage, month, prices)
    context = {
        "project": shown,
        "month": month,
        "months": page.months_offered(month),
        "is_present": month == page.present_month(),
        "usage": found.usage,
        "lines": lines,
        "cost": cost_of(lines),
        "is_priced_in_part": any(line.price is None for line in lines),
        "stored": page.stored_rows(found),
        "days": page.day_rows(found),
        "currency": prices.currency,
        "problem": problem,
        "unreadable": found.unreadable,
    }
    return render(request, "portal/usage_project.html", context)
