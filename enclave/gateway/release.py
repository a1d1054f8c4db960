"""``enclave.request_release``: the gateway carries a release request to the portal with the caller's own token,
and so it asks for the checks of an outbox.

The workspace has no other way out. The portal decides, snapshots and records; nothing of a file passes through here.
"""

from __future__ import annotations

import json
from typing import Any

import httpx

from enclave.keys import service_secret
from enclave.settings import Settings

MAXIMUM_BODY = 100_000
_SECONDS = 60.0


class ReleaseRefusedError(Exception):
    """The request was not accepted; the sentence says why."""


class ReleaseClient:
    """Talks to ``POST /internal/output-requests`` on the portal's socket. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def submit(self, token: str, body: bytes) -> dict[str, Any]:
        """Forward one request; returns the portal's answer. Raises ReleaseRefusedError."""
        return self._post("output-requests", {"token": token, **parse_request(body)}, "nothing was requested")

    def check(self, token: str, language: str) -> dict[str, Any]:
        """Findings over the outbox as it is now, with sentences in ``language``. Raises ReleaseRefusedError."""
        return self._post("output-requests/check", {"token": token, "language": language}, "nothing was checked")

    def _post(self, route: str, content: dict[str, Any], consequence: str) -> dict[str, Any]:
        transport = httpx.HTTPTransport(uds=str(self._settings.portal_socket))
        try:
            with httpx.Client(transport=transport, timeout=_SECONDS, trust_env=False) as client:
                response = client.post(
                    f"http://portal/internal/{route}",
                    json=content,
                    headers={"X-Enclave-Service": service_secret(self._settings)},
                )
        except httpx.HTTPError as error:
            raise ReleaseRefusedError(f"The portal does not answer, so {consequence}. Try again soon.") from error
        return _answer(response)


def parse_request(body: bytes) -> dict[str, Any]:
    """``{"files": [names], "title": text, "context": text}``, perhaps ``"follows"``: id of the version before; nothing
    else. Raises ReleaseRefusedError."""
    expected = 'Expected {"files": [names in the outbox], "title": "…", "context": "…"}'
    if len(body) > MAXIMUM_BODY:
        raise ReleaseRefusedError(f"{expected}, found more than {MAXIMUM_BODY} bytes. Ask for fewer files at once.")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ReleaseRefusedError(f"{expected}, found something that is not JSON.") from error
    if not isinstance(content, dict) or set(content) - {"follows"} != {"files", "title", "context"}:
        raise ReleaseRefusedError(f"{expected}, found other fields. Use enclave_client.request_release.")
    files = content["files"]
    if not isinstance(files, list) or not files or not all(isinstance(name, str) for name in files):
        raise ReleaseRefusedError(f"{expected}, found no list of file names.")
    if not isinstance(content["title"], str) or not isinstance(content["context"], str):
        raise ReleaseRefusedError(f"{expected}, found a title or context that is not text.")
    if not isinstance(content.get("follows", ""), str):
        raise ReleaseRefusedError(f"{expected}, found a version to follow that is no id. Copy it from the portal.")
    return content


def _answer(response: httpx.Response) -> dict[str, Any]:
    try:
        content = response.json()
    except ValueError:
        content = {}
    if response.status_code in (httpx.codes.OK, httpx.codes.CREATED) and isinstance(content, dict):
        return content
    reasons = content.get("reasons") if isinstance(content, dict) else None
    if isinstance(reasons, list) and reasons:
        raise ReleaseRefusedError(" ".join(str(reason) for reason in reasons))
    raise ReleaseRefusedError(f"The portal did not accept the request (status {response.status_code}). Try again soon.")
