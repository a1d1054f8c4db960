"""A whole gateway for tests and benchmarks: real audit daemon, real front, real workers in bubblewrap, real extract."""

from __future__ import annotations

import contextlib
import hashlib
import json
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

import duckdb
import httpx
from adbc_driver_flightsql import DatabaseOptions
from adbc_driver_flightsql import dbapi as flightsql

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

PERMIT = """permit: 1
project: {project}
title: A study
purpose: Test the gateway.
legal_basis: Regulation (EU) 2025/327 (EHDS), article 53(1)(e)
dataset: {{name: sample, version: "1"}}
people: {{researchers: [alice]}}
expires_on: 2099-12-31
pseudonyms: {{domain: {project}}}
dates: {{shift_days: 30}}
tables:
  person:
    person: person_id
    columns: {{person_id: person-pseudonym}}
caps:
  {{rows: {rows}, bytes: {bytes}, rows_per_day: {rows}0, bytes_per_day: {bytes}0, seconds: {seconds},
   statement_characters: {characters}}}
"""

SAMPLE_SQL = (
    "CREATE TABLE person AS SELECT i::BIGINT AS person_id, 'name-' || i AS label, 1950 + i % 60 AS year_of_birth,"
    " DATE '2020-01-01' + (i % 700)::INTEGER AS seen_on FROM range(1000) r(i)",
    "CREATE TYPE sex AS ENUM ('F', 'M')",
    "CREATE TABLE visit AS SELECT i AS visit_id, i % 1000 AS person_id, (['F', 'M'])[1 + i % 2]::sex AS sex"
    " FROM range(5000) r(i)",
)


def wait_for(condition: Callable[[], Any], seconds: float = 60.0, what: str = "the condition") -> Any:
    """The condition's first true value; fails after the deadline."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come within {seconds} s")


def build_extract(folder: Path, project: str, statements: tuple[str, ...], permit_sha256: str) -> None:
    """A DuckDB extract with its manifest, as the extract builder writes them."""
    folder.mkdir(parents=True)
    file = folder / "extract.duckdb"
    connection = duckdb.connect(str(file))
    for statement in statements:
        connection.execute(statement)
    tables = []
    for (name,) in connection.execute("SELECT table_name FROM information_schema.tables").fetchall():
        described = connection.execute(f'DESCRIBE "{name}"').fetchall()
        rows = connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()
        tables.append(
            {
                "name": name,
                "rows": rows[0] if rows else 0,
                "source_rows": rows[0] if rows else 0,
                "columns": [{"name": r[0], "type": r[1], "treatment": "keep"} for r in described],
                "person": None,
                "dropped_columns": [],
                "dropped_rows_filter": 0,
                "dropped_rows_opt_out": 0,
                "dropped_rows_no_person": 0,
            }
        )
    connection.close()
    file.chmod(0o444)
    manifest = {
        "project": project,
        "extract_version": folder.name,
        "dataset": "sample",
        "dataset_version": "1",
        "permit_sha256": permit_sha256,
        "built_at": "2026-01-01T00:00:00Z",
        "source_kind": "duckdb",
        "people": 1000,
        "opt_outs_listed": 0,
        "opt_outs_matched": 0,
        "date_shift_days": 30,
        "tables": tables,
        "dropped_tables": [],
        "files": [
            {
                "path": file.name,
                "sha256": sha256_of(file),
                "bytes": file.stat().st_size,
            }
        ],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def sha256_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


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
