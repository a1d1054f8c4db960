"""Pages and forms of output requests. Each view asks one action; who sees what is decided by ``domain.visibility``."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from egress_review.actions.ask_log import read_background
from egress_review.actions.decide import approve, reject
from egress_review.actions.look import check_part, view_files
from egress_review.actions.reading import shown_files
from egress_review.actions.submit import approved_permit, submit
from egress_review.actions.withdraw import withdraw
from egress_review.domain.findings import count_by_severity
from egress_review.domain.rules import JUSTIFICATION_CHARACTERS, can_withdraw, decide_decision
from egress_review.domain.states import Verb
from egress_review.domain.visibility import Part, Relation, can_see, relation
from egress_review.models import OutputRequest, read_sentence
from egress_review.snapshot import list_outbox
from egress_review.web.background import show_background
from egress_review.web.language import in_readers_language
from egress_review.web.lists import all_requests, own_requests, projects_to_submit_from, review_queue, reviewed_lately
from enclave.domain.decisions import Deny, RefusedError
from enclave.domain.people import Role
from enclave.portal.models import Project, User
from enclave.portal.permissions import SignedInRequest, requires, signed_in

REVIEWERS = (Role.OUTPUT_CHECKER, Role.DATA_STEWARD)


@signed_in
@require_GET
def request_list(request: SignedInRequest) -> HttpResponse:
    """What waits for me, what I asked for; for auditors everything that happened."""
    user = request.user
    context = {
        "queue": review_queue(user),
        "reviewed": reviewed_lately(user),
        "own": own_requests(user),
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
    reasons: tuple[str, ...] = ()
    if request.method == "POST":
        try:
            names, given = request.POST.getlist("files"), request.POST
            row = submit(request.user, found, names, given.get("title", ""), given.get("context", ""))
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
    }
    return render(request, "egress_review/new.html", context, status=422 if reasons else 200)


def _project_of_member(user: User, project: str) -> Project:
    return get_object_or_404(Project.objects.filter(memberships__user=user), pk=project)


def _get(request_id: str) -> OutputRequest:
    rows = OutputRequest.objects.select_related("project", "requester")
    return get_object_or_404(rows, pk=request_id)


@signed_in
@require_GET
@in_readers_language
def detail(request: SignedInRequest, request_id: str) -> HttpResponse:
    """One output request, as much of it as this person may see."""
    row = _get(request_id)
    person, facts = request.user.as_person(), row.as_facts()
    check_part(request.user, row, Part.STATUS)
    if relation(person, facts) is Relation.REVIEWER:
        return _review_page(request, row)
    files = enumerate(row.snapshot_files(), start=1)
    context = _common(row) | {
        "files": [{"position": position, "file": file} for position, file in files],
        "is_auditor": relation(person, facts) is Relation.AUDITOR,
        "may_download": can_see(Part.RELEASED_FILES, person, facts),
        "may_withdraw": can_withdraw(person, facts),
        "findings": row.all_findings() if can_see(Part.FINDINGS, person, facts) else (),
    }
    return render(request, "egress_review/detail.html", context)


def _common(row: OutputRequest) -> dict[str, Any]:
    counts = count_by_severity(row.all_findings())
    return {
        "row": row,
        "reviews": list(row.reviews.select_related("reviewer")),
        "severities": [(severity.value, number) for severity, number in reversed(counts.items()) if number],
        "closing_reasons": [read_sentence(stored) for stored in row.closing_reasons],
    }


def _review_page(request: SignedInRequest, row: OutputRequest, **extra: Any) -> HttpResponse:
    contents = view_files(request.user, row)
    facts = row.as_facts()
    decision = decide_decision(Verb.APPROVE, request.user.as_person(), facts)
    context = _common(row) | {
        **show_background(read_background(request.user, row)),
        "shown": shown_files(request.user, row, contents),
        "is_quarantined": facts.is_quarantined,
        "may_decide": not isinstance(decision, Deny),
        "withheld": decision.reasons[0] if isinstance(decision, Deny) else "",
        "justification_characters": JUSTIFICATION_CHARACTERS,
        **extra,
    }
    return render(request, "egress_review/review.html", context, status=422 if extra else 200)


@requires(*REVIEWERS)
@require_POST
@in_readers_language
def approve_request(request: SignedInRequest, request_id: str) -> HttpResponse:
    """Approve the bytes whose hash the form carries."""
    return _decide(request, request_id, Verb.APPROVE)


@requires(*REVIEWERS)
@require_POST
@in_readers_language
def reject_request(request: SignedInRequest, request_id: str) -> HttpResponse:
    """Reject, with a reason."""
    return _decide(request, request_id, Verb.REJECT)


def _decide(request: SignedInRequest, request_id: str, verb: Verb) -> HttpResponse:
    row = _get(request_id)
    comment = request.POST.get("comment", "")
    try:
        if verb is Verb.APPROVE:
            approve(request.user, row, comment, request.POST.get("snapshot_sha256", ""))
        else:
            reject(request.user, row, comment)
    except RefusedError as refused:
        if type(refused) is not RefusedError or not _may_still_decide(request.user, row, verb):
            raise
        # Only the comment was wanting: the form comes back with what was written.
        return _review_page(request, row, reasons=refused.reasons, comment=comment)
    messages.success(request, gettext("Your decision was recorded."))
    return redirect("egress_review:detail", row.pk)


def _may_still_decide(user: User, row: OutputRequest, verb: Verb) -> bool:
    row.refresh_from_db()
    return not isinstance(decide_decision(verb, user.as_person(), row.as_facts()), Deny)


@signed_in
@require_POST
@in_readers_language
def withdraw_request(request: SignedInRequest, request_id: str) -> HttpResponse:
    """Take one's own request back."""
    row = withdraw(request.user, _get(request_id))
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
