"""A small hospital with a real audit daemon: 60 people, their stays, and a permit that leaves much behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import adbc_driver_postgresql.dbapi as adbc
import duckdb
import pytest
from enclave_test_ports import free_port  # type: ignore[import-not-found]

from audit.client import AuditClient
from audit.event import AuditEvent
from audit.reader import read_entries
from enclave.domain.ids import ExtractVersion, ProjectId
from enclave.extracts.build import BuildOrder, run
from enclave.extracts.producer import ensure_pseudonym_key, register_dataset, write_opt_outs
from enclave.settings import Settings

POSTGRES = Path("/usr/lib/postgresql/15/bin")
TABLES = ("person", "stay", "concept", "secret")
OPTED_OUT = ("7000000000000000003", "-7000000000000000008")
PERMIT = """\
permit: 1
project: stays
title: Length of stay
purpose: Describe stays.
legal_basis: EHDS art. 53
dataset: {name: warehouse, version: "1"}
people: {researchers: [amelie]}
expires_on: 2099-12-31
pseudonyms: {domain: stays}
dates: {shift_days: 100}
tables:
  person:
    person: person_id
    columns: {person_id: person-pseudonym, birth_year: band 5, town: truncate 2}
  stay:
    person: person_id
    rows: "start_date >= DATE '2010-01-01' AND ward <> 'closed' -- wards of today"
    columns:
      stay_id: pseudonym stays
      person_id: person-pseudonym
      mother_id: person-pseudonym
      start_date: shift-date
      end_date: shift-date
      started_at: shift-date
      month: month
      cost: top 900
      ward: keep
  concept:
    columns: {code: keep, label: keep, valid_from: keep}
"""
SOURCE_SQL = """
CREATE TABLE person AS
  SELECT CASE WHEN i % 2 = 0 THEN -7000000000000000000 - i ELSE 7000000000000000000 + i END AS "PERSON_ID",
         'FAMILYNAME-' || i AS "NAME", 1930 + i AS "BIRTH_YEAR", 'TOWNNAME-' || i AS "TOWN"
  FROM range(60) t(i);
CREATE TABLE stay AS
  SELECT 'STAYNUMBER-' || (1000 + n) AS stay_id,
         CASE WHEN n % 97 = 0 THEN NULL WHEN n % 60 % 2 = 0 THEN -7000000000000000000 - n % 60
              ELSE 7000000000000000000 + n % 60 END AS person_id,
         CASE WHEN n % 10 = 0 THEN 7000000000000000003 WHEN n % 10 = 1 THEN 7000000000000000005 END AS mother_id,
         DATE '2008-01-01' + (n * 7)::INTEGER AS start_date, DATE '2008-01-01' + (n * 7 + n % 9)::INTEGER AS end_date,
         TIMESTAMP '2008-01-01 08:30:00' + to_days((n * 7)::INTEGER) AS started_at,
         DATE '2008-01-17' + n::INTEGER AS month, n * 1.5::DOUBLE AS cost,
         CASE n % 3 WHEN 0 THEN 'north' WHEN 1 THEN 'south' ELSE 'closed' END AS ward,
         'DIARYTEXT-' || n AS note
  FROM range(800) t(n);
CREATE TABLE concept AS SELECT i AS code, 'label ' || i AS label, DATE '1970-01-01' AS valid_from FROM range(20) t(i);
CREATE TABLE secret AS SELECT 1 AS person_id, 'HIDDEN-ROW' AS content;
"""


@dataclass
class House:
    """An enclave's home with a running audit daemon."""

    settings: Settings
    daemon: subprocess.Popen[bytes]
    sources: dict[str, str] = field(default_factory=dict)

    def place_permit(self, text: str, project: str = "stays") -> None:
        folder = self.settings.projects_dir / project
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "permit.yaml").write_text(text)

    def register(self, source: str | Path, opt_outs: tuple[str, ...] = OPTED_OUT, name: str = "warehouse") -> None:
        listed = write_opt_outs(self.settings, name, opt_outs)
        register_dataset(self.settings, name, "1", str(source), listed, None)

    def build(self, version: str = "v1", project: str = "stays", *, parquet: bool = False) -> tuple[str, ...]:
        return run(self.settings, BuildOrder(ProjectId(project), ExtractVersion(version), parquet))

    def extract(self, version: str = "v1", project: str = "stays") -> Path:
        return self.settings.projects_dir / project / "extracts" / version

    def left_behind(self, project: str = "stays") -> list[str]:
        """Everything in the project's extracts folder but the lock."""
        folder = self.settings.projects_dir / project / "extracts"
        return sorted(p.name for p in folder.iterdir() if p.name != ".lock") if folder.exists() else []

    def records(self) -> list[tuple[str, dict[str, object]]]:
        """Types and data of all records published so far, after waiting for the publisher."""
        wait_for(lambda: self._last() == self._acknowledged(), "the log to be published")
        return [(str(e.leaf["type"]), dict(e.leaf["data"])) for e in read_entries(self.settings.log_dir)]

    def _last(self) -> int:
        return sum(1 for _ in read_entries(self.settings.log_dir))

    def _acknowledged(self) -> int:
        client = AuditClient(self.settings.audit_socket, writer="test")
        return client.record(AuditEvent(type="test:asked", actor="system:test")).index


