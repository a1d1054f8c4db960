"""The hub's partners, when what they say is not what was agreed."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from enclave import keys
from enclave.domain.ids import ProjectId, Username, WorkspaceId
from enclave.settings import Settings
from enclave.workspaces.services import PartnerAwayError, Partners, is_computing


@pytest.fixture
def settings() -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="en", dir="/tmp") as folder:
        made = Settings(home=Path(folder))
        keys.ensure_keys(made)
        made.run_dir.mkdir()
        yield made


def asked(socket: Path, answer: str, ask: Callable[[], Awaitable[Any]]) -> Any:
    """What comes of it when a server at this socket answers everything with these words."""

    async def respond(_: web.Request) -> web.Response:
        return web.Response(text=answer, content_type="application/json")

    async def run() -> Any:
        app = web.Application()
        app.router.add_route("*", "/{any:.*}", respond)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.UnixSite(runner, str(socket)).start()
            return await ask()
        finally:
            await runner.cleanup()

    return asyncio.run(run())


@pytest.mark.parametrize("answer", ["{}", '{"token": "t"}', '{"token": "t", "token_seconds": null}', "[]", "1"])
def test_an_answer_without_all_its_parts_is_a_portal_that_is_away(settings: Settings, answer: str) -> None:
    """A workspace asks again soon then; the token it has holds until its end."""
    partners = Partners(settings)
    for ask in (
        lambda: partners.renew_token(WorkspaceId("w-0123456789ab")),
        lambda: partners.start_workspace(Username("alice"), ProjectId("study"), "en"),
    ):
        with pytest.raises(PartnerAwayError):
            asked(settings.portal_socket, answer, ask)


@pytest.mark.parametrize("answer", ["[" * 90_000, "{}", "[1]", "no JSON", '[{"execution_state": "idle"}]'])
def test_whatever_a_workspace_says_of_its_kernels_the_hub_goes_on(settings: Settings, answer: str) -> None:
    socket = settings.run_dir / "j.sock"
    assert asked(socket, answer, lambda: is_computing(socket, "/user/alice/study/")) is False
