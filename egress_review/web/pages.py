"""Pages and forms of output requests. Each view asks one action; who sees what is decided by ``domain.visibility``."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from egress_review.actions.compare import compare_with_earlier
from egress_review.actions.look import check_part
from egress_review.actions.submit import approved_permit, submit, submit_facts, version_to_follow
from egress_review.actions.withdraw import withdraw
from egress_review.domain.rules import can_submit, can_withdraw
from egress_review.domain.visibility import Part, Relation, can_see, relation
from egress_review.models import OutputRequest
from egress_review.snapshot import list_outbox
from egress_review.web.conversation import may_be_followed, readable_remarks, readable_reviews, what_changed
from egress_review.web.language import in_readers_language
from egress_review.web.lists import all_requests, own_requests, projects_to_submit_from, review_queue, reviewed_lately
from egress_review.web.review import REVIEWERS, get_request, review_page, what_happened
from enclave.domain.decisions import RefusedError
from enclave.domain.people import Role
from enclave.portal.models import Project, User
from enclave.portal.permissions import SignedInRequest, requires, signed_in


@signed_in
@require_GET
def request_list(request: SignedInRequest) -> HttpResponse:
    """What waits for me, what I asked for; for auditors everything that happened."""
    user = request.user
    own = own_requests(user)
    context = {
        "queue": review_queue(user),
        "reviewed": reviewed_lately(user),
        "own": own,
        "awaited": [item for item in own if item.is_change_awaited],
        "all": all_requests(user) if Role.AUDITOR in user.role_set else [],
        "is_reviewer": bool(user.role_set & frozenset(REVIEWERS)),
        "is_auditor": Role.AUDITOR in user.role_set,
        "projects": projects_to_submit_from(user),
    }
    return render(request, "egress_review/list.html", context)


@requires(Role.RESEARCHER)
@require_http_methods(["GET", "POST"])
@in_readers_language
def new_request(request: SignedInRequest, project: str) -> HttpResponse:
    """Pick files of one's outbox and ask for their release."""
    found = _project_of_member(request.user, project)
    follows = request.POST.get("follows", "") or request.GET.get("follows", "")
    earlier = version_to_follow(request.user, found, follows) if follows else None
    reasons: tuple[str, ...] = ()
    if request.method == "POST":
        try:
            names, given = request.POST.getlist("files"), request.POST
            row = submit(request.user, found, names, given.get("title", ""), given.get("context", ""), follows)
        except RefusedError as refused:
            reasons = refused.reasons
        else:
            messages.success(request, gettext("Your output request was made. Two reviewers look at it next."))
            return redirect("egress_review:detail", row.pk)
    context = {
        "project": found,
        "rules": approved_permit(found).outputs,
        "outbox": list_outbox(settings.ENCLAVE, found.pk, request.user.username),
        "reasons": reasons,
        "given": request.POST,
        "chosen": frozenset(request.POST.getlist("files")),
        **_as_before(request, earlier),
    }
    return render(request, "egress_review/new.html", context, status=422 if reasons else 200)


def _as_before(request: SignedInRequest, earlier: OutputRequest | None) -> dict[str, Any]:
    """The version before, what was said about it, and its words and files to begin with."""
    if earlier is None:
        return {}
    person, facts = request.user.as_person(), earlier.as_facts()
    shown = {
        "earlier": earlier,
        "next_version": earlier.version + 1,
        "reviews": readable_reviews(person, earlier, facts),
        "remarks": readable_remarks(person, earlier, facts),
    }
    if request.method == "POST":
        return shown
    chosen = frozenset(file.name for file in earlier.snapshot_files())
    return shown | {"given": {"title": earlier.title, "context": earlier.context}, "chosen": chosen}


def _project_of_member(user: User, project: str) -> Project:
    return get_object_or_404(Project.objects.filter(memberships__user=user), pk=project)


@signed_in
@require_GET
@in_readers_language
def detail(request: SignedInRequest, request_id: str) -> HttpResponse:
    """One output request, as much of it as this person may see."""
    row = get_request(request_id)
    person, facts = request.user.as_person(), row.as_facts()
    check_part(request.user, row, Part.STATUS)
    if can_see(Part.FILES, person, facts):
        return review_page(request, row)
    files = enumerate(row.snapshot_files(), start=1)
    remarks = readable_remarks(person, row, facts)
    findings = row.all_findings() if can_see(Part.FINDINGS, person, facts) else ()
    is_auditor = relation(person, facts) is Relation.AUDITOR
    context = (
        what_happened(request.user, row)
        | what_changed(person, None if is_auditor else compare_with_earlier(row, findings))
        | {
            "files": [{"position": n, "file": file, "remarks": remarks.get(file.name, ())} for n, file in files],
            "has_remarks": bool(remarks),
            "is_auditor": is_auditor,
            "may_download": can_see(Part.RELEASED_FILES, person, facts),
            "may_withdraw": can_withdraw(person, facts),
            "may_follow": may_be_followed(person, row) and can_submit(person, submit_facts(request.user, row.project)),
            "next_version": row.version + 1,
            "findings": findings,
        }
    )
    return render(request, "egress_review/detail.html", context)


@signed_in
@require_POST
@in_readers_language
def withdraw_request(request: SignedInRequest, request_id: str) -> HttpResponse:
    """Take one's own request back."""
    row = withdraw(request.user, get_request(request_id))
    messages.success(request, gettext("The output request was withdrawn."))
    return redirect("egress_review:detail", row.pk)


@requires(Role.RESEARCHER)
@require_GET
def choose_project(request: SignedInRequest) -> HttpResponse:
    """From which project; straight on when there is only one."""
    projects = projects_to_submit_from(request.user)
    if not projects:
        raise Http404
    if len(projects) == 1:
        return redirect("egress_review:new", projects[0].pk)
    return render(request, "egress_review/choose.html", {"projects": projects})
