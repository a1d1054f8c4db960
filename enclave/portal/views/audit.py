"""The auditor's pages: list, one record with its proof, the whole log verified. Every reading is recorded itself."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from audit.client import AuditRefused
from audit.reader import LogEntry, LogUnreadable
from enclave.domain.events import EventType
from enclave.domain.people import Role
from enclave.portal import audit_page
from enclave.portal.audit_events import EventFilter, event_index
from enclave.portal.forms import EventFilterForm
from enclave.portal.models import Project, User
from enclave.portal.permissions import SignedInRequest, requires
from enclave.portal.record import audit_client, record

PAGE = 50


@requires(Role.AUDITOR)
@require_GET
def event_list(request: SignedInRequest) -> HttpResponse:
    """Records that pass the filters of the address, newest first."""
    form = EventFilterForm(request.GET)
    wanted = audit_page.filter_of(form.cleaned_data) if form.is_valid() else EventFilter()
    found = event_index(settings.ENCLAVE.log_dir).newest_first(wanted)
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    names = audit_page.names_by_id()
    _record_reading(request.user, "list", data=_filter_data(wanted), payload={"text": wanted.text})
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "form": form,
        "page": page,
        "rows": [audit_page.row_of(entry, names) for entry in page.object_list],
        "query": query.urlencode(),
        "people": User.objects.order_by("username"),
        "projects": Project.objects.values_list("pk", flat=True),
    }
    return render(request, "portal/audit_list.html", context)


def _filter_data(wanted: EventFilter) -> dict[str, str | int | bool | list[str]]:
    return {
        "persons": sorted(p for p in wanted.persons or () if p.startswith(("u-", "system:"))),
        "project": wanted.project,
        "event": wanted.type,
        "since": wanted.since.isoformat() if wanted.since else "",
        "until": wanted.until.isoformat() if wanted.until else "",
    }


def _record_reading(user: User, what: str, **fields: Any) -> None:
    record(EventType.AUDIT_READ, user, subject=f"log:{what}", decision="allow", **fields)


def _get_entry(index: int) -> LogEntry:
    try:
        return event_index(settings.ENCLAVE.log_dir).get(index)
    except LogUnreadable as error:
        raise Http404 from error


def _event_page(request: SignedInRequest, entry: LogEntry, **more: Any) -> HttpResponse:
    context = {
        "entry": entry,
        "row": audit_page.row_of(entry, audit_page.names_by_id()),
        "fields": audit_page.fields_of(entry),
        "proof": audit_page.proof_of(entry),
        "has_payload": "payload" in entry.leaf,
        **more,
    }
    return render(request, "portal/audit_event.html", context)


@requires(Role.AUDITOR)
@require_GET
def event_detail(request: SignedInRequest, index: int) -> HttpResponse:
    """One record with all its fields and its proof, built and verified now."""
    entry = _get_entry(index)
    _record_reading(request.user, "record", counts={"index": index})
    return _event_page(request, entry)


@requires(Role.AUDITOR)
@require_POST
def payload(request: SignedInRequest, index: int) -> HttpResponse:
    """The same page with the record's protected part; the audit daemon records the reading before it decrypts."""
    entry = _get_entry(index)
    try:
        found = audit_client().payload(index, request.user.person_id)
    except AuditRefused as refused:
        return _event_page(request, entry, payload_problem=str(refused))
    return _event_page(request, entry, payload=audit_page.payload_text(found))


@requires(Role.AUDITOR)
@require_GET
def proof_file(request: SignedInRequest, index: int) -> HttpResponse:
    """The proof as a file that anybody can check with ``enclave-audit`` and the log's key."""
    proof = audit_page.proof_of(_get_entry(index))
    if not proof.ok:
        raise Http404
    _record_reading(request.user, "proof", counts={"index": index})
    response = HttpResponse(proof.text, content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="record-{index}.tlog-proof"'
    return response


@requires(Role.AUDITOR)
@require_GET
def verify(request: SignedInRequest) -> HttpResponse:
    """The whole log checked now, question by question."""
    _record_reading(request.user, "verify")
    context: dict[str, Any] = {}
    try:
        report = audit_page.verified_log()
        context["report"], context["verdicts"] = report, audit_page.verdict_rows(report)
        context["key"] = audit_page.verifier_key()
    except OSError:
        context["problem"] = True
    return render(request, "portal/audit_verify.html", context)
