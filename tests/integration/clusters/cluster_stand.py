"""Real hub, hosts, gateway, audit daemon, dask-gateway server and proxy; the tests speak HTTP at a workspace's door."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web
from enclave_gateway_stand import (  # type: ignore[import-not-found]
    PERSON,
    PROJECT,
    GatewayStand,
    UnsafeTokenPortal,
)
from enclave_test_stand import processes_below, wait_for  # type: ignore[import-not-found]

from audit.reader import read_entries
from enclave import keys, tokens
from enclave.access import AccessFiles
from enclave.domain.ids import PersonId, Username, WorkspaceId
from enclave.domain.people import Person, Role
from enclave.processes import accepts_connections

BOB = PersonId("u-0123456789ac")
PEOPLE = {"alice": PERSON, "bob": BOB}


class UnsafeTwoPeoplesPortal(UnsafeTokenPortal):  # type: ignore[misc]
    """Signs a token for whoever asks, alice or bob."""

    async def rest(self, request: web.Request) -> web.StreamResponse:
        answer = await super().rest(request)
        if request.path == "/internal/workspaces/start" and isinstance(answer, web.Response) and answer.status == 200:
            content = json.loads(answer.text or "")
            username = self.started[content["workspace"]].split("/")[0]
            content |= {
                "person": PEOPLE[username],
                "token": self.token_for(username, content["workspace"]),
            }
            return web.json_response(content)
        return answer

    def token_for(self, username: str, workspace: str) -> str:
        return tokens.issue(
            keys.token_private_key(self.settings),
            person=PEOPLE[username],
            username=Username(username),
            project=PROJECT,
            workspace=WorkspaceId(workspace),
            ttl=timedelta(minutes=10),
        )


class ClusterStand(GatewayStand):  # type: ignore[misc]
    """Use as a context manager."""

    def __init__(self) -> None:
        super().__init__(cluster_workers="2")
        self.portal = UnsafeTwoPeoplesPortal(self.settings)

    def prepare(self) -> None:
        super().prepare()
        access = AccessFiles(self.settings)
        access.write_people(Person(i, Username(name), frozenset({Role.RESEARCHER})) for name, i in PEOPLE.items())
        self.start_service()

    def start_service(self) -> None:
        self.service = self.start("enclave.clusters.serve")
        wait_for(lambda: accepts_connections(self.settings.clusters_socket), "the clusters' service")

    def open_workspaces(self) -> None:
        self.browsers = {name: self.browser(name) for name in PEOPLE}
        self.here = {name: browser.start_workspace(PROJECT) for name, browser in self.browsers.items()}
        self.workspaces = {place.split("/")[0]: workspace for workspace, place in self.portal.started.items()}
        for workspace in self.workspaces.values():
            wait_for(lambda w=workspace: accepts_connections(self.door(w)), "the door")

    def door(self, workspace: str) -> Path:
        found: Path = self.settings.run_dir / "ws" / workspace / "in" / "dask.sock"
        return found

    def islands(self, workspace: str) -> Path:
        found: Path = self.settings.run_dir / "ws" / workspace / "host" / "islands"
        return found

    def ask(
        self, person: str, method: str, path: str, content: Any = None, *, token: str | None = None, **options: Any
    ) -> httpx.Response:
        """A request at this person's door, with her token or another one."""
        workspace = self.workspaces[person]
        own = token or self.portal.token_for(person, workspace)
        return self.ask_at(self.door(workspace), method, path, content, {"Authorization": f"Bearer {own}"}, **options)

    def ask_at(
        self, socket: Path, method: str, path: str, content: Any, headers: dict[str, str], **options: Any
    ) -> httpx.Response:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), timeout=60) as client:
            return client.request(method, f"http://dask{path}", json=content, headers=headers, **options)

    def new_cluster(self, person: str) -> str:
        """A running one; its name."""
        made = self.ask(person, "POST", "/api/v1/clusters/", {})
        assert made.status_code == 201, made.text
        name: str = made.json()["name"]
        wait_for(lambda: self.status(person, name) == "RUNNING", f"the cluster; see the logs in {self.root}")
        return name

    def status(self, person: str, cluster: str) -> str:
        found: str = self.ask(person, "GET", f"/api/v1/clusters/{cluster}").json()["status"]
        return found

    def service_ports(self) -> list[int]:
        """TCP ports that the service and the proxy listen on."""
        below = processes_below([self.service.pid])
        inodes = {name for pid in below for name in _descriptors(pid)}
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        listening = [row for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]
        return [int(row[1].split(":")[1], 16) for row in listening]

    def dask_processes(self, workspace: str) -> list[int]:
        """Schedulers and workers of a workspace."""
        found = []
        for pid in self.processes_of(workspace):
            with contextlib.suppress(OSError):
                if b"distributed.cli.dask" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def events(self, event_type: str) -> list[dict[str, Any]]:
        try:
            leaves = [entry.leaf for entry in read_entries(self.settings.log_dir)]
        except Exception:
            return []
        return [leaf for leaf in leaves if leaf["type"] == event_type]

    def wait_event(self, event_type: str, **wanted: Any) -> dict[str, Any]:
        """The newest one with these fields."""

        def find() -> dict[str, Any] | None:
            found = [e for e in self.events(event_type) if all(e.get(name) == value for name, value in wanted.items())]
            return found[-1] if found else None

        found: dict[str, Any] = wait_for(find, f"{event_type} {wanted}")
        return found


def _descriptors(pid: int) -> list[str]:
    """What its descriptors lead to."""
    found = []
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(link.readlink().name)
    return found
