"""Whom the hub asks over unix sockets: the portal decides about a workspace, the gateway opens its socket; edge and
workspace say when somebody was last seen and whether a kernel computes.

Contract: a refusal comes back as ``RefusedError`` with the other side's sentences; a partner that does not answer is a
``PartnerAwayError``. Nothing is retried here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from enclave import keys
from enclave.domain.decisions import RefusedError
from enclave.domain.ids import PersonId, ProjectId, Username, WorkspaceId
from enclave.domain.workspaces import WorkspaceGrant, WorkspaceToken
from enclave.settings import Settings
from enclave.workspaces.standing import ASK_SECONDS

_TIMEOUT = aiohttp.ClientTimeout(total=30)
_STATUS_TIMEOUT = aiohttp.ClientTimeout(total=ASK_SECONDS)
_STATUS_BYTES = 100_000
_T = TypeVar("_T")


class PartnerAwayError(Exception):
    """Portal or gateway did not answer as agreed; ``said``: sentences of its own, for the reader, if it gave any."""

    def __init__(self, sentence: str, partner: str, said: tuple[str, ...] = ()) -> None:
        super().__init__(sentence)
        self.partner, self.said = partner, said


class Partners:
    """Calls to the portal's internal API, the gateway's control API and the edge's routes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._headers = {"X-Enclave-Service": keys.service_secret(settings), "Host": settings.portal_name}
        self._edge_headers = {"Authorization": f"token {keys.proxy_auth_token(settings)}"}

    async def start_workspace(self, username: Username, project: ProjectId, language: str) -> WorkspaceGrant:
        """May this person open a workspace of this project now? Sentences come in ``language``.

        Raises RefusedError, PartnerAwayError.
        """
        answer = await self._portal("workspaces/start", {"username": username, "project": project}, language)
        return _complete(WorkspaceGrant.from_answer, answer)

    async def renew_token(self, workspace: WorkspaceId) -> WorkspaceToken:
        """A new token for a running workspace. RefusedError means: revoked, stop it. Raises PartnerAwayError, too."""
        return _complete(WorkspaceToken.from_answer, await self._portal("workspaces/token", {"workspace": workspace}))

    async def workspace_stopped(self, workspace: WorkspaceId) -> None:
        """Tell the portal that a workspace has ended."""
        await self._portal("workspaces/stopped", {"workspace": workspace})

    async def open_gateway(self, workspace: WorkspaceId, project: ProjectId, person: PersonId) -> None:
        """Let the gateway open this workspace's socket."""
        await self._gateway("PUT", workspace, {"project": project, "person": person})

    async def close_gateway(self, workspace: WorkspaceId) -> None:
        """Let the gateway close this workspace's socket."""
        await self._gateway("DELETE", workspace, None)

    async def last_seen(self, prefix: str) -> datetime | None:
        """When somebody last did something in the workspace at this prefix, as the edge saw it; None: unknown."""
        url = f"http://edge/api/routes{prefix.rstrip('/')}"
        try:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.UnixConnector(str(self._settings.edge_api_socket)), timeout=_STATUS_TIMEOUT
                ) as session,
                session.get(url, headers=self._edge_headers) as answer,
            ):
                route = await answer.json() if answer.status == 200 else {}
                return datetime.fromisoformat(route["last_activity"]).astimezone(UTC)
        except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError, TimeoutError):
            return None

    async def _portal(self, what: str, body: dict[str, str], language: str = "en") -> dict[str, Any]:
        url = f"http://portal/internal/{what}"
        # The portal lives behind the edge; without this header it would answer https deployments with a redirect.
        extra = {"X-Forwarded-Proto": self._settings.scheme, "Accept-Language": language}
        return await _call(self._settings.portal_socket, "POST", url, body, {**self._headers, **extra}, "portal")

    async def _gateway(self, method: str, workspace: WorkspaceId, body: dict[str, str] | None) -> None:
        url = f"http://gateway/workspaces/{workspace}"
        await _call(self._settings.gateway_control_socket, method, url, body, self._headers, "gateway")


def _complete(read: Callable[[dict[str, Any]], _T], answer: dict[str, Any]) -> _T:
    try:
        return read(answer)
    except (KeyError, TypeError, ValueError) as error:
        raise PartnerAwayError("The portal's answer is not complete.", "portal") from error


async def _call(
    socket: Path, method: str, url: str, body: dict[str, str] | None, headers: dict[str, str], partner: str
) -> dict[str, Any]:
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)), timeout=_TIMEOUT) as session,
            session.request(method, url, json=body, headers=headers, allow_redirects=False) as answer,
        ):
            content = await answer.json(content_type=None) if answer.content_length != 0 else {}
            reasons = content.get("reasons") if isinstance(content, dict) and answer.status >= 400 else None
            said = tuple(map(str, reasons)) if isinstance(reasons, list) else ()
            if said and answer.status < 500:
                raise RefusedError(*said)
            if answer.status == 403:
                raise RefusedError(f"The {partner} refused without giving a reason. Ask your admin.")
            if answer.status >= 300:
                raise PartnerAwayError(f"The {partner} answered with status {answer.status}.", partner, said)
            return content if isinstance(content, dict) else {}
    except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
        raise PartnerAwayError(f"The {partner} does not answer.", partner) from error


async def is_computing(socket: Path, base_url: str) -> bool:
    """Does a kernel of this workspace say that it is busy? (Its own word: it can only keep itself from being idle.)"""
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)), timeout=_STATUS_TIMEOUT) as session,
            session.get(f"http://workspace{base_url}api/kernels", headers={"Referer": "http://workspace/"}) as answer,
        ):
            kernels = json.loads(await answer.content.read(_STATUS_BYTES)) if answer.status == 200 else []
    except (aiohttp.ClientError, OSError, ValueError, TimeoutError, RecursionError):
        return False
    return isinstance(kernels, list) and any(
        isinstance(k, dict) and k.get("execution_state") == "busy" for k in kernels
    )


async def answers(socket: Path, path: str, *, seconds: float = 1.0) -> bool:
    """Does an HTTP server on this socket answer ``path`` within ``seconds``?"""
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)), timeout=timeout) as session,
            session.get(f"http://workspace{path}", allow_redirects=False) as answer,
        ):
            return answer.status < 500
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False
