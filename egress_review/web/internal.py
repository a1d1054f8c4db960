"""``POST /internal/output-requests``: the gateway hands on ``request_release`` of a workspace, with the caller's token.

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
from django.views.decorators.http import require_POST

from egress_review.actions.submit import submit
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.keys import token_public_key
from enclave.portal.models import Project, User
from enclave.portal.permissions import service
from enclave.portal.record import record
from enclave.tokens import TokenClaims, TokenError, verify

BODY_BYTES = 200_000
_REVOKED = "This token belongs to nobody who may work here now. Log in to the portal and start the workspace again."
_SHAPE = 'Expected {"token", "files": [names], "title", "context"}, found another body. Use enclave_client.'


@dataclass(frozen=True)
class _Asked:
    """A well-formed body."""

    token: str
    files: tuple[str, ...]
    title: str
    context: str


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
        record(EventType.OUTPUT_REQUEST_REFUSED, None, decision="deny", data={"reasons": [str(error)]})
        return JsonResponse({"reasons": [str(error)]}, status=401)
    try:
        row = submit(user, project, asked.files, asked.title, asked.context)
    except RefusedError as refused:
        return JsonResponse({"reasons": list(refused.reasons)}, status=403)
    url = settings.ENCLAVE.portal_url + reverse("egress_review:detail", args=[row.pk])
    findings = row.findings.count()
    return JsonResponse({"id": row.pk, "url": url, "state": row.state, "findings": findings}, status=201)


def _read(request: HttpRequest) -> _Asked | None:
    if int(request.headers.get("Content-Length") or 0) > BODY_BYTES:
        return None
    try:
        body: Any = json.loads(request.body)
        files = body["files"]
        asked = _Asked(body["token"], tuple(files), body["title"], body.get("context") or "")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    texts = (asked.token, asked.title, asked.context, *asked.files)
    return asked if isinstance(files, list) and all(isinstance(text, str) for text in texts) else None


def _people(claims: TokenClaims) -> tuple[User, Project]:
    user = User.objects.filter(person_id=claims.person, is_active=True).first()
    project = Project.objects.filter(pk=claims.project).first()
    if user is None or project is None or claims.issued_at < user.tokens_valid_from:
        raise TokenError(_REVOKED)
    return user, project
