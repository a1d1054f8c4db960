"""The internal API of the spawner (CONTRACT: Portal). Unix socket and service secret only; the edge forwards none."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_POST

from enclave.domain.decisions import RefusedError
from enclave.portal.actions import workspaces
from enclave.portal.permissions import service


def _text_fields(request: HttpRequest, *names: str) -> list[str]:
    try:
        content: Any = json.loads(request.body)
    except ValueError as error:
        raise RefusedError("Expected a JSON object, found other text. Send the fields of the contract.") from error
    values = [content.get(name) if isinstance(content, dict) else None for name in names]
    if not all(isinstance(value, str) and 0 < len(value) <= 100 for value in values):
        raise RefusedError(f"Expected the text fields {', '.join(names)}. Send the fields of the contract.")
    return [str(value) for value in values]


@service
@require_POST
def workspace_start(request: HttpRequest) -> HttpResponse:
    """Decide about a new workspace; 200 with its token, or 403 with reasons."""
    username, project = _text_fields(request, "username", "project")
    return JsonResponse(asdict(workspaces.start_workspace(username, project)))


@service
@require_POST
def workspace_token(request: HttpRequest) -> HttpResponse:
    """A fresh token for a running workspace."""
    (workspace,) = _text_fields(request, "workspace")
    return JsonResponse(asdict(workspaces.renew_token(workspace)))


@service
@require_POST
def workspace_stopped(request: HttpRequest) -> HttpResponse:
    """Note the end of a workspace."""
    (workspace,) = _text_fields(request, "workspace")
    workspaces.stop_workspace(workspace)
    return HttpResponse(status=204)
