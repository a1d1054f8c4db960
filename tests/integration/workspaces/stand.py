"""A test stand: real edge, real JupyterHub, real workspaces of either engine; portal and gateway are stand-ins.

The real portal and gateway are used by the end-to-end journeys.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import httpx
from aiohttp import web
from docker.errors import NotFound
from enclave_test_browser import Browser, LoopbackTransport  # type: ignore[import-not-found]
from enclave_test_live_processes import is_alive, processes_below  # type: ignore[import-not-found]
from enclave_test_partners import UnsafeTestGateway, UnsafeTestPortal  # type: ignore[import-not-found]
from enclave_test_ports import free_port  # type: ignore[import-not-found]
from enclave_test_waiting import wait_for  # type: ignore[import-not-found]

from enclave import keys
from enclave.processes import accepts_connections
from enclave.settings import Settings
from enclave.workspaces import docker_daemon
from enclave.workspaces.shared_folder import release_all

__all__ = ["REPOSITORY", "LoopbackTransport", "Stand", "UnsafeTestPortal", "is_alive", "processes_below", "wait_for"]

REPOSITORY = Path(__file__).resolve().parents[3]


class Stand:
    """The whole stand; use as a context manager."""

    def __init__(self, *, with_hub: bool = True, **options: str) -> None:
        """``options`` are further settings, such as the engine."""
        self.root = Path(tempfile.mkdtemp(prefix="en", dir="/tmp"))
        self.settings = Settings(home=self.root, port=free_port(), **options)
        self.options = {f"ENCLAVE_{name.upper()}": value for name, value in options.items()}
        keys.ensure_keys(self.settings)
        self.settings.run_dir.mkdir(exist_ok=True)
        self.portal = UnsafeTestPortal(self.settings)
        self.gateway = UnsafeTestGateway(self.settings)
        self._with_hub = with_hub
        self._processes: list[subprocess.Popen[bytes]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runners: list[web.AppRunner] = []
        self._browsers: list[Browser] = []

    def __enter__(self) -> Stand:
        self._thread.start()
        try:
            self._begin()
        except BaseException:
            for log in sorted(self.root.glob("*.log")):
                print(f"== {log.name}", log.read_text(errors="replace")[-2000:], sep="\n")
            self.__exit__()
            raise
        return self

    def _begin(self) -> None:
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(20)
        self.prepare()
        self.edge = self.start("enclave.edge.serve")
        wait_for(lambda: accepts_connections(self.settings.edge_api_socket), "the edge's route API")
        wait_for(lambda: self.answers(self.settings.portal_url), "the edge's listener")
        if self._with_hub:
            self.hub = self.start("enclave.workspaces.serve")
            wait_for(lambda: self.answers(self.hub_url("/hub/api")), self._log("hub"))

    def prepare(self) -> None:
        """What else must run before the edge; nothing in this stand."""

    def control(self) -> web.Application | None:
        """The gateway's control API, or None when the real gateway serves it."""
        return self.gateway.application()

    def _log(self, name: str) -> str:
        return f"{name}; see its log in {self.root}"

    async def _serve(self) -> None:
        for app, path in (
            (self.portal.application(), self.settings.portal_socket),
            (self.control(), self.settings.gateway_control_socket),
        ):
            if app is None:
                continue
            runner = web.AppRunner(app)
            await runner.setup()
            await web.UnixSite(runner, str(path)).start()
            self._runners.append(runner)

    def environment(self) -> dict[str, str]:
        """Environment of our processes."""
        return {
            "PATH": os.environ["PATH"],
            "ENCLAVE_HOME": str(self.root),
            "ENCLAVE_PORT": str(self.settings.port),
            "HOME": str(self.root),
            "PYTHONPATH": str(REPOSITORY),
            "LANG": "C.UTF-8",
            **self.options,
        }

    def start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start ``python -m module``; its log is ``<module>.log`` in the root."""
        command = [sys.executable, "-m", module, *arguments]
        with (self.root / f"{module}.log").open("ab") as log:
            process = subprocess.Popen(command, env=self.environment(), stdout=log, stderr=log, cwd=REPOSITORY)
        self._processes.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(60)

    def __exit__(self, *_: object) -> None:
        for browser in self._browsers:
            browser.client.close()
        for process in reversed(self._processes):
            if process.poll() is None:
                self.stop(process)

        async def close() -> None:
            for runner in self._runners:
                await runner.cleanup()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()
        release_all(self.settings)
        shutil.rmtree(self.root, ignore_errors=True)

    def host_of(self, workspace: str) -> int:
        """Process id of a workspace's host."""
        state = self.settings.run_dir / "ws" / workspace / "host" / "state.json"
        return int(json.loads(state.read_text())["pid"])

    def processes_of(self, workspace: str) -> list[int]:
        """The host of a workspace and all processes of its sandboxes."""
        return processes_below([self.host_of(workspace), *self.containers_of(workspace).values()])

    def containers_of(self, workspace: str) -> dict[str, int]:
        """Id → first process of its running containers; empty with bubblewrap."""
        if self.settings.engine != "docker":
            return {}
        with docker_daemon.connected(self.settings.docker_host) as client:
            found = client.containers(filters={"label": f"{docker_daemon.LABEL_WORKSPACE}={workspace}"})
            running = {}
            for container in found:
                with contextlib.suppress(NotFound):  # ended between the two questions, and gone
                    running[container["Id"]] = int(client.inspect_container(container["Id"])["State"]["Pid"])
            return {one: pid for one, pid in running.items() if pid}  # 0: ended, and everything descends from that

    def hub_url(self, path: str) -> str:
        """Where a browser finds a path: a workspace at its own origin, all else at the hub's."""
        parts = path.split("?")[0].split("/")
        if parts[1] == "user" and len(parts) > 3:
            return f"{self.settings.workspace_origin(parts[2], parts[3])}{path}"
        return f"{self.settings.hub_url}{path}"

    def anonymous(self) -> httpx.Client:
        return httpx.Client(transport=LoopbackTransport(), timeout=60, follow_redirects=False)

    def answers(self, url: str) -> bool:
        """Is there a 200 at this address?"""
        try:
            with self.anonymous() as client:
                return client.get(url).status_code == 200
        except httpx.HTTPError:
            return False

    def browser(self, user: str) -> Browser:
        """A browser of somebody who is logged in at the portal."""
        self._browsers.append(Browser(self, user))
        return self._browsers[-1]

    def hub_api(self, method: str, path: str, token: str) -> httpx.Response:
        """The hub's REST API on its socket, as the runner calls it."""
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self.settings.hub_socket)), timeout=60) as client:
            return client.request(method, f"http://hub/hub/api{path}", headers={"Authorization": f"token {token}"})
