"""Real service, proxy, gateway and audit daemon; the workspaces' hosts and what runs in islands are the test's own.

So a test can be the scheduler, and say what no real one would.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
from enclave_gateway_stack import (  # type: ignore[import-not-found]
    ALICE,
    BOB,
    SMALL,
    WORKSPACE,
    Stack,
    wait_for,
)

from enclave.domain.ids import PersonId, WorkspaceId
from enclave.listening import listen_in
from enclave.processes import accepts_connections

OTHER_WORKSPACE = WorkspaceId("w-0123456789ac")
OWNERS: dict[WorkspaceId, PersonId] = {WORKSPACE: ALICE, OTHER_WORKSPACE: BOB}
MOST = 2


class _Server:
    """Answers one connection after the other on a thread of its own, until closed."""

    def __init__(self, listening: socket.socket) -> None:
        self._socket = listening
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                with client:
                    self._answer(client)

    def _answer(self, client: socket.socket) -> None:
        raise NotImplementedError


class UnsafeHost(_Server):
    """A workspace's host that starts nothing and says yes; ``started`` are the questions it got."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.started: list[dict[str, Any]] = []
        self.stopped: list[tuple[str, str | None]] = []
        self.problem = ""
        super().__init__(listen_in(folder, "clusters.sock", kind=socket.SOCK_SEQPACKET))

    def members(self, cluster: str) -> dict[str, dict[str, Any]]:
        """What was started of a cluster and not stopped."""
        ended = {member for name, member in self.stopped if name == cluster}
        return {s["member"]: s for s in self.started if s["cluster"] == cluster and s["member"] not in ended}

    def _answer(self, client: socket.socket) -> None:
        client.send(json.dumps(self._carry_out(json.loads(client.recv(1 << 18)))).encode())

    def _carry_out(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["do"] == "poll":
            return {"clusters": {s["cluster"]: dict.fromkeys(self.members(s["cluster"])) for s in self.started}}
        if asked["do"] == "stop":
            self.stopped.append((asked["cluster"], asked.get("member")))
        elif self.problem:
            return {"problem": self.problem}
        else:
            self.started.append(asked)
        return {}


class Trap(_Server):
    """A listener of the machine that nobody may be led to; ``came`` counts who was."""

    def __init__(self) -> None:
        self.came = 0
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(listening.getsockname()[1])
        super().__init__(listening)

    def _answer(self, client: socket.socket) -> None:
        self.came += 1


class UnsafeScheduler(_Server):
    """Answers at an island's ``scheduler.sock`` or ``control.sock`` with fixed bytes; ``heard`` is what came."""

    def __init__(self, folder: Path, name: str, answer: bytes) -> None:
        self.heard: list[bytes] = []
        self._said = answer
        super().__init__(listen_in(folder, name))

    def _answer(self, client: socket.socket) -> None:
        client.settimeout(20)
        self.heard.append(client.recv(1 << 16))
        client.sendall(self._said)


class HostileStand:
    """Two workspaces of one project; use as a context manager."""

    def __init__(self) -> None:
        self.stack = Stack()
        self.settings = self.stack.settings
        self.service: subprocess.Popen[bytes] | None = None
        self.hosts: dict[WorkspaceId, UnsafeHost] = {}
        self.trap = Trap()

    def __enter__(self) -> HostileStand:
        self.stack.add_project(members=frozenset(OWNERS.values()))
        self.stack.start()
        for workspace, person in OWNERS.items():
            self.hosts[workspace] = UnsafeHost(self.settings.run_dir / "ws" / workspace / "host")
            self.stack.open_workspace(workspace, person)
        self.start_service()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_service()
        for host in self.hosts.values():
            host.close()
        self.trap.close()
        self.stack.stop()

    def start_service(self) -> None:
        """Until it is up and both doors are open."""
        env = {**os.environ, "ENCLAVE_HOME": str(self.stack.home), "ENCLAVE_CLUSTER_WORKERS": str(MOST)}
        with (self.stack.home / "clusters.log").open("ab") as log:
            command = [sys.executable, "-m", "enclave.clusters.serve"]
            self.service = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        wait_for(lambda: accepts_connections(self.settings.clusters_socket), 60, "the clusters' service")
        for workspace in OWNERS:
            wait_for(lambda w=workspace: accepts_connections(self.door(w)), 60, "the door")

    def stop_service(self, kill: bool = False) -> None:
        assert self.service is not None
        if kill:
            self.service.kill()
        else:
            self.service.terminate()
        self.service.wait(60)

    def door(self, workspace: WorkspaceId = WORKSPACE) -> Path:
        found: Path = self.settings.run_dir / "ws" / workspace / "in" / "dask.sock"
        return found

    def island(self, cluster: str, workspace: WorkspaceId = WORKSPACE) -> Path:
        found: Path = self.settings.run_dir / "ws" / workspace / "host" / "islands" / cluster
        return found

    def token(self, workspace: WorkspaceId = WORKSPACE, **options: Any) -> str:
        found: str = self.stack.token(options.pop("person", OWNERS[workspace]), SMALL, workspace, **options)
        return found

    def ask(
        self, method: str, path: str, content: Any = None, *, at: WorkspaceId = WORKSPACE, token: str | None = None
    ) -> httpx.Response:
        """A client's request at a workspace's door, by default with its own token."""
        bearer = {"Authorization": f"Bearer {token or self.token(at)}"}
        return send(self.door(at), method, path, content, bearer)

    def new_cluster(self, at: WorkspaceId = WORKSPACE) -> dict[str, Any]:
        """What the host was told of the scheduler of a new cluster."""
        made = self.ask("POST", "/api/v1/clusters/", {}, at=at)
        assert made.status_code == 201, made.text
        name = made.json()["name"]
        started: dict[str, Any] = wait_for(
            lambda: self.hosts[at].members(name).get("scheduler"), 60, "the scheduler's start"
        )
        return started

    def end_cluster(self, cluster: str, at: WorkspaceId = WORKSPACE) -> None:
        """Until nothing of it is left."""
        assert self.ask("DELETE", f"/api/v1/clusters/{cluster}", at=at).status_code == 204
        wait_for(lambda: self.status(cluster, at) in ("STOPPED", "FAILED"), 60, "the end of the cluster")

    def status(self, cluster: str, at: WorkspaceId = WORKSPACE) -> str:
        found: str = self.ask("GET", f"/api/v1/clusters/{cluster}", at=at).json()["status"]
        return found

    def beat(self, started: dict[str, Any], at: WorkspaceId = WORKSPACE, **said: Any) -> httpx.Response:
        """A heartbeat as the scheduler that was ``started``, at its own island's socket."""
        lie = f"127.0.0.1:{self.trap.port}"
        content = {
            "scheduler_address": f"tls://{lie}",
            "dashboard_address": f"http://{lie}",
            "api_address": f"http://{lie}",
            "count": 0,
            **{f"{kind}_workers": [] for kind in ("active", "closing", "closed")},
            **said,
        }
        return self.tell(started, "POST", f"/api/v1/clusters/{started['cluster']}/heartbeat", content, at)

    def tell(
        self, started: dict[str, Any], method: str, path: str, content: Any = None, at: WorkspaceId = WORKSPACE
    ) -> httpx.Response:
        """What a scheduler can ask, with its cluster's token."""
        given = {"Authorization": f"token {started['env']['DASK_GATEWAY_API_TOKEN']}"}
        return send(self.island(started["cluster"], at) / "api.sock", method, path, content, given)

    def says_hello(self, cluster: str, at: WorkspaceId = WORKSPACE) -> bytes:
        """What comes back for a TLS client at a door that asks for this cluster."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        said = ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            context.wrap_bio(ssl.MemoryBIO(), said, server_hostname=f"daskgateway-{cluster}").do_handshake()
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(self.door(at)))
            client.sendall(said.read())
            with contextlib.suppress(ConnectionError):
                return client.recv(100)
        return b""

    def raw(self, said: bytes, at: WorkspaceId = WORKSPACE) -> bytes:
        """Everything a door answers to these bytes until it closes."""
        answer = b""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(self.door(at)))
            client.sendall(said)
            with contextlib.suppress(ConnectionError):
                while chunk := client.recv(1 << 16):
                    answer += chunk
        return answer


def send(path: Path, method: str, url: str, content: Any, headers: dict[str, str]) -> httpx.Response:
    """One request at a unix socket."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=60) as client:
        return client.request(method, f"http://dask{url}", json=content, headers=headers)
