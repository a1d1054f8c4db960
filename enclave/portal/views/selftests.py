"""Self-tests: the last reports, and one report with everything in it. Every reading is recorded."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from enclave.domain.people import Role
from enclave.portal.auditing import selftests
from enclave.portal.permissions import SignedInRequest, requires
from enclave.portal.views.audit import record_reading


@requires(Role.AUDITOR)
@require_GET
def selftest_list(request: SignedInRequest) -> HttpResponse:
    """The last reports, newest first."""
    record_reading(request.user, "selftests")
    return render(request, "portal/selftest_list.html", {"rows": selftests.reports()})


@requires(Role.AUDITOR)
@require_GET
def selftest_detail(request: SignedInRequest, name: str) -> HttpResponse:
    """One report: counts per group, then each probe that is not closed and what it means."""
    record_reading(request.user, "selftest", data={"report": name[:40]})
    report = selftests.find_report(name)
    if report is None:
        raise Http404
    context = {
        "row": selftests.row_of(report),
        "report": report,
        "groups": selftests.groups_of(report),
        "verdicts": [label for label, _tone in selftests.VERDICT_LABELS.values()],
        "sections": selftests.sections_of(report),
    }
    return render(request, "portal/selftest_detail.html", context)
