"""The stand with the real audit daemon, extract and gateway; the portal signs real tokens and takes output requests."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from typing import Any

import duckdb
from aiohttp import web
from enclave_test_stand import Stand, UnsafeTestPortal, wait_for  # type: ignore[import-not-found]

from enclave import keys, tokens
from enclave.access import AccessFiles
from enclave.domain.ids import ExtractVersion, PersonId, ProjectId, Username, WorkspaceId
from enclave.domain.people import Person, Role
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.extracts.permit_file import parse_permit
from enclave.extracts.sample import register_for_permit
from enclave.processes import accepts_connections

PERMIT = """
permit: 1
project: ward-study
title: Ward study
purpose: Count people per ward.
legal_basis: Regulation (EU) 2025/327, article 53(1)(e)
dataset: {name: wards, version: "1"}
people:
  researchers: [alice]
expires_on: 2099-12-31
pseudonyms: {domain: ward-study}
dates: {shift_days: 30}
tables:
  stay:
    person: person_id
    columns:
      person_id: person-pseudonym
      ward: keep
      day: shift-date
"""
PERSON = PersonId("u-0123456789ab")
PROJECT = ProjectId("ward-study")


class UnsafeTokenPortal(UnsafeTestPortal):  # type: ignore[misc]
    """Signs real tokens for whoever asks; keeps output requests."""

    def application(self) -> web.Application:
        self.requests: list[dict[str, Any]] = []
        app = web.Application()
        app.router.add_post("/internal/output-requests", self.take)
        self.checks: list[dict[str, Any]] = []
        app.router.add_post("/internal/output-requests/check", self.check)
        app.router.add_route("*", "/{path:.*}", self.rest)
        self._inner = super().application()
        return app

    async def rest(self, request: web.Request) -> web.StreamResponse:
        match = await self._inner.router.resolve(request)
        answer: web.StreamResponse = await match.handler(request)
        if request.path == "/internal/workspaces/start" and isinstance(answer, web.Response) and answer.status == 200:
            content = json.loads(answer.text or "")
            username = Username(self.started[content["workspace"]].split("/")[0])
            people = AccessFiles(self.settings).people().values()
            content["person"] = next(person.id for person in people if person.username == username)
            content["token"] = tokens.issue(
                keys.token_private_key(self.settings),
                person=content["person"],
                username=username,
                project=PROJECT,
                workspace=WorkspaceId(content["workspace"]),
                ttl=timedelta(minutes=10),
            )
            return web.json_response(content)
        return answer

    async def take(self, request: web.Request) -> web.Response:
        self.requests.append(await request.json())
        body = {"id": "o-1", "url": f"{self.settings.portal_url}/outputs/o-1/", "state": "submitted", "findings": 1}
        return web.json_response(body, status=201)

    async def check(self, request: web.Request) -> web.Response:
        self.checks.append(await request.json())
        file = {"name": "ages.csv", "bytes": 4, "was_read": True, "findings": []}
        return web.json_response({"files": [file]})


class GatewayStand(Stand):  # type: ignore[misc]
    """The stand with real audit daemon, extract and gateway."""

    def __init__(self, **options: str) -> None:
        super().__init__(**options)
        self.portal = UnsafeTokenPortal(self.settings)

    def control(self) -> None:
        """The gateway is the real one."""

    def prepare(self) -> None:
        settings = self.settings
        audit = ["--socket", str(settings.audit_socket), "--log", str(settings.log_dir)]
        self.start("audit.daemon", *audit, "--state", str(settings.audit_dir), "--origin", settings.log_origin)
        wait_for(settings.audit_socket.exists, "the audit daemon")
        source = settings.root / "source.duckdb"
        with duckdb.connect(str(source)) as connection:
            connection.execute(
                "CREATE TABLE stay AS SELECT i AS person_id, CASE i % 3 WHEN 0 THEN 'north' ELSE 'south' END AS ward, "
                "DATE '2020-01-01' + CAST(i % 90 AS INTEGER) AS day FROM range(300) t(i)"
            )
        permit = parse_permit(PERMIT)
        register_for_permit(settings, permit, str(source))
        folder = settings.projects_dir / PROJECT
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "permit.yaml").write_text(PERMIT)
        self._build()
        access = AccessFiles(settings)
        access.write_people([Person(PERSON, Username("alice"), frozenset({Role.RESEARCHER}))])
        version = ExtractVersion("v1")
        access.write_project(
            ProjectRecord(
                PROJECT,
                permit.title,
                ProjectState.ACTIVE,
                version,
                permit.sha256,
                permit.expires_on,
                frozenset({PERSON}),
            )
        )
        self.start("enclave.gateway.front")
        wait_for(lambda: accepts_connections(settings.gateway_control_socket), "the gateway")

    def _build(self) -> None:
        from enclave.extracts.producer import ensure_pseudonym_key

        ensure_pseudonym_key(self.settings, "ward-study")
        command = [sys.executable, "-m", "enclave.extracts.build", "--project", PROJECT, "--version", "v1"]
        built = subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=120)
        assert built.returncode == 0, built.stdout + built.stderr
