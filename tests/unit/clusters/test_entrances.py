"""What may be asked at which entrance: every route the server has, at each of the three."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

import pytest
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from dask_gateway_server.routes import default_routes

from enclave.clusters.entrances import (
    CLIENT,
    MACHINE,
    SCHEDULER,
    Entrances,
    IslandEntrance,
    WorkspaceEntrance,
    is_allowed,
)
from enclave.domain.ids import PersonId, ProjectId, WorkspaceId
from enclave.gateway.admission import Door


class Unconnected:
    transport = None


OWN, OTHER = "a" * 32, "b" * 32
WORKSPACE = WorkspaceEntrance(
    Door(ProjectId("heart-study"), None, WorkspaceId("w-0123456789ab"), PersonId("u-0123456789ab"))
)
ISLAND = IslandEntrance(OWN)
ONE = "/api/v1/clusters/{cluster_name}"
#                                     workspace, island, machine
TABLE = {
    ("GET", "/api/health"): (False, False, True),
    ("GET", "/api/version"): (True, False, False),
    ("GET", "/api/v1/options"): (True, False, False),
    ("GET", "/api/v1/clusters/"): (True, False, False),
    ("POST", "/api/v1/clusters/"): (True, False, False),
    ("GET", ONE): (True, False, False),
    ("DELETE", ONE): (True, True, False),
    ("POST", f"{ONE}/scale"): (True, False, False),
    ("POST", f"{ONE}/adapt"): (True, False, False),
    ("POST", f"{ONE}/heartbeat"): (False, True, False),
    ("GET", "/api/v1/routes"): (False, False, True),
}


@pytest.mark.parametrize(("method", "route"), TABLE)
def test_a_positive_list(method: str, route: str) -> None:
    found = tuple(is_allowed(entrance, method, route, OWN) for entrance in (WORKSPACE, ISLAND, None))
    assert found == TABLE[method, route]


def test_the_table_is_all_that_the_server_has() -> None:
    app = web.Application()
    app.add_routes(default_routes)
    served = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource is not None}
    served.add(("GET", "/api/v1/routes"))  # the proxy adds it when it starts
    assert {pair for pair in served if pair[0] != "HEAD"} == set(TABLE)
    assert set(TABLE) == CLIENT | SCHEDULER | MACHINE


@pytest.mark.parametrize(
    ("method", "route"),
    [
        ("HEAD", "/api/version"),
        ("OPTIONS", ONE),
        ("PUT", ONE),
        ("GET", None),
        ("GET", "/metrics"),
        ("POST", "/api/v1/routes"),
    ],
)
def test_what_is_not_listed_is_nowhere(method: str, route: str | None) -> None:
    assert not any(is_allowed(entrance, method, route, OWN) for entrance in (WORKSPACE, ISLAND, None))


@pytest.mark.parametrize(("method", "route"), sorted(SCHEDULER))
def test_a_scheduler_speaks_of_its_own_cluster_only(method: str, route: str) -> None:
    assert not is_allowed(ISLAND, method, route, OTHER)
    assert not is_allowed(ISLAND, method, route, None)


def test_a_connection_that_is_cut_off_while_it_is_handed_over_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A door closes in that moment: what was never connected is never seen to end, so it must not be kept."""

    async def run() -> None:
        entrances, is_handed_over = Entrances(), asyncio.Event()

        async def hang(*_: object) -> None:
            is_handed_over.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(asyncio.get_running_loop(), "connect_accepted_socket", hang)
        entrances.serve_with(lambda: cast(RequestHandler, Unconnected()))
        ours, theirs = socket.socketpair()
        with theirs:
            handing = asyncio.create_task(entrances.hand_over(ours, WORKSPACE))
            await is_handed_over.wait()
            handing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await handing
        assert entrances.count(WORKSPACE) == 0 and ours.fileno() == -1

    asyncio.run(run())
