"""A window of JupyterLab on a terminal, without JupyterLab: types, sets sizes, reads what the edge lets through."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from enclave_test_stand import REPOSITORY  # type: ignore[import-not-found]

from enclave.access import AccessFiles
from enclave.domain.ids import ProjectId

_PERMIT = (REPOSITORY / "examples" / "permits" / "gibleed.yaml").read_text()
Step = tuple[list[Any] | None, str]


def approve(stand: Any, project: ProjectId, more: str) -> None:
    """The project's permit says so from now on."""
    access = AccessFiles(stand.settings)
    permit = _PERMIT.replace("idle_minutes: 120", f"idle_minutes: 120, {more}")
    record = access.project(project)
    assert record is not None
    access.permit_file(project).write_text(permit)
    access.write_project(replace(record, permit_sha256=hashlib.sha256(permit.encode()).hexdigest()))


def offers_terminals(browser: Any) -> tuple[bool, bool]:
    """The server has them; JupyterLab's extension for them is not switched off."""
    page = browser.get(f"{browser.here}/lab").text
    return '"terminalsAvailable": true' in page, '"@jupyterlab/terminal-extension"' not in page


def open_terminal(browser: Any, here: str, **asked: str) -> str:
    """Start a terminal; returns its name."""
    answer = browser.call("POST", f"{here}/api/terminals", json=asked)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["name"])


def stdin(line: str) -> list[Any]:
    """A line typed."""
    return ["stdin", line + "\r"]


def look(browser: Any, here: str, name: str, *steps: Step, seconds: float = 60) -> str:
    """One window: each step is a frame to send (or None) and what is then awaited among what is shown since.

    Returns all that was shown. ``<end>`` stands for the end of the terminal.
    """
    return asyncio.run(_look(browser, here, name, steps, seconds))


async def _look(browser: Any, here: str, name: str, steps: tuple[Step, ...], seconds: float) -> str:
    url = f"http://127.0.0.1:{browser.stand.settings.port}{here}/terminals/websocket/{name}"
    origin = browser.stand.hub_url(f"{here}/").removesuffix(f"{here}/")
    cookie = browser.cookie_header(f"{here}/terminals")
    headers = {"Host": urlsplit(origin).netloc, "Origin": origin, "Cookie": cookie}
    shown = ""
    async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as ws:
        for frame, awaited in steps:
            since = len(shown)
            if frame is not None:
                await ws.send_str(json.dumps(frame))
            while awaited not in shown[since:]:
                try:
                    message = await ws.receive(timeout=seconds)
                except TimeoutError as error:
                    raise AssertionError(f"waited {seconds} s for {awaited!r} after {shown[-2000:]!r}") from error
                assert message.type is aiohttp.WSMsgType.TEXT, f"expected {awaited!r}, found the end after {shown!r}"
                kind, content = json.loads(message.data)
                shown += {"stdout": str(content), "disconnect": "<end>"}.get(kind, "")
    return shown
