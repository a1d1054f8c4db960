"""From the click to a workspace that is ready, and to its first cell's output, against a plain JupyterHub.

Both sides start the same JupyterLab and kernel; they take turns in one run, so that a busy machine slows both alike.
Ours: the real edge, hub and sandboxes; portal and gateway are the test stand's, which answer at once. The baseline is
``plainhub.py``. Prints medians of the single starts, six at once, and the memory (sum of PSS) of an idle workspace with
one kernel. Target: at most 1.3 times the baseline.

    .venv/bin/python benchmarks/workspace_start.py [--engine docker] [--starts 7]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
import httpx
from plainhub import PlainHub
from rounds import load_stand, machine, summary, write

from enclave import keys
from enclave.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
stand = load_stand()

SIX = 6
_PROGRESS = re.compile(r'new EventSource\("([^"]+)"\)')


@dataclass
class Side:
    """One way to a workspace: who logs in how, where it is, how it ends, which process is its root."""

    name: str
    log_in: Callable[[str], httpx.Client]
    spawn_url: Callable[[str], str]
    base_url: Callable[[str], str]
    end: Callable[[str], None]
    root_pid: Callable[[str], int]


def click(side: Side, username: str, client: httpx.Client) -> tuple[float, float]:
    """Seconds from the click to JupyterLab's page, and to the first cell's output."""
    began = time.perf_counter()
    page = client.get(side.spawn_url(username))
    if found := _PROGRESS.search(page.text):
        _await_ready(client, urljoin(str(page.url), found[1].replace("&amp;", "&")))
    page = client.get(f"{side.base_url(username)}/lab")
    assert page.status_code == 200 and "jupyter-config-data" in page.text, page.text[:2000]
    ready = time.perf_counter() - began
    _first_cell(client, side.base_url(username))
    return ready, time.perf_counter() - began


def _await_ready(client: httpx.Client, url: str) -> None:
    """What the page that says "starting" does."""
    with client.stream("GET", url, headers={"Accept": "text/event-stream"}, timeout=120) as events:
        for line in events.iter_lines():
            if line.startswith("data:"):
                said = json.loads(line[5:])
                assert not said.get("failed"), said
                if said.get("ready"):
                    return


def _first_cell(client: httpx.Client, base: str) -> None:
    parts = urlsplit(base)
    origin = f"{parts.scheme}://{parts.netloc}"
    path = parts.path
    xsrf = max((c for c in client.cookies.jar if c.name == "_xsrf" and path.startswith(c.path.rstrip("/"))),
               key=lambda c: len(c.path)).value or ""  # fmt: skip
    headers = {"X-XSRFToken": xsrf, "Origin": origin}
    made = client.post(f"{base}/api/kernels", json={"name": "python3"}, headers=headers)
    assert made.status_code == 201, made.text
    cookie = client.build_request("GET", f"{base}/api/kernels").headers["Cookie"]
    channel = f"http://127.0.0.1:{parts.port}{path}/api/kernels/{made.json()['id']}/channels?session_id=b"
    asyncio.run(asyncio.wait_for(_print(channel, {"Host": parts.netloc, "Origin": origin, "Cookie": cookie}), 120))


async def _print(url: str, headers: dict[str, str]) -> None:
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "", "session": "b"}
    content = {"code": "print(6 * 7)", "silent": False, "user_expressions": {}, "allow_stdin": False}
    message = {"channel": "shell", "header": {**header, "version": "5.3"}, "parent_header": {}, "metadata": {}}
    async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as socket:
        await socket.send_str(json.dumps({**message, "content": content, "buffers": []}))
        async for frame in socket:
            said = json.loads(frame.data)
            if said["msg_type"] == "stream" and said["content"]["text"] == "42\n":
                return
    raise RuntimeError("expected the cell's output, found the channel closed")


def pss_mb(root: int) -> float:
    """Proportional set size of a process and everything below it."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
    pids = [root]
    for pid in pids:
        pids += [child for child, parent in parents.items() if parent == pid]
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return round(total / 1024, 1)


def ours(running: Any) -> Side:
    settings, token = running.settings, keys.hub_api_token(running.settings)
    project = "study"

    def end(username: str) -> None:
        running.hub_api("DELETE", f"/users/{username}/servers/{project}", token).raise_for_status()
        stand.wait_for(lambda: _find_workspace(running, username) in running.portal.stopped, "the workspace's end")

    def root_pid(username: str) -> int:
        state = settings.run_dir / "ws" / _find_workspace(running, username) / "host" / "state.json"
        return int(json.loads(state.read_text())["pid"])

    def log_in(username: str) -> httpx.Client:
        browser = running.browser(username)
        browser.get("/hub/home").raise_for_status()
        client: httpx.Client = browser.client
        return client

    return Side(
        "enclave",
        log_in,
        lambda username: f"{settings.hub_url}/hub/spawn/{username}/{project}",
        lambda username: f"{settings.workspace_origin(username, project)}/user/{username}/{project}",
        end,
        root_pid,
    )


