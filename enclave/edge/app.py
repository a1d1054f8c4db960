"""The edge: the only listener a browser reaches. Portal, hub and each workspace are names, so origins, of their own.

Order of the checks: host name → readable path → portal (never ``/internal/``) or hub's route table → for a workspace:
the person's pass, the request's own origin, the positive list of ``workspace_rules``. What a workspace answers goes
through ``shown`` (cleaned and metered). Every answer carries the security headers. Non-goal: rate limits of requests.
"""

from __future__ import annotations

import time
from dataclasses import replace

from aiohttp import web

from enclave.domain.decisions import Deny
from enclave.edge import pages
from enclave.edge.account import Account
from enclave.edge.exposure_page import EXPOSURE_PAGE, exposure_page
from enclave.edge.forward import Errand, forward, is_websocket
from enclave.edge.headers import (
    SECURITY_HEADERS,
    Headers,
    PathRefusedError,
    check_target,
    clean_request,
    decode_path,
    for_hub,
    for_workspace,
    from_workspace,
    is_internal,
    name_of,
    parse_cookies,
    without_token,
)
from enclave.edge.meter import Meter
from enclave.edge.own_origins import OwnOrigins, is_page_load
from enclave.edge.passes import CODE_PAGE, find_holder, wants_renewal
from enclave.edge.routes import Route, RouteTable
from enclave.edge.shown import Screen
from enclave.edge.sockets import Upstreams
from enclave.edge.terminal_screen import TerminalScreen
from enclave.edge.workspace_rules import decide_request, is_looked_into, is_persons_doing, is_terminal
from enclave.settings import Settings


class Edge:
    """Handler of every browser request."""

    def __init__(self, settings: Settings, table: RouteTable, pass_secret: str, meter: Meter) -> None:
        self._settings = settings
        self._meter = meter
        self._table = table
        self._pass_secret = pass_secret
        self._origins = OwnOrigins(settings, pass_secret)
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
        name = name_of(request.headers.get("Host", ""))
        if name is None:
            return pages.page(request, "unknown-host")
        try:
            check_target(request.raw_path)
            path = decode_path(request.rel_url.raw_path)
        except (PathRefusedError, UnicodeDecodeError):
            return pages.page(request, "bad-path")
        if name == self._settings.portal_name:
            return await self._portal(request, path)
        if name == self._settings.hub_name:
            return await self._hub(request, path)
        label = self._origins.find_label(name)
        if label is not None:
            return await self._own_origin(request, path, label)
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
            if not self._settings.workspace_origins:
                return await self._workspace(request, path, prefix, route)
            away = is_page_load(request)
            return self._origins.lead(request, self._origins.origin_of(route)) if away else self._foreign(request)
        errand = Errand(route.socket, request.rel_url.raw_path_qs, for_hub(self._inbound(request)), lambda h: h)
        return await forward(request, self.upstreams, errand)

    async def _own_origin(self, request: web.Request, path: str, label: str) -> web.StreamResponse:
        """A name that belongs to one workspace: nothing of another one and no page of the hub is served here."""
        if path == CODE_PAGE:
            return self._origins.redeem(request, label)
        found = self._table.find(path)
        if found is not None and self._origins.is_at_home(found[1], label):
            return await self._workspace(request, path, *found)
        return self._origins.lead(request, self._settings.hub_url) if is_page_load(request) else self._foreign(request)

    @staticmethod
    def _foreign(request: web.Request) -> web.Response:
        return pages.page(request, "not-yours")

    async def _workspace(self, request: web.Request, path: str, prefix: str, route: Route) -> web.StreamResponse:
        refused = self._check_person(request, route) or self._check_origin(request, route)
        if refused is not None:
            return refused
        inner = path[len(prefix) :] or "/"
        try:
            account = self._meter.account(route.user or "", route.server_name)
        except ValueError:
            return pages.page(request, "away")
        if inner == EXPOSURE_PAGE and request.method == "GET":
            archive = self._meter.archive
            return exposure_page(account, archive.days(account.project) if archive else None)
        terminals = self._meter.has_terminals(account)
        passage = decide_request(request.method, inner, request.query, terminals=terminals)
        if isinstance(passage.decision, Deny):
            return pages.refusal(request, passage.decision.reasons)
        if is_persons_doing(request.method, inner):
            route.touch()
        is_channel = _is_channel(inner)
        errand = self._errand(request, inner, prefix, route, account)
        account.sockets += is_channel
        try:
            return await forward(request, self.upstreams, replace(errand, maximum_bytes=passage.maximum_bytes))
        finally:
            account.sockets -= is_channel

    def _errand(self, request: web.Request, inner: str, prefix: str, route: Route, account: Account) -> Errand:
        query = without_token(request.rel_url.raw_query_string)
        is_channel = _is_channel(inner)
        kind = TerminalScreen if is_terminal(inner) else Screen
        screen = kind(self._meter, account, pages.language_of(request))
        channels = self._origins.origin_of(route).replace("http", "ws", 1)
        return Errand(
            route.socket,
            request.rel_url.raw_path + (f"?{query}" if query else ""),
            for_workspace(self._inbound(request)),
            lambda headers: from_workspace(headers, prefix=prefix, websocket_origin=channels),
            on_message=route.touch if is_channel else lambda: None,
            frames=screen.frame if is_channel else screen.event,
            typed=screen.typed if isinstance(screen, TerminalScreen) else None,
            whole_body=screen.contents if is_looked_into(request.method, inner) else None,
            on_bytes=screen.other,
        )

    def _check_person(self, request: web.Request, route: Route) -> web.Response | None:
        """None when the browser's pass names the workspace's researcher; a page load without one goes to the hub."""
        value = parse_cookies(request.headers.getall("Cookie", [])).get(self._origins.cookie, "")
        holder = find_holder(self._pass_secret, value, time.time())
        is_page = is_page_load(request)
        if holder == route.user and not (is_page and wants_renewal(value, time.time())):
            return None
        if is_page and holder in (None, route.user):
            return self._origins.ask_for_pass(request)
        return self._foreign(request)

    def _check_origin(self, request: web.Request, route: Route) -> web.Response | None:
        """A request that changes something or opens a channel must come from the workspace's own pages."""
        origin = request.headers.get("Origin")
        harmless = request.method in ("GET", "HEAD") and not is_websocket(request)
        if origin == self._origins.origin_of(route) or (origin is None and harmless):
            return None
        if origin is None and request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin":
            return None
        return pages.page(request, "foreign-page")

    def _inbound(self, request: web.Request) -> Headers:
        url = self._settings
        name = request.headers.get("Host", "")
        return clean_request(request.headers.items(), host=name, scheme=url.scheme, remote=request.remote or "unknown")

    async def _add_security_headers(self, _: web.Request, response: web.StreamResponse) -> None:
        for key, value in SECURITY_HEADERS.items():
            response.headers.setdefault(key, value)
        if self._settings.scheme == "https":
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        response.headers["Server"] = "enclave"


def _is_channel(inner: str) -> bool:
    """A WebSocket over which outputs come, a kernel's or a terminal's."""
    return inner.endswith("/channels") or is_terminal(inner)
