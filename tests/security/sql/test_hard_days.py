"""What else goes wrong on a running gateway: a full audit disk, a token that expires or a person who is revoked in the
middle of a stream, an extract that is replaced while queries run, hundreds of idle connections.
"""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from adbc_driver_manager import Error
from pyarrow import flight
from raw_stream import FAILURES, Stream

from audit.reader import read_checkpoint
from enclave.domain.ids import ExtractVersion

SMALL_SQL = "SELECT count(*) FROM person"
ROWS = 3_000_000
STREAM_SQL = f"SELECT i, repeat('x', 100) AS t FROM range({ROWS}) r(i)"
IDLE_CONNECTIONS = 500
_REVOKED_WITHIN = 60.0


@pytest.fixture
def small_audit_disk(stack_parts: Any) -> Iterator[Any]:
    """A gateway whose audit daemon keeps its state on a file system of 24 MiB."""
    stack = stack_parts.Stack()
    stack.settings.audit_dir.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", str(stack.settings.audit_dir)]
    subprocess.run(mount, check=True, timeout=60)
    try:
        stack.start()
        stack.add_project()
        stack.socket()
        yield stack
    finally:
        stack.kill_daemon()
        subprocess.run(["umount", str(stack.settings.audit_dir)], check=True, timeout=60)
        stack.stop()


def fill(folder: Path) -> Path:
    """Write until nothing fits any more."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


@pytest.mark.needs_root
def test_on_a_full_audit_disk_nothing_is_answered_until_there_is_room(small_audit_disk: Any) -> None:
    gateway = small_audit_disk
    assert gateway.fetch(SMALL_SQL) == [(1000,)]
    ballast = fill(gateway.settings.audit_dir)
    refused = None
    for _ in range(20_000):  # until the write-ahead file's own reserve is used up, too
        try:
            gateway.fetch(SMALL_SQL)
        except Error as error:
            refused = error
            break
    assert refused is not None and "audit log does not answer" in str(refused)
    with pytest.raises(Error, match="audit log does not answer"):
        gateway.fetch(SMALL_SQL)
    ballast.unlink()
    gateway.wait_for(lambda: answers(gateway), seconds=30, what="an answer after there is room again")
    ids = {kind: {leaf["request_id"] for leaf in gateway.events(f"query:{kind}")} for kind in ("intent", "outcome")}
    assert ids["outcome"] <= ids["intent"]


def answers(gateway: Any) -> bool:
    try:
        return bool(gateway.fetch(SMALL_SQL) == [(1000,)])
    except Error:
        return False


def test_a_stream_outlives_its_token_and_the_next_call_does_not(fresh_gateway: Any) -> None:
    assert fresh_gateway.fetch(SMALL_SQL) == [(1000,)]  # the worker's start is none of the token's time
    token = fresh_gateway.token(ttl=timedelta(seconds=5))
    ends_at = time.monotonic() + 5
    stream = Stream(fresh_gateway, STREAM_SQL, token)
    stream.open()
    stream.read(at_most=1)
    fresh_gateway.wait_for(lambda: time.monotonic() > ends_at + 1, what="the token's end")
    stream.read()
    assert stream.rows == ROWS
    with pytest.raises(flight.FlightUnauthenticatedError, match="expired"):
        Stream(fresh_gateway, SMALL_SQL, token).open()
    fresh_gateway.wait_event("query:outcome", status="ok")
    assert fresh_gateway.wait_event("token:refused")


@pytest.fixture
def generous_gateway(stack_parts: Any) -> Iterator[Any]:
    """A permit whose caps no reader reaches before a revocation is seen."""
    with stack_parts.running_stack() as stack:
        stack.add_project(rows=4_000_000_000, bytes=4_000_000_000_000)
        stack.socket()
        yield stack


def test_a_revoked_person_gets_no_further_rows(generous_gateway: Any) -> None:
    gateway, alice = generous_gateway, "u-000000000001"
    stream = Stream(gateway, "SELECT i, repeat('x', 100) AS t FROM range(4_000_000_000) r(i)")
    stream.open()
    stream.read(at_most=1)
    gateway.access.write_people([replace(p, active=p.id != alice) for p in gateway.people.values()])
    revoked_at = time.monotonic()
    with pytest.raises(FAILURES, match="revoked"):
        while time.monotonic() < revoked_at + _REVOKED_WITHIN:
            stream.read(at_most=stream.rows + 1)
    assert time.monotonic() - revoked_at < _REVOKED_WITHIN
    gateway.wait_event("query:outcome", status="revoked")
    gateway.access.write_people(gateway.people.values())
    assert gateway.fetch(SMALL_SQL) == [(1000,)]


def test_a_revoked_person_s_silent_query_is_stopped(fresh_gateway: Any) -> None:
    gateway = fresh_gateway
    stream = Stream(gateway, "SELECT sum(i * j) FROM range(200_000_000) a(i), range(1_000) b(j) WHERE (i * j) % 7 = 3")
    failures: list[BaseException] = []

    def run() -> None:
        try:
            stream.open()
            stream.read()
        except FAILURES as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    gateway.wait_for(lambda: gateway.events("query:intent"), what="the intent")
    gateway.access.write_people([replace(p, active=False) for p in gateway.people.values()])
    thread.join(_REVOKED_WITHIN)
    assert failures and "revoked" in str(failures[0])
    gateway.wait_event("query:outcome", status="revoked")


def test_an_extract_is_replaced_while_queries_run(fresh_gateway: Any, stack_parts: Any) -> None:
    """Every answer is that of one version, whole; the running stream ends with its version or with an error."""
    gateway = fresh_gateway
    project = stack_parts.SMALL
    folder = gateway.settings.projects_dir / project
    record = gateway.access.project(project)
    stack_parts.build_extract(
        folder / "extracts" / "v2",
        project,
        ("CREATE TABLE person AS SELECT i AS person_id FROM range(7) r(i)",),
        record.permit_sha256,
    )
    with gateway.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT p.person_id, repeat('x', 100) FROM person p, range(3000) r(i)")
        reader = cursor.fetch_record_batch()
        rows = reader.read_next_batch().num_rows
        gateway.access.write_project(replace(record, extract_version=ExtractVersion("v2")))
        seen = {gateway.fetch(SMALL_SQL)[0][0] for _ in range(20)}
        assert seen == {7}
        try:
            rows += sum(batch.num_rows for batch in reader)
            assert rows == ROWS
        except (OSError, pa.ArrowException, Error):
            assert rows < ROWS
        reader.close()
    with pytest.raises(Error, match="visit is not in this project's extract"):
        gateway.fetch("SELECT * FROM visit")
    assert gateway.wait_event("query:outcome", status="ok")["subject"] == "v2"


def test_idle_connections_disturb_nobody(fresh_gateway: Any) -> None:
    gateway = fresh_gateway
    path = str(gateway.socket())
    idle = []
    try:
        for number in range(IDLE_CONNECTIONS):
            if number % 2:
                client = flight.connect(f"grpc+unix://{path}", generic_options=[("grpc.use_local_subchannel_pool", 1)])
                idle.append(client)
            else:
                peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                peer.connect(path)
                idle.append(peer)
        started_at = time.monotonic()
        for _ in range(20):
            assert gateway.fetch(SMALL_SQL) == [(1000,)]
        assert time.monotonic() - started_at < 60
    finally:
        for connection in idle:
            connection.close()
    assert gateway.fetch(SMALL_SQL) == [(1000,)]
    assert read_checkpoint(gateway.settings.log_dir)[1].size > 0
