"""dask-gateway's authenticator: the workspace's own token, judged as the gateway judges it, at each request anew.

The user of dask-gateway is the workspace, so what one may see and stop is what this workspace started. No cookie takes
the token's place: dask-gateway would believe one for minutes after a revocation.
Contract: a request that did not come through a workspace's door is nobody's. Every refusal is recorded, but for a
request without any token: dask-gateway's client sends each one so first, to hear what is asked for (RFC 9110 11.6.1).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from aiohttp import web
from dask_gateway_server.auth import Authenticator
from dask_gateway_server.models import User

from enclave.clusters.entrances import Entrances, WorkspaceEntrance
from enclave.clusters.records import Records
from enclave.gateway.admission import Admission, Caller, CallRefusedError, Door
from enclave.policy import PolicyAction

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WorkspaceUser(User):  # type: ignore[misc]  # dask-gateway has no types
    """A workspace, and the person who asks in it."""

    def __init__(self, caller: Caller, door: Door) -> None:
        super().__init__(str(door.workspace))
        self.caller, self.door = caller, door

    @property
    def idle(self) -> timedelta:
        """How long a cluster may do nothing: as long as the workspace itself."""
        return timedelta(minutes=self.caller.files.permit.workspace.idle_minutes)


class WorkspaceAuthenticator(Authenticator):  # type: ignore[misc]
    """``use`` before the first request."""

    def use(self, admission: Admission, entrances: Entrances, records: Records) -> None:
        """Its parts; traitlets knows no constructor arguments."""
        self._admission, self._entrances, self._records = admission, entrances, records

    async def authenticate_and_handle(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Without the cookie of the class above."""
        request["user"] = await self.authenticate(request)
        return await handler(request)

    async def authenticate(self, request: web.Request) -> WorkspaceUser:
        """Raises HTTPUnauthorized, HTTPForbidden."""
        entrance = self._entrances.find(request)
        if not isinstance(entrance, WorkspaceEntrance):
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"}, reason="Use a workspace's own socket.")
        given = request.headers.getall("Authorization", [])
        if not given:
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"}, reason="Show this workspace's token.")
        try:
            caller = self._admission.admit(
                entrance.door, given[0] if len(given) == 1 else None, PolicyAction.RUN_CLUSTER
            )
        except CallRefusedError as error:
            await self._records.call_refused(entrance.door, error)
            if error.about_token:
                raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"}, reason=error.sentence) from error
            raise web.HTTPForbidden(reason=error.sentence) from error
        return WorkspaceUser(caller, entrance.door)
