"""Control API of the front, HTTP on ``run/gateway.sock``: the hub says which workspaces exist.

``PUT /workspaces/<id>`` ``{"project", "person"}`` → 200 ``{"socket"}`` · ``DELETE /workspaces/<id>`` → 204 ·
``GET /health``.
Every call needs the header ``X-Enclave-Service`` with the service secret.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web

from enclave.domain.ids import PersonId, ProjectId, WorkspaceId
from enclave.gateway.doors import DoorError, Doors

_HEADER = "X-Enclave-Service"
_DOORS: web.AppKey[Doors] = web.AppKey("doors", Doors)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def control_app(doors: Doors, secret: str, count_workers: Callable[[], int]) -> web.Application:
    """The application; ``secret`` is the service secret."""

    @web.middleware
    async def check_secret(request: web.Request, handler: _Handler) -> web.StreamResponse:
        given = request.headers.get(_HEADER, "")
        if not hmac.compare_digest(given.encode(), secret.encode()):
            sentence = f"Expected the header {_HEADER} with the service secret of this enclave."
            return web.json_response({"reasons": [sentence]}, status=403)
        return await handler(request)

    app = web.Application(middlewares=[check_secret], client_max_size=10_000)
    app[_DOORS] = doors
    app.router.add_put("/workspaces/{workspace}", _open)
    app.router.add_delete("/workspaces/{workspace}", _close)

    async def health(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "sockets": doors.count(), "workers": count_workers()})

    app.router.add_get("/health", health)
    return app


async def _open(request: web.Request) -> web.Response:
    try:
        content = await request.json()
        project, person = ProjectId(str(content["project"])), PersonId(str(content["person"]))
    except (ValueError, KeyError, TypeError):
        return web.json_response({"reasons": ['Expected {"project": …, "person": …} as JSON.']}, status=400)
    workspace = WorkspaceId(request.match_info["workspace"])
    try:
        path = await asyncio.to_thread(request.app[_DOORS].open_workspace, workspace, project, person)
    except DoorError as error:
        return web.json_response({"reasons": [str(error)]}, status=409)
    return web.json_response({"socket": str(path)})


async def _close(request: web.Request) -> web.Response:
    await asyncio.to_thread(request.app[_DOORS].close_workspace, WorkspaceId(request.match_info["workspace"]))
    return web.Response(status=204)
