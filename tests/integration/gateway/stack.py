"""A whole gateway for tests and benchmarks: real audit daemon, real front, real workers in bubblewrap, real extract."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
from adbc_driver_flightsql import DatabaseOptions
from adbc_driver_flightsql import dbapi as flightsql
from enclave_test_extract import PERMIT, SAMPLE_SQL, build_extract  # type: ignore[import-not-found]

from audit.reader import read_entries
from enclave.access import AccessFiles
from enclave.domain.ids import ExtractVersion, PersonId, ProjectId, Username, WorkspaceId
from enclave.domain.people import Person, Role
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.gateway.replicas import place_of
from enclave.keys import ensure_keys, service_secret, token_private_key
from enclave.processes import accepts_connections
from enclave.settings import Settings
from enclave.tokens import CLI_WORKSPACE, issue

ALICE, BOB, CAROL, DORA = (PersonId(f"u-00000000000{n}") for n in (1, 2, 3, 4))
WORKSPACE = WorkspaceId("w-0123456789ab")
SMALL, OTHER = ProjectId("heart-study"), ProjectId("lung-study")


def wait_for(condition: Callable[[], Any], seconds: float = 60.0, what: str = "the condition") -> Any:
    """The condition's first true value; fails after the deadline."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come within {seconds} s")


