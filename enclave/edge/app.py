"""The edge: the only listener a browser reaches. Portal and hub are two names, so two origins; others are refused.

Order of the checks: host name → readable path → portal (never ``/internal/``) or hub's route table → for a workspace:
the person's pass, the request's own origin, the positive list of ``workspace_rules``. What a workspace answers goes
through ``shown`` (cleaned and metered). Every answer carries the security headers. Non-goal: rate limits of requests.
"""

from __future__ import annotations

import time
from dataclasses import replace
from urllib.parse import urlencode

from aiohttp import web

from enclave.domain.decisions import Deny
from enclave.edge import pages
from enclave.edge.exposure_page import EXPOSURE_PAGE, exposure_page
from enclave.edge.forward import Errand, forward, is_websocket
from enclave.edge.headers import (
    SECURITY_HEADERS,
    Headers,
    PathRefusedError,
    clean_request,
    decode_path,
    for_hub,
    for_workspace,
    from_workspace,
    is_internal,
    parse_cookies,
    without_token,
)
from enclave.edge.meter import Meter
from enclave.edge.passes import COOKIE, find_holder, wants_renewal
from enclave.edge.routes import Route, RouteTable
from enclave.edge.shown import Screen
from enclave.edge.sockets import Upstreams
from enclave.edge.workspace_rules import decide_request, is_looked_into, is_persons_doing
from enclave.settings import Settings

PASS_PAGE = "/hub/workspace-pass"  # noqa: S105  (an address, no password)


class Edge:
    """Handler of every browser request."""

    def __init__(self, settings: Settings, table: RouteTable, pass_secret: str, meter: Meter) -> None:
        self._settings = settings
        self._meter = meter
        self._table = table
        self._pass_secret = pass_secret
        self.upstreams = Upstreams()

    def application(self) -> web.Application:
        """The aiohttp application for the public listener."""
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/{path:.*}", self.handle)
        app.on_response_prepare.append(self._add_security_headers)

        async def close(_: web.Application) -> None:
            await self.upstreams.close()

        app.on_cleanup.append(close)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Decide where a request goes."""
        host = request.headers.get("Host", "").rpartition(":")[0] or request.headers.get("Host", "")
        name = host.lower().rstrip(".")
        try:
            path = decode_path(request.rel_url.raw_path)
        except (PathRefusedError, UnicodeDecodeError):
            return pages.page(request, "bad-path")
        if name == self._settings.portal_name:
            return await self._portal(request, path)
        if name == self._settings.hub_name:
            return await self._hub(request, path)
        return pages.page(request, "unknown-host")

    async def _portal(self, request: web.Request, path: str) -> web.StreamResponse:
        if is_internal(path):
            return pages.page(request, "not-found")
        errand = Errand(self._settings.portal_socket, request.rel_url.raw_path_qs, self._inbound(request), lambda h: h)
        return await forward(request, self.upstreams, errand)

    async def _hub(self, request: web.Request, path: str) -> web.StreamResponse:
        found = self._table.find(path)
        if found is None:
            return pages.page(request, "away")
        prefix, route = found
        if route.user is not None:
            return await self._workspace(request, path, prefix, route)
        errand = Errand(route.socket, request.rel_url.raw_path_qs, for_hub(self._inbound(request)), lambda h: h)
        return await forward(request, self.upstreams, errand)

    async def _workspace(self, request: web.Request, path: str, prefix: str, route: Route) -> web.StreamResponse:
        refused = self._check_person(request, route) or self._check_origin(request)
        if refused is not None:
            return refused
        inner = path[len(prefix) :] or "/"
        try:
            account = self._meter.account(route.user or "", str(route.data.get("server_name", "")))
        except ValueError:
            return pages.page(request, "away")
        if inner == EXPOSURE_PAGE and request.method == "GET":
            return exposure_page(account)
        passage = decide_request(request.method, inner, request.query)
        if isinstance(passage.decision, Deny):
            return pages.refusal(request, passage.decision.reasons)
        if is_persons_doing(request.method, inner):
            route.touch()
        is_channel = inner.endswith("/channels")
        errand = self._errand(request, inner, prefix, route, Screen(self._meter, account, pages.language_of(request)))
        account.sockets += is_channel
        try:
            return await forward(request, self.upstreams, replace(errand, maximum_bytes=passage.maximum_bytes))
        finally:
            account.sockets -= is_channel

    def _errand(self, request: web.Request, inner: str, prefix: str, route: Route, screen: Screen) -> Errand:
        query = without_token(request.rel_url.raw_query_string)
        is_channel = inner.endswith("/channels")
        return Errand(
            route.socket,
            request.rel_url.raw_path + (f"?{query}" if query else ""),
            for_workspace(self._inbound(request)),
            lambda headers: from_workspace(headers, prefix=prefix, websocket_origin=self._websocket_origin()),
            on_message=route.touch if is_channel else lambda: None,
            frames=screen.frame if is_channel else screen.event,
            whole_body=screen.contents if is_looked_into(request.method, inner) else None,
            on_bytes=screen.other,
        )

    def _check_person(self, request: web.Request, route: Route) -> web.Response | None:
        """None when the browser's pass names the workspace's researcher; a page load without one goes to the hub."""
        value = parse_cookies(request.headers.getall("Cookie", [])).get(COOKIE, "")
        holder = find_holder(self._pass_secret, value, time.time())
        is_page = (
            request.method == "GET" and not is_websocket(request) and "text/html" in request.headers.get("Accept", "")
        )
        if holder == route.user and not (is_page and wants_renewal(value, time.time())):
            return None
        if is_page and holder in (None, route.user):
            # A path that only *looks* like another host (//host/…) must not become a redirect to it.
            back = "/" + request.rel_url.raw_path_qs.lstrip("/")
            return web.Response(status=302, headers={"Location": f"{PASS_PAGE}?{urlencode({'next': back})}"})
        return pages.page(request, "not-yours")

    def _check_origin(self, request: web.Request) -> web.Response | None:
        """A request that changes something or opens a channel must come from the hub's own pages."""
        origin = request.headers.get("Origin")
        harmless = request.method in ("GET", "HEAD") and not is_websocket(request)
        if origin == self._settings.hub_url or (origin is None and harmless):
            return None
        if origin is None and request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin":
            return None
        return pages.page(request, "foreign-page")

    def _inbound(self, request: web.Request) -> Headers:
        url = self._settings
        name = request.headers.get("Host", "")
        return clean_request(request.headers.items(), host=name, scheme=url.scheme, remote=request.remote or "unknown")

    def _websocket_origin(self) -> str:
        return self._settings.hub_url.replace("http", "ws", 1)

    async def _add_security_headers(self, _: web.Request, response: web.StreamResponse) -> None:
        for key, value in SECURITY_HEADERS.items():
            response.headers.setdefault(key, value)
        if self._settings.scheme == "https":
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        response.headers["Server"] = "enclave"
