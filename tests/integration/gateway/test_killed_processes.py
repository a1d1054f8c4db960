"""kill -9 of any process: a clear error, an outcome on record, and the next query works."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from adbc_driver_manager import Error
from enclave_test_live_processes import cpu_seconds_below  # type: ignore[import-not-found]
from pyarrow import flight

from enclave.domain.ids import WorkspaceId
from enclave.gateway import flightsql as fs
from enclave.gateway.protobuf_wire import field_bytes

SQL = "SELECT count(*) FROM person"
LONG_SQL = "SELECT count(*) FROM range(200_000_000) a(i), range(1_000) b(j) WHERE (i * j) % 7 = 3"


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def worker_pids(front: int) -> list[int]:
    """The sandboxes (bwrap) of workers that this front started."""
    found = []
    for pid in children_of(front):
        try:
            if b"enclave.gateway.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


def start_long_query(gateway: Any, failures: list[Error]) -> threading.Thread:
    def run() -> None:
        try:
            gateway.fetch(LONG_SQL)
        except Error as error:
            failures.append(error)

    def worked() -> float:
        return float(cpu_seconds_below(gateway.front.pid, b"enclave.gateway.worker"))

    before, idle = len(gateway.events("query:intent")), worked()
    thread = threading.Thread(target=run)
    thread.start()
    gateway.wait_for(lambda: len(gateway.events("query:intent")) > before, what="the intent")
    gateway.wait_for(lambda: worked() > 0.3 + idle, what="the worker to be at it")
    return thread


def test_a_killed_worker_ends_its_query_and_the_next_one_works(fresh_gateway: Any) -> None:
    gateway = fresh_gateway
    assert gateway.fetch(SQL) == [(1000,)]
    failures: list[Error] = []
    thread = start_long_query(gateway, failures)
    (pid,) = gateway.wait_for(lambda: worker_pids(gateway.front.pid))
    os.kill(pid, signal.SIGKILL)
    thread.join(60)
    assert "worker ended while this query ran" in str(failures[0])
    gateway.wait_event("query:outcome", status="error")
    assert gateway.fetch(SQL) == [(1000,)]
    assert gateway.wait_event("process:restarted")["subject"] == "gateway-worker"


def test_without_the_audit_daemon_nothing_is_released(fresh_gateway: Any) -> None:
    gateway = fresh_gateway
    assert gateway.fetch(SQL) == [(1000,)]
    gateway.kill_daemon()
    with pytest.raises(Error, match="audit log does not answer"):
        gateway.fetch(SQL)
    gateway.start_daemon()
    assert gateway.fetch(SQL) == [(1000,)]
    outcomes = gateway.wait_for(lambda: len(found := gateway.events("query:outcome")) == 2 and found)
    intents = {leaf["request_id"] for leaf in gateway.events("query:intent")}
    assert {leaf["request_id"] for leaf in outcomes} <= intents


def test_a_stream_whose_outcome_cannot_be_recorded_ends_with_an_error(fresh_gateway: Any) -> None:
    gateway = fresh_gateway
    with gateway.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT i, repeat('x', 100) FROM range(1_000_000) r(i)")
        reader = cursor.fetch_record_batch()
        reader.read_next_batch()
        gateway.kill_daemon()
        with pytest.raises(Exception, match="audit log does not answer"):
            reader.read_all()


def test_a_killed_front_opens_the_same_sockets_again(fresh_gateway: Any) -> None:
    gateway = fresh_gateway
    workspace = WorkspaceId("w-0123456789ab")
    socket = gateway.open_workspace()
    token = gateway.token(workspace=workspace)
    assert gateway.fetch(SQL, token, socket) == [(1000,)]
    (worker,) = worker_pids(gateway.front.pid)
    gateway.front.kill()
    gateway.front.wait(timeout=60)
    gateway.wait_for(lambda: not Path(f"/proc/{worker}").exists(), what="the worker's end")
    (spill,) = gateway.settings.run_dir.glob("gw/*/*/spill")
    (spill / "visible-0.duckdb").write_bytes(b"rows that somebody may see")
    gateway.settings.gateway_control_socket.unlink()
    gateway.start_front()
    assert not spill.exists()
    assert gateway.fetch(SQL, token, socket) == [(1000,)]
    assert gateway.fetch(SQL) == [(1000,)]


def test_a_stopped_front_leaves_no_socket_and_no_process(fresh_gateway: Any) -> None:
    gateway = fresh_gateway
    socket = gateway.open_workspace()
    project_socket = gateway.socket()
    assert gateway.fetch(SQL) == [(1000,)]
    started = children_of(gateway.front.pid)
    assert len(started) == 2, "one worker and one parser"
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {gateway.token()}".encode())])
    sql = "SELECT i, repeat('x', 100) FROM range(50_000_000) r(i)"
    command = fs.pack_any("CommandStatementQuery", field_bytes(1, sql))
    with flight.connect(f"grpc+unix://{project_socket}") as client:
        info = client.get_flight_info(flight.FlightDescriptor.for_command(command), options)
        reader = client.do_get(info.endpoints[0].ticket, options)
        reader.read_chunk()
        gateway.front.terminate()
        with pytest.raises((flight.FlightError, OSError)):
            reader.read_all()
        assert gateway.front.wait(timeout=60) == 0
    assert not socket.exists() and not project_socket.exists()
    assert not gateway.settings.gateway_control_socket.exists()
    gateway.wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started), what="the end of all processes")
    gateway.wait_event("query:outcome", status="error")


def test_a_changed_extract_is_refused(fresh_gateway: Any) -> None:
    gateway = fresh_gateway
    file = gateway.settings.projects_dir / "heart-study" / "extracts" / "v1" / "extract.duckdb"
    file.chmod(0o644)
    with file.open("r+b") as content:
        content.seek(-1, os.SEEK_END)
        last = content.read(1)
        content.seek(-1, os.SEEK_END)
        content.write(bytes([last[0] ^ 1]))
    with pytest.raises(Error, match="changed after it was built"):
        gateway.fetch(SQL)
    gateway.wait_event("query:outcome", status="error")


def test_the_front_refuses_to_start_without_keys(fresh_gateway: Any) -> None:
    gateway = fresh_gateway
    gateway.front.terminate()
    gateway.front.wait(timeout=60)
    (gateway.settings.keys_dir / "token.pub").unlink()
    front = gateway._run("enclave.gateway.front")
    assert front.wait(timeout=60) == 2
    assert "front-cannot-start" in (gateway.home / "enclave.gateway.front.log").read_text()