class Stack:
    """Start with ``with running_stack() as stack``; everything ends with it."""

    wait_for = staticmethod(wait_for)

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="en", dir="/tmp"))
        self.home.chmod(0o755)
        self.settings = Settings(home=self.home)
        self.access = AccessFiles(self.settings)
        self.settings.run_dir.mkdir(mode=0o755)
        ensure_keys(self.settings)
        self.daemon: subprocess.Popen[bytes] | None = None
        self.front: subprocess.Popen[bytes] | None = None
        self.replicas: dict[str, subprocess.Popen[bytes]] = {}
        self.replica_settings = self.settings
        self.environment: dict[str, str] = {}
        self.people = {
            ALICE: Person(ALICE, Username("alice"), frozenset({Role.RESEARCHER})),
            BOB: Person(BOB, Username("bob"), frozenset({Role.RESEARCHER})),
            CAROL: Person(CAROL, Username("carol"), frozenset({Role.ADMIN})),
            DORA: Person(DORA, Username("dora"), frozenset({Role.AUDITOR})),
        }
        self.access.write_people(self.people.values())

    def start(self) -> None:
        self.start_daemon()
        self.start_front()

    def start_daemon(self) -> None:
        s = self.settings
        arguments = ["--socket", str(s.audit_socket), "--log", str(s.log_dir), "--state", str(s.audit_dir)]
        self.daemon = self._run("audit.daemon", *arguments, "--origin", s.log_origin)
        wait_for(lambda: accepts_connections(s.audit_socket), what="the audit daemon's socket")

    def start_front(self) -> None:
        self.front = self._run("enclave.gateway.front")
        control = self.settings.gateway_control_socket
        wait_for(lambda: accepts_connections(control), what="the front's control socket")

    def start_replica(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """A further front over the same home; started again after its end as well."""
        self.replicas[name] = self._run("enclave.gateway.front", "--replica", name, *arguments)
        control = place_of(self.replica_settings, name).control_socket
        wait_for(lambda: accepts_connections(control), 60, "the replica's control socket")
        return self.replicas[name]

    def replica_socket(self, name: str, project: ProjectId = SMALL) -> Path:
        """The project's socket at a replica."""
        path = place_of(self.replica_settings, name).folder / project / "gateway.sock"
        wait_for(lambda: accepts_connections(path), 60, "the project's socket at the replica")
        return path

    def _run(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        env = {**os.environ, "ENCLAVE_HOME": str(self.home), **self.environment}
        log = (self.home / f"{module}.log").open("ab")
        with log:
            return subprocess.Popen([sys.executable, "-m", module, *arguments], env=env, stderr=log, stdout=log)

    def kill_daemon(self) -> None:
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait(timeout=60)
        self.settings.audit_socket.unlink(missing_ok=True)

    def stop(self) -> None:
        for process in (*self.replicas.values(), self.front, self.daemon):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(timeout=60)
        shutil.rmtree(self.home, ignore_errors=True)

    def add_project(
        self,
        project: ProjectId = SMALL,
        statements: tuple[str, ...] = SAMPLE_SQL,
        *,
        members: frozenset[PersonId] = frozenset({ALICE, CAROL}),
        state: ProjectState = ProjectState.ACTIVE,
        expires_on: date = date(2099, 12, 31),
        rows: int = 5_000_000,
        bytes: int = 1_000_000_000,
        seconds: int = 300,
        characters: int = 100_000,
    ) -> ProjectRecord:
        permit = PERMIT.format(project=project, rows=rows, bytes=bytes, seconds=seconds, characters=characters)
        sha256 = hashlib.sha256(permit.encode()).hexdigest()
        folder = self.settings.projects_dir / project
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "permit.yaml").write_text(permit)
        if not (folder / "extracts" / "v1").exists():
            build_extract(folder / "extracts" / "v1", project, statements, sha256)
        record = ProjectRecord(project, "A study", state, ExtractVersion("v1"), sha256, expires_on, members)
        self.access.write_project(record)
        return record

    def socket(self, project: ProjectId = SMALL) -> Path:
        path = self.settings.run_dir / project / "gateway.sock"
        wait_for(lambda: accepts_connections(path), what="the project's socket")
        return path

    def token(
        self,
        person: PersonId = ALICE,
        project: ProjectId = SMALL,
        workspace: WorkspaceId = CLI_WORKSPACE,
        ttl: timedelta = timedelta(minutes=10),
        **binding: Any,
    ) -> str:
        username = self.people[person].username if person in self.people else Username("nobody")
        key = token_private_key(self.settings)
        return issue(key, person=person, username=username, project=project, workspace=workspace, ttl=ttl, **binding)

    @contextlib.contextmanager
    def connect(self, token: str | None = None, socket: Path | None = None) -> Iterator[Any]:
        """A stock ADBC connection."""
        options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token or self.token()}"}
        with flightsql.connect(
            f"grpc+unix://{socket or self.socket()}", db_kwargs=options, autocommit=True
        ) as connection:
            yield connection

    def fetch(self, sql: str, token: str | None = None, socket: Path | None = None) -> list[Any]:
        with self.connect(token, socket) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def control(self, method: str, path: str, content: Any = None, secret: str | None = None) -> httpx.Response:
        transport = httpx.HTTPTransport(uds=str(self.settings.gateway_control_socket))
        with httpx.Client(transport=transport, timeout=60) as client:
            headers = {"X-Enclave-Service": secret or service_secret(self.settings)}
            return client.request(method, f"http://gateway{path}", json=content, headers=headers)

    def open_workspace(self, workspace: WorkspaceId = WORKSPACE, person: PersonId = ALICE) -> Path:
        folder = self.settings.run_dir / "ws" / workspace / "in"
        folder.mkdir(parents=True, exist_ok=True)
        response = self.control("PUT", f"/workspaces/{workspace}", {"project": SMALL, "person": person})
        assert response.status_code == 200, response.text
        return Path(response.json()["socket"])

    def events(self, event_type: str | None = None) -> list[dict[str, Any]]:
        """Published leaves, oldest first."""
        try:
            leaves = [entry.leaf for entry in read_entries(self.settings.log_dir)]
        except Exception:
            return []
        return [leaf for leaf in leaves if event_type is None or leaf["type"] == event_type]

    def wait_event(self, event_type: str, **wanted: Any) -> dict[str, Any]:
        """The newest event of a type whose ``data`` has the wanted values."""

        def find() -> dict[str, Any] | None:
            found = [
                leaf
                for leaf in self.events(event_type)
                if all(leaf.get("data", {}).get(key) == value for key, value in wanted.items())
            ]
            return found[-1] if found else None

        found: dict[str, Any] = wait_for(find, what=f"{event_type} {wanted}")
        return found


@contextlib.contextmanager
def running_stack() -> Iterator[Stack]:
    """A started stack."""
    stack = Stack()
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
