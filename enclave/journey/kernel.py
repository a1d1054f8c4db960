"""A researcher's notebook, driven through the edge: start the workspace, open a kernel, run cells over the WebSocket.

Jupyter Server REST API and the kernel messaging protocol 5.3 (jupyter_client, *Messaging in Jupyter*).
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any

import aiohttp

from enclave.journey.browser import Browser, JourneyError


class ChannelLostError(Exception):
    """The way to the kernel broke off (a process of the enclave was restarted); the work can be done again."""


class Workspace:
    """One person's workspace in one project, at ``/user/<username>/<project>/`` of its own origin."""

    def __init__(self, browser: Browser, project: str) -> None:
        self._browser = browser
        self._project = project
        self._origin = browser.settings.workspace_origin(browser.username, project)
        self._base = f"{self._origin}/user/{browser.username}/{project}"

    async def open(self, seconds: float = 90.0) -> None:
        """Ask the hub for the workspace (logging in there through the portal) and wait until JupyterLab answers."""
        browser = self._browser
        url = f"{browser.settings.hub_url}/hub/spawn/{browser.username}/{self._project}"
        status, final, body, _ = await browser.request("GET", url)
        if status >= 400:
            raise JourneyError(f"Expected the workspace to start, found HTTP {status} at {final}: {_sentence(body)}")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status, final, body, _ = await browser.request("GET", f"{self._base}/lab")
            if status == 200 and final.startswith(f"{self._base}/"):
                return
            if status == 403:
                raise JourneyError(f"Expected the workspace to open, found HTTP 403: {_sentence(body)}")
            await asyncio.sleep(0.2)
        raise JourneyError(f"Expected the workspace within {seconds:.0f} s, found HTTP {status} at {final}.")

    async def read_notebook(self, path: str) -> dict[str, Any]:
        """A notebook of the home folder, as JSON."""
        status, _, body, _ = await self._browser.request("GET", f"{self._base}/api/contents/{path}?type=notebook")
        if status != 200:
            raise JourneyError(f"Expected the notebook {path} in the workspace, found HTTP {status}.")
        content: dict[str, Any] = json.loads(body)["content"]
        return content

    async def start_kernel(self) -> Kernel:
        """A new Python kernel."""
        status, _, body, _ = await self._browser.request(
            "POST", f"{self._base}/api/kernels", json={"name": "python3"}, headers=self._headers()
        )
        if status != 201:
            raise ChannelLostError(f"Expected a kernel to start, found HTTP {status}: {_sentence(body)}")
        kernel_id = json.loads(body)["id"]
        url = f"{self._base}/api/kernels/{kernel_id}/channels?session_id={uuid.uuid4().hex}"
        socket = await self._browser.session.ws_connect(url, origin=self._origin, max_msg_size=1 << 26)
        return Kernel(socket)

    def _headers(self) -> dict[str, str]:
        jar = self._browser.session.cookie_jar
        cookies = jar.filter_cookies(_yarl(self._base + "/"))
        token = cookies["_xsrf"].value if "_xsrf" in cookies else ""
        return {"X-XSRFToken": token, "Referer": f"{self._base}/lab", "Origin": self._origin}


def _yarl(url: str) -> Any:
    from yarl import URL

    return URL(url)


def _sentence(body: bytes) -> str:
    """The first words of an answer that a person would read."""
    import re

    text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", " ", body.decode(errors="replace"), flags=re.S)
    return " ".join(text.split())[:400]


class Kernel:
    """An open channel to a kernel."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._session = uuid.uuid4().hex

    async def run(self, code: str, seconds: float = 45.0) -> str:
        """Run one cell; returns its text output.

        Raises JourneyError when the cell raises, ChannelLostError when nothing answers any more.
        """
        message_id = uuid.uuid4().hex
        header = {"msg_id": message_id, "username": "", "session": self._session, "msg_type": "execute_request"}
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        message = {"header": {**header, "version": "5.3"}, "parent_header": {}, "metadata": {}, "content": content}
        await self._socket.send_json({**message, "channel": "shell", "buffers": []})
        seen: list[str] = []
        first = code.strip().splitlines()[0][:60]
        try:
            return await asyncio.wait_for(self._collect(message_id, seen), seconds)
        except TimeoutError as error:
            raise ChannelLostError(f"No end of the cell «{first}» within {seconds:.0f} s, only {seen}.") from error
        except ChannelLostError as error:
            raise ChannelLostError(f"{error} That was at the cell «{first}».") from error

    async def _collect(self, message_id: str, seen: list[str]) -> str:
        output: list[str] = []
        while True:
            received = await self._socket.receive()
            if received.type is not aiohttp.WSMsgType.TEXT:
                raise ChannelLostError(f"The channel to the kernel ended with {received.type.name}.")
            message = json.loads(received.data)
            if message["content"].get("execution_state") in ("restarting", "autorestarting", "dead"):
                raise ChannelLostError("The kernel died and was restarted by Jupyter.")
            if message.get("parent_header", {}).get("msg_id") != message_id:
                continue
            content, kind = message["content"], message["msg_type"]
            seen.append(kind)
            if kind == "stream":
                output.append(content["text"])
            elif kind in ("execute_result", "display_data"):
                output.append(content["data"].get("text/plain", "") + "\n")
            elif kind == "error":
                raise JourneyError(f"Expected the cell to run, found {content['ename']}: {content['evalue']}")
            elif kind == "status" and content["execution_state"] == "idle":
                return "".join(output)

    async def close(self) -> None:
        """Close the channel; the kernel stays."""
        await self._socket.close()
