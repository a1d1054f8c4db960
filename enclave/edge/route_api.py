"""JupyterHub's proxy REST API (the contract of configurable-http-proxy) on a unix socket only root can open."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from enclave.edge.routes import RouteError, RouteTable
from enclave.edge.sockets import Upstreams


class RouteApi:
    """``GET /api/routes``; ``GET``, ``POST``, ``DELETE /api/routes/<prefix>``; with ``Authorization: token …``."""

    def __init__(self, table: RouteTable, upstreams: Upstreams, auth_token: str) -> None:
        self._table = table
        self._upstreams = upstreams
        self._auth_token = auth_token

    def application(self) -> web.Application:
        """The aiohttp application for the API's socket."""
        app = web.Application(middlewares=[self._authorize])
        app.router.add_get("/api/routes", self._list)
        app.router.add_get("/api/routes/", self._list)
        app.router.add_get("/api/routes{prefix:/.+}", self._one)
        app.router.add_post("/api/routes{prefix:.*}", self._add)
        app.router.add_delete("/api/routes{prefix:.*}", self._remove)
        return app

    @web.middleware
    async def _authorize(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, f"token {self._auth_token}".encode()):
            raise web.HTTPForbidden(text="Expected the hub's token.")
        return await handler(request)

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response(self._table.as_json())

    async def _one(self, request: web.Request) -> web.Response:
        found = self._table.as_json().get("/" + request.match_info["prefix"].strip("/"))
        if found is None:
            raise web.HTTPNotFound(text="There is no such route.")
        return web.json_response(found)

    async def _add(self, request: web.Request) -> web.Response:
        try:
            body: dict[str, Any] = json.loads(await request.text())
            target = str(body.pop("target"))
            self._table.set(request.match_info["prefix"], target, body)
        except (RouteError, ValueError, KeyError, AttributeError) as error:
            raise web.HTTPBadRequest(text=f"{error}") from error
        return web.Response(status=201)

    async def _remove(self, request: web.Request) -> web.Response:
        route = self._table.remove(request.match_info["prefix"])
        if route is None:
            raise web.HTTPNotFound(text="There is no such route.")
        await self._upstreams.forget(route.socket)
        return web.Response(status=204)
