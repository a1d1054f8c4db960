"""The auditor's pages: list, one record with its proof, the whole log verified. Every reading is recorded itself."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from audit.client import AuditRefused
from audit.index import Wanted
from audit.policy import PolicyError
from audit.reader import CHECKPOINT, LogEntry, LogUnreadable
from enclave.domain.events import EventType
from enclave.domain.people import Role
from enclave.portal.auditing import filters, log, proofs, rows
from enclave.portal.auditing.forms import EventFilterForm
from enclave.portal.auditing.timeline import timeline_of
from enclave.portal.models import Dataset, Project, User
from enclave.portal.permissions import SignedInRequest, requires
from enclave.portal.record import audit_client, record
from enclave.settings import REPOSITORY

PAGE = 50
PROOF_SCRIPT = REPOSITORY / "docs" / "examples" / "check-proof.sh"


def record_reading(user: User, what: str, **fields: Any) -> None:
    """EHDS art. 73(1)(e): who reads the log is on record as well."""
    record(EventType.AUDIT_READ, user, subject=f"log:{what}", decision="allow", **fields)


@requires(Role.AUDITOR)
@require_GET
def event_list(request: SignedInRequest) -> HttpResponse:
    """Records that pass the filters of the address, newest first."""
    form = EventFilterForm(request.GET)
    wanted = filters.wanted_of(form.cleaned_data) if form.is_valid() else Wanted()
    before = _whole_number(request.GET.get("before"))
    record_reading(request.user, "list", data=filters.recorded(wanted), payload={"text": wanted.text or ""})
    index = log.fresh_index()
    found = index.search(wanted, limit=PAGE + 1, before=before)
    names = rows.names_by_id()
    query = {name: str(value) for name, value in request.GET.items() if name in form.fields}
    context = {
        "form": form,
        "rows": [rows.row_of(row, names) for row in found[:PAGE]],
        "total": index.count(wanted),
        "timeline": timeline_of(index.histogram(wanted), query),
        "query": filters.address(query),
        "older": found[PAGE - 1].index if len(found) > PAGE else None,
        "is_first": before is None,
        "people": User.objects.order_by("username"),
        "projects": Project.objects.values_list("pk", flat=True),
        "datasets": Dataset.objects.values_list("name", flat=True).distinct(),
    }
    return render(request, "portal/audit_list.html", context)


def _whole_number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def get_entry(index: int) -> LogEntry:
    """A record of the log, or the page for what is not there."""
    try:
        return log.entry_at(index)
    except LogUnreadable as error:
        raise Http404 from error


def _event_page(request: SignedInRequest, entry: LogEntry, **more: Any) -> HttpResponse:
    context = {
        "entry": entry,
        "row": rows.row_of_entry(entry, rows.names_by_id()),
        "fields": rows.fields_of(entry),
        "proof": proofs.proof_of(entry),
        "has_payload": "payload" in entry.leaf,
        **more,
    }
    return render(request, "portal/audit_event.html", context)


@requires(Role.AUDITOR)
@require_GET
def event_detail(request: SignedInRequest, index: int) -> HttpResponse:
    """One record with all its fields and its proof, built and verified now."""
    entry = get_entry(index)
    record_reading(request.user, "record", counts={"index": index})
    return _event_page(request, entry)


@requires(Role.AUDITOR)
@require_POST
def payload(request: SignedInRequest, index: int) -> HttpResponse:
    """The same page with the record's protected part; the audit daemon records the reading before it decrypts."""
    entry = get_entry(index)
    try:
        found = audit_client().payload(index, request.user.person_id)
    except AuditRefused as refused:
        return _event_page(request, entry, payload_problem=str(refused))
    return _event_page(request, entry, payload=rows.payload_text(found))


@requires(Role.AUDITOR)
@require_GET
def prove(request: SignedInRequest, index: int) -> HttpResponse:
    """How to check this record's proof with programs that are not ours, and everything that takes."""
    entry = get_entry(index)
    record_reading(request.user, "prove", counts={"index": index})
    context = {
        "entry": entry,
        "row": rows.row_of_entry(entry, rows.names_by_id()),
        "proof": proofs.proof_of(entry),
        "key": proofs.verifier_key(),
        "script": PROOF_SCRIPT.name,
    }
    return render(request, "portal/audit_prove.html", context)


def _attachment(content: str | bytes, name: str) -> HttpResponse:
    response = HttpResponse(content, content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@requires(Role.AUDITOR)
@require_GET
def proof_file(request: SignedInRequest, index: int) -> HttpResponse:
    """The proof as a file that anybody can check with ``enclave-audit`` and the log's key."""
    proof = proofs.proof_of(get_entry(index))
    if not proof.ok:
        raise Http404
    record_reading(request.user, "proof", counts={"index": index})
    return _attachment(proof.text, f"record-{index}.tlog-proof")


@requires(Role.AUDITOR)
@require_GET
def entry_file(request: SignedInRequest, index: int) -> HttpResponse:
    """The record's exact bytes: what the proof is about."""
    get_entry(index)
    record_reading(request.user, "bytes", counts={"index": index})
    return _attachment(log.entry_bytes(index), f"record-{index}.json")


@requires(Role.AUDITOR)
@require_GET
def proof_script(request: SignedInRequest) -> HttpResponse:
    """A program of forty lines that checks a proof with openssl alone; to be read before it is run."""
    return _attachment(PROOF_SCRIPT.read_bytes(), PROOF_SCRIPT.name)


@requires(Role.AUDITOR)
@require_GET
def checkpoint_file(request: SignedInRequest) -> HttpResponse:
    """The signed checkpoint, to be kept outside: a log that is rewritten later no longer fits it."""
    try:
        content = (settings.ENCLAVE.log_dir / CHECKPOINT).read_bytes()
    except OSError as error:
        raise Http404 from error
    record_reading(request.user, "checkpoint")
    return _attachment(content, "checkpoint.txt")


@requires(Role.AUDITOR)
@require_GET
def verify(request: SignedInRequest) -> HttpResponse:
    """The whole log checked now, question by question."""
    record_reading(request.user, "verify")
    context: dict[str, Any] = {}
    try:
        report = proofs.verified_log()
        context["report"], context["verdicts"] = report, proofs.verdict_rows(report)
        context["key"] = proofs.verifier_key()
    except (OSError, PolicyError):
        context["problem"] = True
    return render(request, "portal/audit_verify.html", context)
