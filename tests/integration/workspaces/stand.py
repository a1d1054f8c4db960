"""A test stand: real edge, real JupyterHub, real workspaces of either engine; portal and gateway are stand-ins.

``UnsafeTestPortal`` logs in whoever the cookie ``unsafe-test-user`` names and grants every workspace unless told
otherwise: it exists only in the test process. The real portal and gateway are used by the end-to-end journeys.
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
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import httpx
from aiohttp import web
from docker.errors import NotFound
from enclave_test_ports import free_port  # type: ignore[import-not-found]

from enclave import keys
from enclave.access import AccessFiles
from enclave.domain.ids import PersonId, ProjectId, Username
from enclave.domain.people import Person, Role
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.processes import accepts_connections
from enclave.settings import Settings
from enclave.workspaces import docker_daemon
from enclave.workspaces.shared_folder import release_all

REPOSITORY = Path(__file__).resolve().parents[3]


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """The first true value of ``condition``; fails with ``what`` after ``seconds``."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = condition()
        if found:
            return found
        threading.Event().wait(0.1)
    raise AssertionError(f"waited {seconds} s for {what}")


class UnsafeTestPortal:
    """OpenID provider and internal API that believe everybody. Requests it saw are in ``seen``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.codes: dict[str, str] = {}
        self.refusals: dict[str, list[str]] = {}
        self.revoked: set[str] = set()
        self.started: dict[str, str] = {}
        self.stopped: list[str] = []
        self.token_seconds = 600
        self.idle_minutes: float = 120
        self.roles: dict[str, list[str]] = {}
        self.packages: dict[str, str] = {}
        self.shared_mb = 0
        self.disk_mb = 20_480
        self.terminals: set[str] = set()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_get("/identity/o/authorize", self.authorize)
        app.router.add_post("/identity/o/api/token", self.token)
        app.router.add_get("/identity/o/api/userinfo", self.userinfo)
        app.router.add_post("/internal/workspaces/start", self.start)
        app.router.add_post("/internal/workspaces/token", self.renew)
        app.router.add_post("/internal/workspaces/stopped", self.stop)
        app.router.add_route("*", "/{path:.*}", self.echo)
        return app

    async def echo(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.rel_url.raw_path_qs, dict(request.headers)))
        if request.path == "/socket":
            ws = web.WebSocketResponse()
            await ws.prepare(request)
            async for message in ws:
                await ws.send_str(f"echo:{message.data}")
            return ws
        body = await request.read()
        return web.json_response({"path": request.rel_url.raw_path_qs, "length": len(body), "h": dict(request.headers)})

    async def authorize(self, request: web.Request) -> web.Response:
        user = request.cookies["unsafe-test-user"]
        assert request.query["code_challenge_method"] == "S256"
        code = uuid.uuid4().hex
        self.codes[code] = user
        back = urlencode({"code": code, "state": request.query["state"]})
        return web.Response(status=302, headers={"Location": f"{request.query['redirect_uri']}?{back}"})

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["code_verifier"]
        assert request.host.startswith(self.settings.portal_name)
        return web.json_response({"access_token": self.codes[str(form["code"])], "token_type": "bearer"})

    async def userinfo(self, request: web.Request) -> web.Response:
        user = request.headers["Authorization"].split()[1]
        roles = self.roles.get(user, ["researcher"])
        return web.json_response({"sub": user, "preferred_username": user, "roles": roles, "projects": []})

    def _check(self, request: web.Request) -> None:
        if request.headers.get("X-Enclave-Service") != keys.service_secret(self.settings):
            raise web.HTTPForbidden

    async def start(self, request: web.Request) -> web.Response:
        self._check(request)
        body = await request.json()
        if body["project"] in self.refusals:
            return web.json_response({"reasons": self.refusals[body["project"]]}, status=403)
        self.know(body["username"], body["project"])
        workspace = f"w-{uuid.uuid4().hex[:12]}"
        self.started[workspace] = f"{body['username']}/{body['project']}"
        return web.json_response(
            {
                "person": "u-0123456789ab",
                "workspace": workspace,
                "token": f"test-token-{workspace}-1",
                "token_seconds": self.token_seconds,
                "project_title": "Test",
                "memory_mb": 4096,
                "processes": 512,
                "idle_minutes": self.idle_minutes,
                "hours": 12,
                "disk_mb": self.disk_mb,
                "shared_mb": self.shared_mb,
                "packages": self.packages.get(body["project"], ""),
                "terminals": body["project"] in self.terminals,
            }
        )

    def know(self, username: str, project: str) -> None:
        """Put person and project into the access files as the real portal does; what is there stays."""
        files = AccessFiles(self.settings)
        people = files.people()
        known = next((person for person in people.values() if person.username == username), None)
        if known is None:
            known = Person(PersonId(f"u-{uuid.uuid4().hex[:12]}"), Username(username), frozenset({Role.RESEARCHER}))
            files.write_people([*people.values(), known])
        record = files.project(ProjectId(project)) or ProjectRecord(
            ProjectId(project), "Test", ProjectState.ACTIVE, None, "0" * 64, date(2999, 1, 1), frozenset()
        )
        if known.id not in record.members:
            files.write_project(replace(record, members=record.members | {known.id}))

    def revoke(self, username: str) -> None:
        """What is left of a revocation in the access files."""
        files = AccessFiles(self.settings)
        files.write_people([replace(p, active=p.active and p.username != username) for p in files.people().values()])

    async def renew(self, request: web.Request) -> web.Response:
        self._check(request)
        workspace = (await request.json())["workspace"]
        if workspace in self.revoked:
            return web.json_response({"reasons": ["Your access has ended."]}, status=403)
        return web.json_response(
            {"token": f"test-token-{workspace}-{uuid.uuid4().hex}", "token_seconds": self.token_seconds}
        )

    async def stop(self, request: web.Request) -> web.Response:
        self._check(request)
        self.stopped.append((await request.json())["workspace"])
        return web.Response(status=204)


class UnsafeTestGateway:
    """Control API only: opens a unix socket per workspace that answers one line."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.open: dict[str, dict[str, str]] = {}
        self._servers: dict[str, asyncio.Server] = {}

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_put("/workspaces/{wid}", self.put)
        app.router.add_delete("/workspaces/{wid}", self.delete)
        return app

    async def put(self, request: web.Request) -> web.Response:
        wid = request.match_info["wid"]
        self.open[wid] = await request.json()

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"gateway here\n")
            writer.close()

        path = self.settings.run_dir / "ws" / wid / "in" / "gateway.sock"
        self._servers[wid] = await asyncio.start_unix_server(answer, path)
        path.chmod(0o666)
        return web.Response(status=204)

    async def delete(self, request: web.Request) -> web.Response:
        wid = request.match_info["wid"]
        self.open.pop(wid, None)
        server = self._servers.pop(wid, None)
        if server is not None:
            server.close()
        return web.Response(status=204)


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
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(20)
        self.prepare()
        self.edge = self.start("enclave.edge.serve")
        wait_for(lambda: accepts_connections(self.settings.edge_api_socket), "the edge's route API")
        wait_for(lambda: self.answers(self.settings.portal_url), "the edge's listener")
        if self._with_hub:
            self.hub = self.start("enclave.workspaces.serve")
            wait_for(lambda: self.answers(self.hub_url("/hub/api")), self._log("hub"))
        return self

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


class Browser:
    """Follows redirects with cookies over two origins, asks for HTML like a browser."""

    def __init__(self, stand: Stand, user: str) -> None:
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


def processes_below(tops: list[int]) -> list[int]:
    """``tops`` and all their descendants."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
    found = list(tops)
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def is_alive(pid: int) -> bool:
    """Is it there, and no zombie?"""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def query_of(url: str) -> dict[str, list[str]]:
    """The query of an address as a dictionary."""
    return parse_qs(urlsplit(url).query)
