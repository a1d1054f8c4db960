"""A workspace's server whose every answer the test decides, behind the real edge; and its researcher's browser."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import httpx
from aiohttp import web

from enclave import keys
from enclave.edge.passes import issue_pass

V1 = "v1.kernel.websocket.jupyter.org"
KERNEL = "/api/kernels/0-1/channels"


class StandInWorkspace:
    """``pages``: inner path → (content type, body). ``frames``: what each message to a channel is answered with."""

    def __init__(self, stand: Any, user: str = "alice", project: str = "study-one") -> None:
        self.stand = stand
        self.user = user
        self.project = project
        self.prefix = f"/user/{user}/{project}"
        self.pages: dict[str, tuple[str, bytes]] = {}
        self.frames: list[str | bytes] = []
        self.packed = False
        self.seen: list[tuple[str, dict[str, str]]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        inner = request.path.removeprefix(self.prefix)
        self.seen.append((inner, dict(request.headers)))
        if inner.endswith("/channels"):
            socket = web.WebSocketResponse(protocols=(V1,), max_msg_size=0)
            await socket.prepare(request)
            async for _ in socket:
                for frame in list(self.frames):
                    await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
            return socket
        if inner not in self.pages:
            return web.json_response({"message": "not here"}, status=404)
        kind, body = self.pages[inner]
        packed = {"Content-Encoding": "gzip"} if self.packed else {}
        return web.Response(body=body, headers={"Content-Type": kind, **packed})

    def __enter__(self) -> StandInWorkspace:
        self._thread.start()
        name = f"{self.user}-{self.project}.sock"

        async def begin() -> None:
            await self._runner.setup()
            await web.UnixSite(self._runner, str(self.stand.settings.run_dir / name)).start()

        asyncio.run_coroutine_threadsafe(begin(), self._loop).result(20)
        body = {"target": f"http+unix://run%2F{name}", "user": self.user, "server_name": self.project}
        self._route("POST", json=body).raise_for_status()
        return self

    def __exit__(self, *_: object) -> None:
        self._route("DELETE")
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    def _route(self, method: str, **options: Any) -> httpx.Response:
        settings = self.stand.settings
        headers = {"Authorization": f"token {keys.proxy_auth_token(settings)}"}
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(settings.edge_api_socket)), timeout=60) as client:
            return client.request(method, f"http://edge/api/routes{self.prefix}", headers=headers, **options)

    @property
    def origin(self) -> str:
        """Where the researcher's browser finds it."""
        return str(self.stand.settings.workspace_origin(self.user, self.project))

    def pass_cookie(self, who: str | None = None) -> str:
        return f"enclave-pass={issue_pass(keys.proxy_auth_token(self.stand.settings), who or self.user, time.time())}"

    def call(self, method: str, path: str, *, who: str | None = None, **options: Any) -> httpx.Response:
        """A request of the researcher's own page."""
        headers = {"Cookie": self.pass_cookie(who), "Origin": self.origin, **options.pop("headers", {})}
        with self.stand.anonymous() as client:
            return client.request(method, f"{self.origin}{self.prefix}{path}", headers=headers, **options)

    def ask_kernel(self, count: int, *, v1: bool = False, seconds: float = 60) -> list[str | bytes]:
        """Send one message on the kernel's channel; the next ``count`` frames."""
        return asyncio.run(asyncio.wait_for(self._ask(count, (V1,) if v1 else ()), seconds))

    async def _ask(self, count: int, protocols: Sequence[str]) -> list[str | bytes]:
        host = self.origin.partition("//")[2]
        url = f"http://127.0.0.1:{self.stand.settings.port}{self.prefix}{KERNEL}"
        headers = {"Host": host, "Origin": self.origin, "Cookie": self.pass_cookie()}
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, headers=headers, protocols=protocols, max_msg_size=0) as socket,
        ):
            await socket.send_str("{}")
            return [(await socket.receive()).data for _ in range(count)]
