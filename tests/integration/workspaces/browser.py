"""A browser of the tests: cookies over several origins, cells run through the edge's WebSocket.

Imported as ``enclave_test_browser``.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
from enclave_test_waiting import wait_for  # type: ignore[import-not-found]


class LoopbackTransport(httpx.HTTPTransport):
    """Connects to 127.0.0.1 whatever the name is, as a browser does with ``.localhost``."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        inner = httpx.Request(
            request.method,
            request.url.copy_with(host="127.0.0.1"),
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return super().handle_request(inner)


class Browser:
    """Follows redirects with cookies over two origins, asks for HTML like a browser."""

    def __init__(self, stand: Any, user: str) -> None:
        self.stand = stand
        self.user = user
        self.awaited = ""
        self.displayed: list[dict[str, Any]] = []
        self.client = httpx.Client(
            transport=LoopbackTransport(), timeout=60, follow_redirects=True, headers={"Accept": "text/html,*/*"}
        )
        self.client.cookies.set("unsafe-test-user", user, domain=stand.settings.portal_name)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(self.stand.hub_url(path), **options)

    def start_workspace(self, project: str, seconds: float = 90) -> str:
        """Open a workspace and wait until JupyterLab's page is there; returns its path."""
        here = f"/user/{self.user}/{project}"
        self.get(f"/hub/spawn/{self.user}/{project}")

        def ready() -> bool:
            answer = self.get(f"{here}/lab")
            return answer.status_code == 200 and "jupyter-config-data" in answer.text

        try:
            wait_for(ready, f"workspace {here}", seconds)
        except AssertionError:
            lines = (self.stand.root / "enclave.workspaces.serve.log").read_text().splitlines()
            print(
                "\n".join(
                    line
                    for line in lines
                    if " GET " not in line and "Previous spawn" not in line and "is pending" not in line
                )[-8000:]
            )
            raise
        return here

    def cookie_header(self, path: str) -> str:
        request = self.client.build_request("GET", self.stand.hub_url(path))
        return request.headers.get("Cookie", "")

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request as JupyterLab's own scripts make it: same origin, XSRF header."""
        xsrf = next((c.value for c in self.client.cookies.jar if c.name == "_xsrf" and c.path.startswith("/user")), "")
        url = self.stand.hub_url(path)
        origin = url.removesuffix(path)
        headers = {"Origin": origin, "X-XSRFToken": xsrf or "", "Accept": "application/json"}
        return self.client.request(method, url, headers=headers, follow_redirects=False, **options)

    def open_kernel(self, here: str, spec: str = "python3") -> str:
        """Start a kernel; returns its id."""
        answer = self.call("POST", f"{here}/api/kernels", json={"name": spec})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def execute(self, here: str, kernel: str, code: str, seconds: float = 60) -> str:
        """Run ``code`` through the edge's WebSocket, return what it printed (or the error)."""
        return asyncio.run(asyncio.wait_for(self._execute(here, kernel, code), seconds))

    def answers(self, here: str, kernel: str, code: str, printed: str) -> bool:
        """Does it print this within a few seconds? What is sent between two kernels reaches neither."""
        try:
            return self.execute(here, kernel, code, 5) == printed
        except TimeoutError:
            return False

    def run_cell(self, here: str, code: str, seconds: float = 60) -> str:
        """The same in a kernel of its own."""
        kernel = self.open_kernel(here)
        try:
            return self.execute(here, kernel, code, seconds)
        finally:
            self.call("DELETE", f"{here}/api/kernels/{kernel}")

    def watch(self, here: str, kernel: str, code: str, state: str, seconds: float = 60) -> bool:
        """Run ``code`` and wait until the kernel's state is said to be ``state``."""
        self.awaited = state
        try:
            asyncio.run(asyncio.wait_for(self._execute(here, kernel, code), seconds))
        finally:
            self.awaited = ""
        return True

    async def _execute(self, here: str, kernel: str, code: str) -> str:
        url = f"http://127.0.0.1:{self.stand.settings.port}{here}/api/kernels/{kernel}/channels?session_id=t"
        origin = self.stand.hub_url(f"{here}/").removesuffix(f"{here}/")
        headers = {
            "Host": urlsplit(origin).netloc,
            "Origin": origin,
            "Cookie": self.cookie_header(f"{here}/api/kernels"),
        }
        content = {
            "code": code,
            "silent": False,
            "store_history": False,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        header = {"msg_id": "m1", "msg_type": "execute_request", "username": "", "session": "t", "version": "5.3"}
        message = {
            "channel": "shell",
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
            "buffers": [],
        }
        printed: list[str] = []
        async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers, max_msg_size=0) as ws:
            await ws.send_str(json.dumps(message))
            async for frame in ws:
                got = json.loads(frame.data)
                if self.awaited and got["msg_type"] == "status":
                    if got["content"]["execution_state"] == self.awaited:
                        return ""
                    continue
                if got["parent_header"].get("msg_id") != "m1":
                    continue
                kind, content = got["msg_type"], got["content"]
                if kind == "stream":
                    printed.append(content["text"])
                elif kind == "execute_result":
                    printed.append(content["data"].get("text/plain", ""))
                elif kind == "display_data":
                    self.displayed.append(content["data"])
                elif kind == "error":
                    printed.append(f"{content['ename']}: {content['evalue']}")
                elif kind == "status" and content["execution_state"] == "idle":
                    break
        return "".join(printed)