def _find_workspace(running: Any, username: str) -> str:
    return str(next(w for w, who in reversed(running.portal.started.items()) if who.startswith(f"{username}/")))


def plain(hub: PlainHub) -> Side:
    def log_in(username: str) -> httpx.Client:
        client = httpx.Client(follow_redirects=True, timeout=120, headers={"Accept": "text/html,*/*"})
        hub.log_in(client, username)
        return client

    return Side(
        "plain JupyterHub",
        log_in,
        lambda username: f"{hub.url}/hub/spawn/{username}",
        lambda username: f"{hub.url}/user/{username}",
        hub.stop_server,
        hub.server_pid,
    )


def one_by_one(sides: tuple[Side, ...], starts: int) -> dict[str, Any]:
    """In turns, after one start of each that does not count."""
    times: dict[str, list[tuple[float, float]]] = {side.name: [] for side in sides}
    memory: dict[str, list[float]] = {side.name: [] for side in sides}
    clients = {side.name: side.log_in("solo") for side in sides}
    for turn in range(starts + 1):
        for side in sides if turn % 2 else tuple(reversed(sides)):
            taken = click(side, "solo", clients[side.name])
            if turn:
                times[side.name].append(taken)
                memory[side.name].append(pss_mb(side.root_pid("solo")))
            side.end("solo")
    found: dict[str, Any] = {}
    for side in sides:
        ready, cell = ([taken[i] for taken in times[side.name]] for i in (0, 1))
        found[side.name] = {
            "ready": summary(ready),
            "first_cell": summary(cell),
            "idle_mb": round(statistics.median(memory[side.name]), 1),
        }
    return found


def six_at_once(side: Side) -> dict[str, Any]:
    """Six people click at the same moment."""
    people = [f"six{number}" for number in range(SIX)]
    clients = [side.log_in(person) for person in people]
    with ThreadPoolExecutor(SIX) as pool:
        taken = list(pool.map(lambda pair: click(side, *pair), zip(people, clients, strict=True)))
    for person in people:
        side.end(person)
    return {"last_ready_s": round(max(t[0] for t in taken), 2), "last_first_cell_s": round(max(t[1] for t in taken), 2)}


def measure(folder: Path, starts: int, *, with_six: bool) -> tuple[tuple[Side, ...], dict[str, Any]]:
    """Both sides and what was found by name."""
    with PlainHub(folder, Settings().image) as hub, Stand() as running:
        sides = (ours(running), plain(hub))
        found = one_by_one(sides, starts)
        if with_six:
            for side in sides:
                found[side.name]["six_at_once"] = six_at_once(side)
    return sides, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="bubblewrap", help="the workspace engine (a setting of the enclave)")
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--without-six", action="store_true", help="only the single starts")
    given = parser.parse_args()
    if given.engine != "bubblewrap":
        assert "engine" in Settings.model_fields, "expected the setting `engine`, found none in this version"
        os.environ["ENCLAVE_ENGINE"] = given.engine
    with tempfile.TemporaryDirectory(prefix="plain", dir="/tmp", ignore_cleanup_errors=True) as folder:
        sides, found = measure(Path(folder), given.starts, with_six=not given.without_six)
    own, base = (found[side.name] for side in sides)
    ratios = {what: round(own[what]["p50_ms"] / base[what]["p50_ms"], 2) for what in ("ready", "first_cell")}
    ratios["idle_mb"] = round(own["idle_mb"] / base["idle_mb"], 2)
    if not given.without_six:
        last = "last_first_cell_s"
        ratios["six_at_once"] = round(own["six_at_once"][last] / base["six_at_once"][last], 2)
    write("workspace_start", {"machine": machine(), "engine": given.engine, **found, "ratios": ratios})


class Stand(stand.Stand):  # type: ignore[misc]
    """With the engine that was asked for."""

    def environment(self) -> dict[str, str]:
        chosen = {name: value for name, value in os.environ.items() if name == "ENCLAVE_ENGINE"}
        return {**super().environment(), **chosen}


if __name__ == "__main__":
    main()
