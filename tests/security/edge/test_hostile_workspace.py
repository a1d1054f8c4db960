"""A workspace whose server the researcher has replaced: the edge lets only what is safe through."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import web

from enclave import keys
from enclave.edge.passes import issue_pass

PREFIX = "/user/mallory/evil"


class HostileServer:
    """Answers every request in the worst way; keeps what it was sent."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append({"path": request.rel_url.raw_path_qs, **dict(request.headers)})
        if request.path.endswith(("big.ipynb", "/api/sessions")):
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(400):
                await response.write(b"x" * 65536)
            return response
        if request.path.endswith("declared.ipynb"):
            return web.Response(body=b"x" * 17_000_000)
        headers = {
            "Content-Security-Policy": "default-src *",
            "Set-Cookie": "jupyterhub-hub-login=planted; Path=/hub/",
            "Location": "https://elsewhere.example/",
            "Link": "<https://elsewhere.example>; rel=dns-prefetch",
            "Content-Disposition": "attachment; filename=data.csv",
            "Access-Control-Allow-Origin": "*",
        }
        return web.Response(status=302, text="<script>1</script>", content_type="text/html", headers=headers)


@pytest.fixture(scope="module")
def hostile(edge: Any) -> Iterator[Any]:
    server = HostileServer()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app)

    async def begin() -> None:
        await runner.setup()
        await web.UnixSite(runner, str(edge.settings.run_dir / "evil.sock")).start()

    asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
    secret = keys.proxy_auth_token(edge.settings)
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(edge.settings.edge_api_socket))) as client:
        body = {"target": "http+unix://run%2Fevil.sock", "user": "mallory", "server_name": "evil"}
        made = client.post(f"http://edge/api/routes{PREFIX}", json=body, headers={"Authorization": f"token {secret}"})
        assert made.status_code == 201
    yield server
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)
    loop.close()


def home_of(edge: Any) -> str:
    return str(edge.settings.workspace_origin("mallory", "evil"))


def call(edge: Any, method: str, path: str, *, who: str = "mallory", **headers: str) -> httpx.Response:
    value = issue_pass(keys.proxy_auth_token(edge.settings), who, time.time())
    cookies = f"enclave-pass={value}; jupyterhub-session-id=victim; _xsrf=own"
    with edge.anonymous() as client:
        sent = {"Cookie": cookies, "Accept": "*/*", "Authorization": "token abc", **headers}
        return client.request(method, f"{home_of(edge)}{PREFIX}{path}", headers=sent)


def test_the_answer_is_stripped(edge: Any, hostile: HostileServer) -> None:
    answer = call(edge, "GET", "/lab?token=abc&x=1")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    for name in ("Set-Cookie", "Location", "Link", "Content-Disposition", "Access-Control-Allow-Origin"):
        assert name not in answer.headers, name


def test_it_is_told_no_secret(edge: Any, hostile: HostileServer) -> None:
    call(edge, "GET", "/lab?token=abc&x=1")
    seen = hostile.seen[-1]
    assert seen["path"] == f"{PREFIX}/lab?x=1"
    assert seen["Cookie"] == "_xsrf=own"
    assert "Authorization" not in seen


def test_nobody_else_can_be_lured_onto_it(edge: Any, hostile: HostileServer) -> None:
    before = len(hostile.seen)
    answer = call(edge, "GET", "/lab", who="alice", Accept="text/html")
    assert answer.status_code == 403
    assert len(hostile.seen) == before


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "http://portal.localhost"])
def test_a_foreign_page_cannot_use_the_pass(edge: Any, hostile: HostileServer, origin: str) -> None:
    before = len(hostile.seen)
    assert call(edge, "POST", "/api/kernels", Origin=origin).status_code == 403
    assert len(hostile.seen) == before


def test_a_foreign_page_cannot_open_a_channel(edge: Any, hostile: HostileServer) -> None:
    async def open_channel() -> int:
        value = issue_pass(keys.proxy_auth_token(edge.settings), "mallory", time.time())
        headers = {
            "Host": home_of(edge).partition("//")[2],
            "Origin": "https://elsewhere.example",
            "Cookie": f"enclave-pass={value}",
        }
        url = f"http://127.0.0.1:{edge.settings.port}{PREFIX}/api/kernels/1-2/channels"
        async with aiohttp.ClientSession() as session:
            try:
                await session.ws_connect(url, headers=headers)
            except aiohttp.WSServerHandshakeError as error:
                return error.status
        return 101

    assert asyncio.run(open_channel()) == 403


def test_large_files_are_refused_whether_declared_or_not(edge: Any, hostile: HostileServer) -> None:
    assert call(edge, "GET", "/api/contents/declared.ipynb").status_code == 403
    assert call(edge, "GET", "/api/contents/big.ipynb").status_code == 403
    with pytest.raises(httpx.RemoteProtocolError):
        call(edge, "GET", "/api/sessions")