def wait_for(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


@pytest.fixture
def house() -> Iterator[House]:
    home = Path(tempfile.mkdtemp(prefix="en", dir="/tmp"))
    settings = Settings(home=home)
    settings.run_dir.mkdir()
    command = [sys.executable, "-m", "audit.daemon", "--socket", str(settings.audit_socket)]
    command += ["--log", str(settings.log_dir), "--state", str(settings.audit_dir), "--origin", "test.example/log"]
    command += ["--heartbeat-seconds", "0"]
    daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(settings.audit_socket.exists, "the audit daemon's socket")
        ensure_pseudonym_key(settings, "stays")
        house = House(settings, daemon)
        house.place_permit(PERMIT)
        yield house
    finally:
        daemon.terminate()
        daemon.wait(60)
        shutil.rmtree(home)


@pytest.fixture(scope="module")
def warehouse() -> Iterator[dict[str, str]]:
    """The same tables as DuckDB file, CSV folder, Parquet folder and PostgreSQL database: kind → location."""
    folder = Path(tempfile.mkdtemp(prefix="enw", dir="/tmp"))
    file, csv, parquet = folder / "warehouse.duckdb", folder / "csv" / "deep", folder / "parquet"
    csv.mkdir(parents=True)
    parquet.mkdir()
    with duckdb.connect(str(file)) as connection:
        connection.execute(SOURCE_SQL)
        for table in TABLES:
            ending = "csv.gz" if table == "stay" else "csv"
            connection.execute(f"COPY {table} TO '{csv}/{table}.{ending}'")
            connection.execute(f"COPY {table} TO '{parquet}/{table}.parquet'")
    server = _PostgresServer(folder / "pg")
    try:
        with duckdb.connect(str(file), read_only=True) as connection:
            server.load(connection)
        yield {"duckdb": str(file), "csv": str(csv.parent), "parquet": str(parquet), "postgresql": server.url}
    finally:
        server.stop()
        shutil.rmtree(folder)


class _PostgresServer:
    """A private cluster on a free loopback port, run by an account that is not root."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self._as: list[str] = []
        if os.geteuid() == 0:
            folder.parent.chmod(0o755)
            shutil.chown(folder, "postgres", "postgres")
            self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        data = str(folder / "data")
        self._run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self._run("pg_ctl", "-D", data, "-o", options, "-l", str(folder / "log"), "-w", "-t", "60", "start")

    def load(self, connection: duckdb.DuckDBPyConnection) -> None:
        with adbc.connect(self.url) as postgres, postgres.cursor() as cursor:
            for table in TABLES:
                cursor.adbc_ingest(table, connection.sql(f"FROM {table}").to_arrow_table(), mode="create")
            postgres.commit()

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(POSTGRES / program), *arguments]
        subprocess.run(command, check=True, timeout=90, cwd="/", stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


@pytest.fixture
def small_source(tmp_path: Path) -> Path:
    """A CSV folder with two people."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "person.csv").write_text("person_id,birth_year,town\n5,1950,Dijon\n6,1961,Tours\n")
    (folder / "stay.csv").write_text(
        "stay_id,person_id,mother_id,start_date,end_date,started_at,month,cost,ward\n"
        "1,5,6,2015-01-01,2015-01-02,2015-01-01 10:00:00,2015-01-01,5,north\n"
    )
    (folder / "concept.csv").write_text("code,label,valid_from\n1,a,1970-01-01\n")
    return folder


@pytest.fixture(name="wait_for")
def wait_for_fixture() -> Callable[..., None]:
    """``wait_for(condition, what, seconds)`` for test modules, which cannot import each other."""
    return wait_for
