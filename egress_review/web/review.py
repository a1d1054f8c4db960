"""The reviewer's page: files with findings, what changed since the version before, remarks, and the decision."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from egress_review.actions.ask_log import read_background
from egress_review.actions.compare import compare_contents
from egress_review.actions.decide import approve, reject, send_back
from egress_review.actions.look import view_files
from egress_review.actions.reading import shown_files
from egress_review.actions.remark import remark
from egress_review.domain.findings import count_by_severity
from egress_review.domain.rules import JUSTIFICATION_CHARACTERS, REMARK_CHARACTERS, decide_decision
from egress_review.domain.states import FOLLOWABLE_STATES, Verb
from egress_review.domain.visibility import Relation, relation, shown_state
from egress_review.models import OutputRequest, read_sentence
from egress_review.web.background import show_background
from egress_review.web.conversation import listed_versions, readable_remarks, readable_reviews, what_changed
from egress_review.web.language import in_readers_language
from enclave.domain.decisions import Deny, RefusedError
from enclave.domain.people import Role
from enclave.portal.models import User
from enclave.portal.permissions import SignedInRequest, requires

REVIEWERS = (Role.OUTPUT_CHECKER, Role.DATA_STEWARD)


def get_request(request_id: str) -> OutputRequest:
    """Raises Http404."""
    rows = OutputRequest.objects.select_related("project", "requester", "follows__requester", "followed_by")
    return get_object_or_404(rows, pk=request_id)


def what_happened(user: User, row: OutputRequest) -> dict[str, Any]:
    """What both pages show of a request: its state, decisions and versions as ``user`` may know them."""
    person, facts = user.as_person(), row.as_facts()
    counts = count_by_severity(row.all_findings())
    return {
        "row": row,
        "state": shown_state(person, facts),
        "hides_decisions": relation(person, facts) is Relation.REVIEWER and row.is_open,
        "is_over": row.request_state in FOLLOWABLE_STATES,
        "reviews": readable_reviews(person, row, facts),
        "versions": listed_versions(person, row),
        "severities": [(severity.value, number) for severity, number in reversed(counts.items()) if number],
        "closing_reasons": [read_sentence(stored) for stored in row.closing_reasons],
    }


def review_page(request: SignedInRequest, row: OutputRequest, **extra: Any) -> HttpResponse:
    """Files rendered, beside their findings; ``extra``: what was wanting in a form that comes back."""
    contents = view_files(request.user, row)
    findings, facts, person = row.all_findings(), row.as_facts(), request.user.as_person()
    decision = decide_decision(Verb.APPROVE, person, facts)
    changed = what_changed(person, compare_contents(request.user, row, contents, findings))
    remarks = readable_remarks(person, row, facts)
    by_position = {change.position: change for change in changed["changes"]}
    context = (
        what_happened(request.user, row)
        | changed
        | show_background(read_background(request.user, row))
        | {
            "shown": [
                {
                    "item": item,
                    "change": by_position.get(item.position),
                    "remarks": remarks.get(item.file.name, ()),
                    "places": row.findings.filter(file=item.file.name),
                }
                for item in shown_files(request.user, row, contents)
            ],
            "is_quarantined": facts.is_quarantined,
            "may_decide": not isinstance(decision, Deny),
            "withheld": decision.reasons[0] if isinstance(decision, Deny) else "",
            "justification_characters": JUSTIFICATION_CHARACTERS,
            "remark_characters": REMARK_CHARACTERS,
            **extra,
        }
    )
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


@requires(*REVIEWERS)
@require_POST
@in_readers_language
def return_request(request: SignedInRequest, request_id: str) -> HttpResponse:
    """Send back, with what should change."""
    return _decide(request, request_id, Verb.RETURN)


def _decide(request: SignedInRequest, request_id: str, verb: Verb) -> HttpResponse:
    row = get_request(request_id)
    comment = request.POST.get("comment", "")
    try:
        if verb is Verb.APPROVE:
            approve(request.user, row, comment, request.POST.get("snapshot_sha256", ""))
        elif verb is Verb.RETURN:
            send_back(request.user, row, comment)
        else:
            reject(request.user, row, comment)
    except RefusedError as refused:
        if type(refused) is not RefusedError or not _may_still_decide(request.user, row, verb):
            raise
        # Only the comment was wanting: the form comes back with what was written.
        return review_page(request, row, reasons=refused.reasons, comment=comment)
    messages.success(request, gettext("Your decision was recorded."))
    return redirect("egress_review:detail", row.pk)


def _may_still_decide(user: User, row: OutputRequest, verb: Verb) -> bool:
    row.refresh_from_db()
    return not isinstance(decide_decision(verb, user.as_person(), row.as_facts()), Deny)


@requires(*REVIEWERS)
@require_POST
@in_readers_language
def remark_on_file(request: SignedInRequest, request_id: str, position: int) -> HttpResponse:
    """Remark on one file; ``finding`` is the number of one of its findings, or empty."""
    row = get_request(request_id)
    finding, text = request.POST.get("finding", ""), request.POST.get("text", "")
    try:
        remark(request.user, row, position, text, int(finding) if finding.isdecimal() and len(finding) < 19 else None)
    except RefusedError as refused:
        if type(refused) is not RefusedError or not _may_still_decide(request.user, row, Verb.APPROVE):
            raise
        at = position if row.files.filter(position=position).exists() else 0  # 0: said beside the decision
        return review_page(request, row, reasons=refused.reasons, remark_at=at, remark_text=text)
    messages.success(request, gettext("Your remark was recorded. It is read once the request is decided."))
    return redirect(f"{reverse('egress_review:detail', args=[row.pk])}#file-{position}")
