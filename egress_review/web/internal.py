"""``POST /internal/output-requests``: the gateway hands on ``request_release`` of a workspace, with the caller's token;
``POST /internal/output-requests/check`` runs the disclosure checks over the caller's outbox and keeps nothing.

The token is verified here again; the person must be active and the token younger than any revocation. 401 for a token,
403 for a refusal, 422 for a body of another shape; always ``{"reasons": […]}``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import reverse
from django.utils.translation import override
from django.views.decorators.http import require_POST

from egress_review.actions.check import CheckedFile, check_outbox
from egress_review.actions.submit import submit
from egress_review.web.language import label_of, place_of, translated
from egress_review.web.lists import sent_back
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.keys import token_public_key
from enclave.portal.models import Project, User
from enclave.portal.permissions import service
from enclave.portal.record import record
from enclave.tokens import TokenClaims, TokenError, verify

BODY_BYTES = 200_000
_REVOKED = "This token belongs to nobody who may work here now. Log in to the portal and start the workspace again."
_SHAPE = (
    'Expected {"token", "files": [names], "title", "context"} and perhaps {"follows": id}, found another body. '
    "Use enclave_client."
)


@dataclass(frozen=True)
class _Asked:
    """A well-formed body."""

    token: str
    files: tuple[str, ...]
    title: str
    context: str
    follows: str


@service
@require_POST
def output_requests(request: HttpRequest) -> JsonResponse:
    """Make an output request for the person whom the token names."""
    asked = _read(request)
    if asked is None:
        return JsonResponse({"reasons": [_SHAPE]}, status=422)
    try:
        user, project = _people(verify(token_public_key(settings.ENCLAVE), asked.token))
    except TokenError as error:
        return _token_refused(error)
    try:
        row = submit(user, project, asked.files, asked.title, asked.context, asked.follows)
    except RefusedError as refused:
        return JsonResponse({"reasons": list(refused.reasons)}, status=403)
    url = settings.ENCLAVE.portal_url + reverse("egress_review:detail", args=[row.pk])
    findings = row.findings.count()
    made = {"id": row.pk, "url": url, "state": row.state, "findings": findings, "version": row.version}
    return JsonResponse(made, status=201)


@service
@require_POST
def outbox_checks(request: HttpRequest) -> JsonResponse:
    """``{"token", "language"}`` → ``{"files": [{"name", "bytes", "findings": [{"check", …}]}], "returned"}``.

    ``returned``: this person's requests that were sent back and have no next version, ``{"id", "title", "version"}``.
    """
    asked = _json(request)
    token, language = asked.get("token"), asked.get("language", "en")
    if not isinstance(token, str) or language not in dict(settings.LANGUAGES):
        return JsonResponse({"reasons": ['Expected {"token", "language"}, found another body.']}, status=422)
    try:
        user, project = _people(verify(token_public_key(settings.ENCLAVE), token))
    except TokenError as error:
        return _token_refused(error)
    with override(language):
        try:
            checked = check_outbox(user, project)
        except RefusedError as refused:
            return JsonResponse({"reasons": [translated(reason) for reason in refused.reasons]}, status=403)
        returned = [{"id": row.pk, "title": row.title, "version": row.version} for row in sent_back(user, project)]
        return JsonResponse({"files": [_file_as_json(file) for file in checked], "returned": returned})


def _file_as_json(file: CheckedFile) -> dict[str, Any]:
    findings = [
        {
            "check": label_of(finding.check),
            "severity": finding.severity.value,
            "message": translated(finding.message),
            "place": place_of(finding.location),
        }
        for finding in file.findings
    ]
    return {"name": file.name, "bytes": file.bytes, "was_read": file.was_read, "findings": findings}


def _token_refused(error: TokenError) -> JsonResponse:
    record(EventType.OUTPUT_REQUEST_REFUSED, None, decision="deny", data={"reasons": [str(error)]})
    return JsonResponse({"reasons": [str(error)]}, status=401)


def _json(request: HttpRequest) -> dict[str, Any]:
    """The body as an object; empty when it is none or too long."""
    try:
        body = json.loads(request.body) if int(request.headers.get("Content-Length") or 0) <= BODY_BYTES else None
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _read(request: HttpRequest) -> _Asked | None:
    if int(request.headers.get("Content-Length") or 0) > BODY_BYTES:
        return None
    try:
        body: Any = json.loads(request.body)
        files = body["files"]
        asked = _Asked(body["token"], tuple(files), body["title"], body.get("context") or "", body.get("follows") or "")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    texts = (asked.token, asked.title, asked.context, asked.follows, *asked.files)
    return asked if isinstance(files, list) and all(isinstance(text, str) for text in texts) else None


def _people(claims: TokenClaims) -> tuple[User, Project]:
    user = User.objects.filter(person_id=claims.person, is_active=True).first()
    project = Project.objects.filter(pk=claims.project).first()
    if user is None or project is None or claims.issued_at < user.tokens_valid_from:
        raise TokenError(_REVOKED)
    return user, project
