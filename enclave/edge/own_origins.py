"""An origin per workspace: from the hub's name to the workspace's own, and the code that becomes a pass there (ADR 15).

Only page loads are led from one origin to another, and only to names made from our own settings and routes.
"""

from __future__ import annotations

import time
from urllib.parse import urlencode

from aiohttp import web

from enclave.domain.origins import workspace_label
from enclave.edge import pages
from enclave.edge.passes import COOKIE, LIFETIME_SECONDS, SAFE_COOKIE, CodeDesk, issue_pass
from enclave.edge.routes import Route
from enclave.settings import Settings

PASS_PAGE = "/hub/workspace-pass"  # noqa: S105  (an address, no password)


class OwnOrigins:
    """What the edge needs to know about names; ``settings.workspace_origins`` off: all workspaces are at the hub's."""

    def __init__(self, settings: Settings, pass_secret: str) -> None:
        self._settings = settings
        self._secret = pass_secret
        self._desk = CodeDesk(pass_secret, time.time())
        self.cookie = SAFE_COOKIE if settings.workspace_origins and settings.scheme == "https" else COOKIE

    def find_label(self, name: str) -> str | None:
        """The label of a workspace's host name; None for any other name."""
        label, dot, rest = name.partition(".")
        return label if self._settings.workspace_origins and dot and rest == self._settings.hub_name else None

    def origin_of(self, route: Route) -> str:
        """Where the workspace of this route is served."""
        return self._settings.workspace_origin(route.user or "", route.server_name)

    @staticmethod
    def is_at_home(route: Route, label: str) -> bool:
        """Does this route's workspace live under this label?"""
        return route.user is not None and workspace_label(route.user, route.server_name) == label

    @staticmethod
    def lead(request: web.Request, origin: str) -> web.Response:
        """Send a page load to the same address of another origin of ours."""
        # A path that only *looks* like another host (//host/…) must not become one.
        return web.Response(status=302, headers={"Location": f"{origin}/{request.rel_url.raw_path_qs.lstrip('/')}"})

    def ask_for_pass(self, request: web.Request) -> web.Response:
        """Send a page load to the hub, which comes back with a code (or sets the cookie, at one origin)."""
        back = "/" + request.rel_url.raw_path_qs.lstrip("/")
        hub = self._settings.hub_url if self._settings.workspace_origins else ""
        return web.Response(status=302, headers={"Location": f"{hub}{PASS_PAGE}?{urlencode({'next': back})}"})

    def redeem(self, request: web.Request, label: str) -> web.Response:
        """``/enclave-pass?code=…&next=…``: a valid code sets the pass on this origin and goes on to ``next``."""
        found = self._desk.redeem(request.query.get("code", ""), time.time()) if request.method == "GET" else None
        following = request.query.get("next", "")
        if found is None or workspace_label(*found) != label:
            return pages.page(request, "old-link")
        here = f"/user/{found[0]}/{found[1]}"
        is_inside = following == here or following.startswith((here + "/", here + "?"))
        if not is_inside or not following.isascii() or any(sign <= " " or sign == "\\" for sign in following):
            following = here + "/"
        response = web.Response(status=302, headers={"Location": following, "Cache-Control": "no-store"})
        response.set_cookie(
            self.cookie,
            issue_pass(self._secret, found[0], time.time()),
            path="/",
            max_age=LIFETIME_SECONDS,
            httponly=True,
            samesite="Lax",
            secure=self._settings.scheme == "https",
        )
        return response


def is_page_load(request: web.Request) -> bool:
    """A browser opens a page, as opposed to a script's request or a channel."""
    upgrade = request.headers.get("Upgrade", "").lower()
    return request.method == "GET" and upgrade != "websocket" and "text/html" in request.headers.get("Accept", "")
