"""Stand-ins for portal and gateway, in the test process alone. Imported as ``enclave_test_partners``.

``UnsafeTestPortal`` logs in whoever the cookie ``unsafe-test-user`` names and grants every workspace unless told
otherwise; ``UnsafeTestGateway`` opens sockets that answer one line.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import date
from urllib.parse import urlencode

from aiohttp import web

from enclave import keys
from enclave.access import AccessFiles
from enclave.domain.ids import PersonId, ProjectId, Username
from enclave.domain.people import Person, Role
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.settings import Settings


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
