"""Whom the authenticator takes a request for, and what it lets stand in for a token: nothing."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from enclave.clusters.authenticator import WorkspaceAuthenticator, WorkspaceUser
from enclave.clusters.entrances import Entrance, IslandEntrance, WorkspaceEntrance
from enclave.domain.ids import PersonId, ProjectId, WorkspaceId
from enclave.gateway.admission import CallRefusedError, Door
from enclave.policy import PolicyAction

# dask-gateway keeps the user under a plain word, which aiohttp advises against
pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")
DOOR = Door(ProjectId("heart-study"), None, WorkspaceId("w-0123456789ab"), PersonId("u-0123456789ab"))
AT_DOOR, AT_ISLAND = WorkspaceEntrance(DOOR), IslandEntrance("a" * 32)
CALLER = SimpleNamespace(files=SimpleNamespace(permit=SimpleNamespace(workspace=SimpleNamespace(idle_minutes=90))))


class OneToken:
    """Admits ``Bearer good`` at the door; what it was asked is kept."""

    def __init__(self) -> None:
        self.asked: list[tuple[Door, str | None, PolicyAction]] = []

    def admit(self, door: Door, authorization: str | None, action: PolicyAction) -> Any:
        self.asked.append((door, authorization, action))
        if authorization == "Bearer good":
            return CALLER
        is_policy = authorization == "Bearer expired-permit"
        raise CallRefusedError("a-rule", "A sentence.", about_token=not is_policy)


class Refusals:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.rules: list[str] = []

    async def call_refused(self, door: Door, error: CallRefusedError) -> None:
        assert door is DOOR
        self.rules.append(error.rule)


def ask(entrance: Entrance | None, *headers: tuple[str, str]) -> tuple[object, OneToken, Refusals]:
    """The user, or the status of the refusal."""
    admission, refusals = OneToken(), Refusals()
    authenticator = WorkspaceAuthenticator()
    authenticator.use(admission, SimpleNamespace(find=lambda _: entrance), refusals)  # type: ignore[arg-type]
    request = make_mocked_request("GET", "/api/v1/clusters/", CIMultiDict(headers))

    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=request["user"].name)

    async def run() -> object:
        try:
            answer = await authenticator.authenticate_and_handle(request, handler)
        except web.HTTPException as error:
            return error.status
        assert not answer.cookies
        return request["user"]

    return asyncio.run(run()), admission, refusals


def test_the_user_is_the_workspace() -> None:
    user, admission, _ = ask(AT_DOOR, ("Authorization", "Bearer good"))
    assert isinstance(user, WorkspaceUser) and user.name == "w-0123456789ab" and not user.admin
    assert user.idle.total_seconds() == 90 * 60
    assert admission.asked == [(DOOR, "Bearer good", PolicyAction.RUN_CLUSTER)]


@pytest.mark.parametrize(
    ("entrance", "headers", "status", "recorded"),
    [
        (AT_DOOR, [], 401, []),
        (AT_DOOR, [("Authorization", "Bearer bad")], 401, ["a-rule"]),
        (AT_DOOR, [("Authorization", "Bearer expired-permit")], 403, ["a-rule"]),
        (AT_DOOR, [("Authorization", "Bearer good"), ("Authorization", "Bearer good")], 401, ["a-rule"]),
        (AT_DOOR, [("Authorization", "Basic dTpw")], 401, ["a-rule"]),
        (AT_DOOR, [("Cookie", "dask-gateway=good")], 401, []),
        (AT_ISLAND, [("Authorization", "Bearer good")], 401, []),
        (None, [("Authorization", "Bearer good")], 401, []),
    ],
)
def test_who_is_nobody(
    entrance: Entrance | None, headers: list[tuple[str, str]], status: int, recorded: list[str]
) -> None:
    answer, admission, refusals = ask(entrance, *headers)
    assert (answer, refusals.rules) == (status, recorded)
    assert entrance is AT_DOOR or admission.asked == []


def test_a_cookie_does_not_outlive_a_token() -> None:
    authenticator = WorkspaceAuthenticator()
    cookie = authenticator.cache.put(SimpleNamespace(name="w-0123456789ab"))
    answer, _, _ = ask(AT_DOOR, ("Cookie", f"{authenticator.cookie_name}={cookie}"))
    assert answer == 401
