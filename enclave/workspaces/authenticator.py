"""People log in to the hub at the portal (OpenID Connect, PKCE); no password and no list of people here.

The browser is sent to the portal's page; code and user info are fetched from the portal's unix socket. Researchers and
admins may log in (an admin is no admin of the hub); whether a workspace may start is the portal's decision each time.
Also here: the page that vouches for a logged-in browser at its workspace (ADR 4, ADR 15).
"""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jupyterhub.handlers import BaseHandler
from oauthenticator.generic import GenericOAuthenticator
from oauthenticator.oauth2 import OAuthLogoutHandler
from tornado import web
from tornado.netutil import Resolver
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from enclave import keys
from enclave.domain.ids import PROJECT_ID
from enclave.domain.people import Role
from enclave.edge.passes import CODE_PAGE, COOKIE, LIFETIME_SECONDS, issue_code, issue_pass
from enclave.settings import Settings, get_settings
from enclave.workspaces.hub_words import said

MAY_LOG_IN = frozenset({Role.RESEARCHER, Role.ADMIN})


class PortalSocketResolver(Resolver):
    """Every host name is the portal's unix socket: this client can talk to nobody else."""

    def initialize(self, path: Path) -> None:
        """``path``: the portal's socket."""
        self._path = path

    async def resolve(self, host: str, port: int, family: int = 0) -> list[tuple[int, Any]]:
        """The socket, whatever is asked for."""
        return [(socket.AF_UNIX, str(self._path))]


def portal_client(settings: Settings) -> SimpleAsyncHTTPClient:
    """An HTTP client over the portal's socket; sends the headers the edge would add."""
    return SimpleAsyncHTTPClient(
        force_instance=True,
        resolver=PortalSocketResolver(path=settings.portal_socket),
        defaults={"follow_redirects": False, "request_timeout": 20.0},
    )


def may_log_in(roles: object) -> bool:
    """``roles``: the list in the user info. Anything unexpected is a no."""
    return isinstance(roles, list) and not MAY_LOG_IN.isdisjoint(roles)


class WorkspacePassHandler(BaseHandler):  # type: ignore[misc]  # JupyterHub ships no types
    """``GET /hub/workspace-pass?next=/user/<me>/…``: go back there with a one-time code, or set the pass itself."""

    @web.authenticated
    def get(self) -> None:
        """403 with a sentence when ``next`` is somebody else's."""
        name = self.current_user.name
        own = f"/user/{name}/"
        following = self.get_argument("next", own)
        settings: Settings = get_settings()
        not_yours = said(self, settings.site_language, "not-yours")
        if not following.startswith(own) or "\\" in following:
            raise web.HTTPError(403, not_yours)
        secret = keys.proxy_auth_token(settings)
        if settings.workspace_origins:
            project = re.split(r"[/?#]", following.removeprefix(own))[0]
            if not PROJECT_ID.fullmatch(project):
                raise web.HTTPError(403, not_yours)
            query = urlencode({"code": issue_code(secret, name, project, time.time()), "next": following})
            self.redirect(f"{settings.workspace_origin(name, project)}{CODE_PAGE}?{query}")
            return
        self.set_cookie(
            COOKIE,
            issue_pass(secret, name, time.time()),
            path=own,
            max_age=LIFETIME_SECONDS,
            httponly=True,
            samesite="Lax",
            secure=settings.scheme == "https",
        )
        self.redirect(following)


class PassClearingLogoutHandler(OAuthLogoutHandler):  # type: ignore[misc]
    """Logging out also takes the workspace pass away, where it is the hub's cookie; it ends the workspaces anyway."""

    async def handle_logout(self) -> None:
        """Clear the pass of whoever was logged in."""
        await super().handle_logout()
        if self.current_user is not None:
            self.clear_cookie(COOKIE, path=f"/user/{self.current_user.name}/")


class PortalAuthenticator(GenericOAuthenticator):  # type: ignore[misc]
    """See the module."""

    logout_handler = PassClearingLogoutHandler

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.http_client = portal_client(get_settings())

    def get_handlers(self, app: Any) -> list[tuple[str, type]]:
        """Login, callback and logout of oauthenticator, and the pass page."""
        handlers: list[tuple[str, type]] = super().get_handlers(app)
        return [*handlers, (r"/workspace-pass", WorkspacePassHandler)]

    async def authenticate(self, handler: Any, data: Any = None, **options: Any) -> dict[str, Any] | None:
        """Who came from the portal; 403 with a sentence in the page's language when no workspace is for them."""
        found: dict[str, Any] | None = await super().authenticate(handler, data, **options)
        if found is not None and not self._may_log_in(found):
            raise web.HTTPError(403, said(handler, get_settings().site_language, "not-for-you"))
        return found

    async def check_allowed(self, username: str, auth_model: dict[str, Any] | None) -> bool:
        """True for researchers and admins; asked of accounts that were let in before as well."""
        return auth_model is None or self._may_log_in(auth_model)

    def _may_log_in(self, auth_model: dict[str, Any]) -> bool:
        info = (auth_model.get("auth_state") or {}).get(self.user_auth_state_key) or {}
        return may_log_in(info.get("roles"))


def configure(c: Any, settings: Settings) -> None:
    """Set the traits; ``c`` is JupyterHub's configuration object."""
    inside = f"http://{settings.portal_name}:{settings.port}/identity/o/api"
    own = c.PortalAuthenticator
    own.client_id = "hub"
    own.client_secret = keys.oidc_client_secret(settings)
    own.oauth_callback_url = f"{settings.hub_url}/hub/oauth_callback"
    own.authorize_url = f"{settings.portal_url}/identity/o/authorize"
    own.token_url = f"{inside}/token"
    own.userdata_url = f"{inside}/userinfo"
    own.http_request_kwargs = {"headers": {"X-Forwarded-Proto": settings.scheme}}
    own.scope = ["openid", "profile"]
    own.username_claim = "preferred_username"
    own.enable_pkce = True
    own.enable_auth_state = False
    own.any_allow_config = True
    own.auto_login = True
    own.logout_redirect_url = settings.portal_url
