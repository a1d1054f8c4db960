"""Through which entrance a request came, and what may be asked there: a positive list over method and route.

The server's own sockets are held here: an accepted connection is handed to aiohttp with the entrance it came through,
so there is no header, address or proxy in between that a client could forge or smuggle past. What came in otherwise is
the machine's own side: the proxy asks for its routes there (with its secret), and somebody may ask for health.
Contract: ``MOST`` connections per entrance, a further one is closed; ``RATE`` requests a second, further ones wait.
Non-goal: who asks (``authenticator``).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from dask_gateway_server.utils import RateLimiter

from enclave.gateway.admission import Door

MOST = 32
RATE, BURST = 10, 60
_ONE = "/api/v1/clusters/{cluster_name}"
MACHINE = frozenset({("GET", "/api/health"), ("GET", "/api/v1/routes")})
CLIENT = frozenset(
    {
        ("GET", "/api/version"),
        ("GET", "/api/v1/options"),
        ("GET", "/api/v1/clusters/"),
        ("POST", "/api/v1/clusters/"),
        ("GET", _ONE),
        ("DELETE", _ONE),
        ("POST", f"{_ONE}/scale"),
        ("POST", f"{_ONE}/adapt"),
    }
)
SCHEDULER = frozenset({("POST", f"{_ONE}/heartbeat"), ("DELETE", _ONE)})
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class WorkspaceEntrance:
    """A workspace's ``dask.sock``."""

    door: Door


@dataclass(frozen=True)
class IslandEntrance:
    """A cluster's ``api.sock``: its scheduler and nobody else."""

    cluster: str


Entrance = WorkspaceEntrance | IslandEntrance


@dataclass
class _Handed:
    entrance: Entrance
    is_connected: bool = False


class Entrances:
    """One per server; used in its event loop only."""

    def __init__(self) -> None:
        self._of: dict[RequestHandler, _Handed] = {}
        self._pace: dict[Entrance, RateLimiter] = {}
        self._server: Callable[[], RequestHandler] | None = None

    def serve_with(self, server: Callable[[], RequestHandler]) -> None:
        """From now on connections are handed to this aiohttp server."""
        self._server = server

    def find(self, request: web.Request) -> Entrance | None:
        """None: the machine's own side."""
        handed = self._of.get(request.protocol)
        return None if handed is None else handed.entrance

    def count(self, entrance: Entrance) -> int:
        """Open connections."""
        self._forget_ended()
        return sum(1 for handed in self._of.values() if handed.entrance == entrance)

    async def hand_over(self, connection: socket.socket, entrance: Entrance) -> None:
        """Let the server answer on this connection; closes it when there are too many or the server is not up."""
        if self._server is None or self.count(entrance) >= MOST:
            connection.close()
            return
        handler = self._server()
        handed = self._of[handler] = _Handed(entrance)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: handler, connection)
        except (OSError, asyncio.CancelledError) as error:
            del self._of[handler]  # what never was connected is never seen to end, and would count for ever
            connection.close()
            if isinstance(error, asyncio.CancelledError):
                raise
        handed.is_connected = True

    def close(self, entrance: Entrance) -> None:
        """End all connections that came through it."""
        for handler, handed in list(self._of.items()):
            if handed.entrance == entrance:
                handler.force_close()
        self._pace.pop(entrance, None)

    async def wait_turn(self, entrance: Entrance) -> None:
        """Slow down who asks too much."""
        await self._pace.setdefault(entrance, RateLimiter(RATE, BURST)).acquire()

    def _forget_ended(self) -> None:
        ended = [handler for handler, handed in self._of.items() if handed.is_connected and handler.transport is None]
        for handler in ended:
            del self._of[handler]


def is_allowed(entrance: Entrance | None, method: str, route: str | None, cluster: str | None) -> bool:
    """May this be asked here? ``route``: as it was registered; ``cluster``: the name in the path. Pure."""
    asked = (method, route)
    match entrance:
        case None:
            return asked in MACHINE
        case WorkspaceEntrance():
            return asked in CLIENT
        case IslandEntrance(own):
            return asked in SCHEDULER and cluster == own


def check_entrance(entrances: Entrances) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
    """The server's outermost middleware."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        entrance = entrances.find(request)
        resource = request.match_info.route.resource
        route, cluster = resource.canonical if resource else None, request.match_info.get("cluster_name")
        if not is_allowed(entrance, request.method, route, cluster):
            sentence = "This cannot be asked here. Use enclave_client.dask, or dask_gateway.Gateway with its options."
            return web.json_response({"error": sentence}, status=403)
        if entrance is not None:
            await entrances.wait_turn(entrance)
        return await handler(request)

    return check
