"""Bytes of snapshots over HTTP: raw files and pictures for reviewers, downloads for the requester, the receipt.

Whatever a researcher wrote is never a page of the portal: text goes out as ``text/plain``, pictures under a policy that
forbids everything and a sandbox (drawn again from their points; SVG as it is), downloads as attachments, all without
content sniffing.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from django.http import FileResponse, Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET

from egress_review.actions.look import RECEIPT_NAME, check_part, download_archive, download_file, view_file
from egress_review.actions.reading import shown_notebook_picture, shown_picture
from egress_review.domain.visibility import Part
from egress_review.models import OutputRequest
from egress_review.web.language import in_readers_language
from enclave.domain.people import Role
from enclave.portal.permissions import SignedInRequest, requires, signed_in

REVIEWERS = (Role.OUTPUT_CHECKER, Role.DATA_STEWARD)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'; base-uri 'none'"


def _locked_down(response: HttpResponseBase) -> HttpResponseBase:
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _get(request_id: str) -> OutputRequest:
    return get_object_or_404(OutputRequest.objects.select_related("project", "requester"), pk=request_id)


@requires(*REVIEWERS)
@require_GET
@in_readers_language
def raw_file(request: SignedInRequest, request_id: str, position: int) -> HttpResponseBase:
    """One whole file as plain text; bytes that are no text are shown as such, never run."""
    _file, content = view_file(request.user, _get(request_id), position)
    text = content.decode("utf-8", errors="replace")
    return _locked_down(HttpResponse(text, content_type="text/plain; charset=utf-8"))


@requires(*REVIEWERS)
@require_GET
@in_readers_language
def picture(request: SignedInRequest, request_id: str, position: int) -> HttpResponseBase:
    """A picture file, for an ``<img>``."""
    row = _get(request_id)
    file, content = view_file(request.user, row, position)
    return _drawn(shown_picture(request.user, row, file, content))


@requires(*REVIEWERS)
@require_GET
@in_readers_language
def notebook_picture(
    request: SignedInRequest, request_id: str, position: int, cell: int, output: int, kind: str
) -> HttpResponseBase:
    """A picture among a notebook's outputs; ``kind`` is png, jpeg or svg+xml."""
    row = _get(request_id)
    file, content = view_file(request.user, row, position)
    return _drawn(shown_notebook_picture(request.user, row, file, content, cell, output, f"image/{kind}"))


def _drawn(found: tuple[str, bytes] | None) -> HttpResponseBase:
    if found is None:
        raise Http404
    return _locked_down(HttpResponse(found[1], content_type=found[0]))


@signed_in
@require_GET
@in_readers_language
def download_one(request: SignedInRequest, request_id: str, position: int) -> HttpResponseBase:
    """One released file as an attachment."""
    file, content = download_file(request.user, _get(request_id), position)
    return _attachment(HttpResponse(content, content_type="application/octet-stream"), PurePosixPath(file.name).name)


@signed_in
@require_GET
@in_readers_language
def download_all(request: SignedInRequest, request_id: str) -> HttpResponseBase:
    """All released files and the receipt in one zip."""
    row = _get(request_id)
    archive = download_archive(request.user, row)
    return _locked_down(
        FileResponse(archive, as_attachment=True, filename=f"{row.pk}.zip", content_type="application/zip")
    )


@signed_in
@require_GET
@in_readers_language
def receipt(request: SignedInRequest, request_id: str) -> HttpResponseBase:
    """The signed release receipt."""
    row = _get(request_id)
    check_part(request.user, row, Part.HASHES)
    if not row.receipt:
        raise Http404
    return _attachment(HttpResponse(row.receipt, content_type="application/jose"), f"{row.pk}-{RECEIPT_NAME}")


def _attachment(response: HttpResponse, name: str) -> HttpResponseBase:
    response.headers["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    return _locked_down(response)
