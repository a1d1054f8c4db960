"""What JupyterLab's panel asks the gateway: one's own queries and their stop, limits, the checks of one's outbox."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from adbc_driver_manager import Error
from gateway_stack import ALICE, BOB, CAROL, running_stack  # type: ignore[import-not-found]
from pyarrow import flight

from enclave.gateway.outbox_checks import MAXIMUM_PER_MINUTE

TOO_LONG = "SELECT count(*) FROM visit a, visit b, visit c WHERE a.visit_id + b.visit_id > c.visit_id"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Any]:
    """Two researchers, alice and bob, in one project; carol is an admin."""
    with running_stack() as stack:
        stack.add_project(members=frozenset({ALICE, BOB, CAROL}))
        stack.socket()
        yield stack


def act(gateway: Any, name: str, body: bytes = b"", person: Any = ALICE) -> Any:
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {gateway.token(person)}".encode())])
    with flight.connect(f"grpc+unix://{gateway.socket()}") as client:
        return json.loads(next(iter(client.do_action((name, body), options))).body.to_pybytes())


def test_a_person_sees_their_own_queries_and_nobody_elses(gateway: Any) -> None:
    gateway.fetch("SELECT label FROM person WHERE person_id < 7")
    gateway.fetch("SELECT count(*) AS of_bob FROM visit", gateway.token(BOB))

    newest = gateway.wait_for(lambda: [q for q in act(gateway, "enclave.queries") if q["status"] == "ok"])[0]
    assert newest["statement"] == "SELECT label FROM person WHERE person_id < 7"
    assert newest["rows"] == 7
    assert [q["statement"] for q in act(gateway, "enclave.queries", person=BOB)] == [
        "SELECT count(*) AS of_bob FROM visit"
    ]
    assert not [q for q in act(gateway, "enclave.queries") if "of_bob" in q["statement"]]
    with pytest.raises(flight.FlightUnauthorizedError, match="roles admin"):
        act(gateway, "enclave.queries", person=CAROL)


def test_a_query_that_never_began_is_not_listed(gateway: Any) -> None:
    with pytest.raises(Error):
        gateway.fetch("SELECT * FROM nowhere_at_all")
    assert not [q for q in act(gateway, "enclave.queries") if "nowhere_at_all" in q["statement"]]


def test_only_its_own_person_stops_a_running_query(gateway: Any) -> None:
    failures: list[str] = []

    def run() -> None:
        try:
            gateway.fetch(TOO_LONG)
        except Error as error:
            failures.append(str(error))

    reader = threading.Thread(target=run)
    reader.start()
    try:
        found = gateway.wait_for(
            lambda: [q for q in act(gateway, "enclave.queries") if q["status"] == "running"], what="the running query"
        )[0]
        assert found["statement"] == TOO_LONG
        query_id = found["id"].encode()
        assert act(gateway, "enclave.cancel_query", query_id, BOB) == {"cancelled": False}
        assert act(gateway, "enclave.cancel_query", query_id) == {"cancelled": True}
    finally:
        reader.join(60)
    assert failures and "as you asked" in failures[0]
    ended = next(q for q in act(gateway, "enclave.queries") if q["id"] == found["id"])
    assert ended["status"] == "cancelled"
    assert act(gateway, "enclave.cancel_query", query_id) == {"cancelled": False}
    outcomes = gateway.wait_for(
        lambda: [e for e in gateway.events("query:outcome") if e["request_id"] == found["id"]], what="its record"
    )
    assert outcomes[0]["data"]["status"] == "cancelled"


def test_limits_say_what_the_permit_allows_and_what_is_left(gateway: Any) -> None:
    before = act(gateway, "enclave.limits")
    gateway.fetch("SELECT label FROM person WHERE person_id < 11")
    after = gateway.wait_for(
        lambda: (found := act(gateway, "enclave.limits")) != before and found, what="the rows to be counted"
    )
    assert before["purpose"] == "Test the gateway."
    assert before["expires_on"] == "2099-12-31"
    assert before["username"] == "alice"
    assert before["caps"]["rows_per_day"] == 50_000_000
    assert before["outputs"]["minimum_count"] == 11
    assert before["left_today"]["rows"] - after["left_today"]["rows"] == 11
    assert after["left_today"]["bytes"] < before["left_today"]["bytes"]


class FakePortal(BaseHTTPRequestHandler):
    """Answers like the portal's ``/internal/output-requests/check``; what it was asked is in ``asked``."""

    asked: list[tuple[str, dict[str, Any]]] = []  # noqa: RUF012 - one server, one list

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, content))
        body = json.dumps({"files": [{"name": "a.csv", "bytes": 3, "was_read": True, "findings": []}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[Any, Any]:
        request, _ = super().get_request()
        return request, ("portal", 0)


@pytest.fixture
def portal(gateway: Any) -> Iterator[type[FakePortal]]:
    server = _Server(str(gateway.settings.portal_socket), FakePortal)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield FakePortal
    server.shutdown()
    thread.join(60)
    server.server_close()
    gateway.settings.portal_socket.unlink()


def test_the_outbox_is_checked_at_the_portal_and_not_too_often(gateway: Any, portal: type[FakePortal]) -> None:
    found = act(gateway, "enclave.check_outbox", b'{"language": "fr"}')
    assert found["files"][0]["name"] == "a.csv"
    path, content = portal.asked[-1]
    assert path == "/internal/output-requests/check"
    assert content["language"] == "fr" and content["token"].count(".") == 2

    with pytest.raises(flight.FlightServerError, match="another language"):
        act(gateway, "enclave.check_outbox", b'{"language": "xx"}')
    for _ in range(MAXIMUM_PER_MINUTE - 1):
        act(gateway, "enclave.check_outbox")
    with pytest.raises(flight.FlightUnauthorizedError, match="times a minute"):
        act(gateway, "enclave.check_outbox")
    refused = gateway.wait_event("output-request:refused", rule="check-rate")
    assert refused["actor"] == ALICE
    act(gateway, "enclave.check_outbox", person=BOB)


def test_without_a_portal_nothing_was_checked(gateway: Any) -> None:
    with pytest.raises(flight.FlightServerError, match="nothing was checked"):
        act(gateway, "enclave.check_outbox", person=BOB)
