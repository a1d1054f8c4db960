"""Two real fronts over one home: what they share holds for both, and the end of one does not touch the other."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from adbc_driver_manager import Error
from pyarrow import flight

from enclave.domain.ids import PersonId, ProjectId
from enclave.gateway import flightsql as fs
from enclave.gateway.protobuf_wire import field_bytes
from enclave.gateway.replicas import place_of
from enclave.keys import service_secret
from enclave.processes import accepts_connections, service_specs
from enclave.supervisor import Supervisor

ALICE, BOB = PersonId("u-000000000001"), PersonId("u-000000000002")
HEART, CAPPED = ProjectId("heart-study"), ProjectId("capped-study")
SQL = "SELECT count(*) FROM person"
STREAM = "SELECT i, repeat('x', 100) AS text FROM range(3_000_000) r(i)"
ENDLESS = "SELECT i, repeat('x', 100) AS text FROM range(400_000_000) r(i)"


@pytest.fixture(scope="module")
def pair() -> Iterator[Any]:
    """A gateway and its replica ``b``, started by the command line with a run folder as on another machine.

    There the audit daemon's socket comes through a tunnel; here its folder is a link.
    """
    with sys.modules["gateway_stack"].running_stack() as stack:
        stack.add_project(members=frozenset({ALICE, BOB}), rows=10**9, bytes=10**12)
        stack.add_project(CAPPED, rows=20_000, members=frozenset({ALICE}))
        own = stack.home / "own"
        own.mkdir()
        (own / "audit").symlink_to(stack.settings.audit_socket.parent)
        stack.environment["ENCLAVE_RUN_FOLDER"] = str(own)
        stack.replica_settings = stack.settings.model_copy(update={"run_folder": own})
        stack.replicas["b"] = stack._run("enclave.cli.main", "gateway", "serve", "--replica", "b")
        for project in (HEART, CAPPED):
            stack.socket(project), stack.replica_socket("b", project)
        yield stack


def both(pair: Any, project: ProjectId = HEART) -> tuple[Path, Path]:
    return pair.socket(project), pair.replica_socket("b", project)


def test_both_answer_and_each_writes_records_under_its_own_name(pair: Any) -> None:
    for socket in both(pair):
        assert pair.fetch(SQL, socket=socket) == [(1000,)]
    writers = pair.wait_for(
        lambda: len(found := {leaf["writer"] for leaf in pair.events("query:outcome")}) == 2 and found
    )
    assert writers == {"gateway", "gateway-b"}


def test_a_replica_serves_no_workspaces(pair: Any) -> None:
    transport = httpx.HTTPTransport(uds=str(place_of(pair.replica_settings, "b").control_socket))
    with httpx.Client(transport=transport, timeout=60) as client:
        response = client.put(
            "http://gateway/workspaces/w-0123456789ab",
            json={"project": HEART, "person": ALICE},
            headers={"X-Enclave-Service": service_secret(pair.settings)},
        )
    assert response.status_code == 409
    assert "serves no workspaces" in response.text


def test_a_second_front_of_the_same_name_does_not_start(pair: Any) -> None:
    second = pair._run("enclave.gateway.front", "--replica", "b")
    assert second.wait(timeout=60) == 2
    assert "no other front that writes as gateway-b" in (pair.home / "enclave.gateway.front.log").read_text()
    assert pair.fetch(SQL, socket=pair.replica_socket("b")) == [(1000,)]


def test_the_cap_of_a_day_holds_over_both_while_they_send_at_the_same_time(pair: Any) -> None:
    received, sentences = [0, 0], ["", ""]
    both_run = threading.Barrier(2, timeout=60)

    def drain(number: int, socket: Path) -> None:
        token = pair.token(project=CAPPED)
        with pair.connect(token, socket) as connection, connection.cursor() as cursor:
            try:
                while True:
                    cursor.execute("SELECT i FROM range(20_000) r(i)")
                    received[number] += cursor.fetch_arrow_table().num_rows
                    if received[number] == 20_000:
                        both_run.wait()
            except Error as error:
                sentences[number] = str(error)

    threads = [threading.Thread(target=drain, args=arguments) for arguments in enumerate(both(pair, CAPPED))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sum(received) == 200_000, "the whole day's cap, and not a row more"
    assert all(received), "both had a part of it"
    assert all("allows 200000 rows per person and day" in sentence for sentence in sentences)


def test_scratch_is_open_at_one_front_at_a_time_and_moves_on_when_its_worker_has_ended(pair: Any) -> None:
    first, other = both(pair)
    token = pair.token(BOB)
    assert pair.fetch("CREATE TABLE kept AS SELECT person_id FROM person LIMIT 6", token, first) == [(6,)]
    assert pair.fetch(SQL, token, other) == [(1000,)], "the extract is served without scratch"
    for statement in ("FROM kept", "CREATE TABLE more AS SELECT 1 AS a"):
        with pytest.raises(Error, match="scratch space is open in another worker"):
            pair.fetch(statement, token, other)
    pair.wait_event("query:refused", rule="scratch")
    assert end_worker(pair.settings.run_dir / "gw" / HEART / BOB) >= 1
    assert pair.wait_for(lambda: moved(pair, token, other), what="the scratch at the replica") == 6


def moved(pair: Any, token: str, socket: Path) -> int:
    """Rows kept, once they can be read there; only the sentence about scratch may come before."""
    try:
        return len(pair.fetch("FROM kept", token, socket))
    except Error as error:
        assert "scratch space is open in another worker" in str(error)
        return 0


def end_worker(folder: Path) -> int:
    """kill -9 of the worker whose socket and folders are there."""
    found = 0
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except OSError:
            continue
        if str(folder).encode() in command and b"enclave.gateway.worker" in command:
            os.kill(int(entry.parent.name), signal.SIGKILL)
            found += 1
    return found


def test_a_revoked_person_is_cut_off_at_both(pair: Any) -> None:
    sentences: list[str] = []
    started = threading.Barrier(3, timeout=60)

    def read(socket: Path) -> None:
        with flight.connect(f"grpc+unix://{socket}") as client:
            reader = stream(pair, client, ENDLESS, BOB)
            reader.read_chunk()
            started.wait()
            try:
                while True:
                    reader.read_chunk()
            except flight.FlightError as error:
                sentences.append(str(error))

    threads = [threading.Thread(target=read, args=(socket,)) for socket in both(pair)]
    for thread in threads:
        thread.start()
    started.wait()
    pair.access.write_people({**pair.people, BOB: replace(pair.people[BOB], active=False)}.values())
    try:
        for thread in threads:
            thread.join(60)
        assert len(sentences) == 2 and all("revoked by an administrator" in sentence for sentence in sentences)
        for socket in both(pair):
            with pytest.raises(Error, match="revoked"):
                pair.fetch(SQL, pair.token(BOB), socket)
    finally:
        pair.access.write_people(pair.people.values())


def test_kill_9_of_one_in_mid_stream_leaves_the_other_s_streams_and_its_intents_alone(pair: Any) -> None:
    first, other = both(pair)
    with flight.connect(f"grpc+unix://{first}") as client, flight.connect(f"grpc+unix://{other}") as doomed:
        reader = stream(pair, client, STREAM)
        rows = reader.read_chunk().data.num_rows
        running = pair.wait_for(lambda: open_intent(pair, "gateway"), what="the first front's intent")
        cut_off = stream(pair, doomed, ENDLESS)
        cut_off.read_chunk()
        lost = pair.wait_for(lambda: open_intent(pair, "gateway-b"), what="the replica's intent")
        pair.replicas["b"].kill()
        pair.replicas["b"].wait(timeout=60)
        with pytest.raises(flight.FlightUnavailableError):
            cut_off.read_all()
        pair.start_replica("b")
        assert pair.fetch(SQL, socket=pair.replica_socket("b")) == [(1000,)]
        pair.wait_for(lambda: outcomes(pair, lost) == ["lost"], what="the outcome of what the replica lost")
        assert outcomes(pair, running) == [], "the first front's query still runs"
        rows += reader.read_all().num_rows
    assert rows == 3_000_000
    pair.wait_for(lambda: outcomes(pair, running) == ["ok"], what="the outcome of the other's query")


def stream(pair: Any, client: Any, sql: str, person: PersonId = ALICE) -> Any:
    """A reader that takes no more than it is asked for (ADBC reads ahead)."""
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {pair.token(person)}".encode())])
    command = fs.pack_any("CommandStatementQuery", field_bytes(1, sql))
    info = client.get_flight_info(flight.FlightDescriptor.for_command(command), options)
    return client.do_get(info.endpoints[0].ticket, options)


def open_intent(pair: Any, writer: str) -> str | None:
    """Alice's newest query at a front that has no outcome yet."""
    closed = {leaf["request_id"] for leaf in pair.events("query:outcome")}
    own = (leaf for leaf in pair.events("query:intent") if (leaf["writer"], leaf["actor"]) == (writer, ALICE))
    found = [leaf["request_id"] for leaf in own]
    return next((request for request in reversed(found) if request not in closed), None)


def outcomes(pair: Any, request_id: str) -> list[str]:
    return [leaf["data"]["status"] for leaf in pair.events("query:outcome") if leaf["request_id"] == request_id]


def test_the_supervisor_brings_a_killed_replica_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = sys.modules["gateway_stack"].Stack()
    monkeypatch.setenv("ENCLAVE_HOME", str(stack.home))
    settings = stack.settings.model_copy(update={"gateway_replicas": 1})
    specs = tuple(spec for spec in service_specs(settings) if spec.name in ("audit", "gateway-r1"))
    supervisor = Supervisor(settings, specs)
    control = place_of(settings, "r1").control_socket
    try:
        stack.add_project()
        supervisor.start()
        before = supervisor.pids()["gateway-r1"]
        os.kill(before, signal.SIGKILL)

        def is_back() -> bool:
            supervisor.turn()
            return supervisor.pids().get("gateway-r1", before) != before and accepts_connections(control)

        stack.wait_for(is_back, 60, "the replica")
        assert stack.fetch(SQL, socket=stack.replica_socket("r1")) == [(1000,)]
        stack.wait_for(lambda: [leaf["subject"] for leaf in stack.events("process:restarted")] == ["gateway-r1"])
    finally:
        supervisor.stop()
        stack.stop()
