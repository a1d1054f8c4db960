"""Flight SQL over TLS: who is let in at the TCP port, who is not, and what the log keeps of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from adbc_driver_flightsql import DatabaseOptions
from adbc_driver_flightsql import dbapi as flightsql
from adbc_driver_manager import Error
from enclave_test_ports import free_port  # type: ignore[import-not-found]
from pyarrow import flight

from enclave.domain.ids import PersonId, ProjectId, WorkspaceId
from enclave.tokens import DoorKind

ALICE, BOB, CAROL = (PersonId(f"u-00000000000{n}") for n in (1, 2, 3))
LUNG = ProjectId("lung-study")
SQL = "SELECT count(*) FROM person"
ENDLESS = "SELECT i, repeat('x', 100) AS text FROM range(400_000_000) r(i)"


class TcpGateway:
    """A gateway with a TCP port, and how its clients reach it."""

    def __init__(self, stack: Any, *, mutual: bool = False) -> None:
        """Sets what the next front that starts will be told."""
        self.stack = stack
        module = sys.modules["gateway_authority"]
        self.authority = module.Authority()
        self.address = f"127.0.0.1:{free_port()}"
        stack.environment |= module.tcp_environment(stack.home, self.authority, self.address, mutual=mutual)

    def token(self, *arguments: Any, **more: Any) -> str:
        return str(self.stack.token(*arguments, door=DoorKind.TCP, **more))

    @contextmanager
    def connect(self, token: str, *, trusted: bytes | None = None, shown: Any = None) -> Iterator[Any]:
        """The stock ADBC driver, verifying the server against ``trusted``."""
        options = {
            DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}",
            DatabaseOptions.TLS_ROOT_CERTS.value: (trusted or self.authority.certificate).decode(),
        }
        if shown is not None:
            options[DatabaseOptions.MTLS_CERT_CHAIN.value] = shown.certificate.decode()
            options[DatabaseOptions.MTLS_PRIVATE_KEY.value] = shown.key.decode()
        with flightsql.connect(f"grpc+tls://{self.address}", db_kwargs=options, autocommit=True) as connection:
            yield connection

    def fetch(self, sql: str, token: str, **how: Any) -> list[Any]:
        with self.connect(token, **how) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def refusal(self, token: str, **how: Any) -> str:
        with pytest.raises(Error) as failure:
            self.fetch(SQL, token, **how)
        assert token not in str(failure.value)
        return str(failure.value)

    def records_of(self, person: PersonId) -> list[dict[str, Any]]:
        """Everything about a person up to a query that is made now."""
        before = len(self.stack.events("query:outcome"))
        assert self.stack.fetch(SQL) == [(1000,)]
        self.stack.wait_for(lambda: len(self.stack.events("query:outcome")) > before)
        return [leaf for leaf in self.stack.events() if leaf["actor"] == person]


@pytest.fixture(scope="module")
def tcp() -> Iterator[TcpGateway]:
    stack = sys.modules["gateway_stack"].Stack()
    try:
        found = TcpGateway(stack)
        stack.add_project(rows=10**9, bytes=10**12)
        stack.add_project(LUNG, ("CREATE TABLE lung AS SELECT 1 AS a",))
        stack.start()
        stack.socket(), stack.socket(LUNG)
        yield found
    finally:
        stack.stop()


@pytest.fixture(scope="module")
def mutual(tcp: TcpGateway) -> TcpGateway:
    """A replica that asks for client certificates."""
    kept = dict(tcp.stack.environment)
    found = TcpGateway(tcp.stack, mutual=True)
    tcp.stack.start_replica("m")
    tcp.stack.environment = kept
    return found


def test_a_stock_client_queries_over_tls_and_the_record_says_so(tcp: TcpGateway) -> None:
    assert tcp.fetch(SQL, tcp.token()) == [(1000,)]
    leaf = tcp.stack.wait_event("query:intent", door="tcp", purpose="rows")
    assert (leaf["actor"], leaf["project"], leaf["workspace"]) == (ALICE, "heart-study", "cli")
    tcp.stack.wait_event("query:outcome", status="ok")


def test_the_token_alone_says_which_project(tcp: TcpGateway) -> None:
    token = tcp.token(project=LUNG)
    assert tcp.fetch("SELECT count(*) FROM lung", token) == [(1,)]
    with pytest.raises(Error, match="not in this project's extract"):
        tcp.fetch(SQL, token)


def test_the_catalogue_and_parameters_work_over_tls(tcp: TcpGateway) -> None:
    with tcp.connect(tcp.token()) as connection, connection.cursor() as cursor:
        assert connection.adbc_get_table_schema("person").names[0] == "person_id"
        cursor.execute("SELECT label FROM person WHERE person_id = ?", (7,))
        assert cursor.fetchall() == [("name-7",)]


def test_a_client_that_trusts_another_authority_does_not_talk_to_the_gateway(tcp: TcpGateway) -> None:
    other = sys.modules["gateway_authority"].Authority("Another authority")
    assert "certificate" in tcp.refusal(tcp.token(CAROL), trusted=other.certificate)
    assert tcp.records_of(CAROL) == []


def test_a_client_without_tls_is_not_served(tcp: TcpGateway) -> None:
    options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {tcp.token()}"}
    with (
        flightsql.connect(f"grpc://{tcp.address}", db_kwargs=options, autocommit=True) as connection,
        connection.cursor() as cursor,
        pytest.raises(Error),
    ):
        cursor.execute(SQL)


@pytest.mark.parametrize("workspace", ["cli", "w-0123456789ab"])
def test_a_token_of_a_socket_is_worthless_at_the_port(tcp: TcpGateway, workspace: str) -> None:
    before = len(tcp.stack.events("token:refused"))
    assert "refused at this port" in tcp.refusal(tcp.stack.token(workspace=WorkspaceId(workspace)))
    tcp.stack.wait_for(lambda: len(tcp.stack.events("token:refused")) > before)
    leaf = tcp.stack.wait_event("token:refused", rule="token-of-another-door", door="tcp")
    assert (leaf["actor"], leaf["project"], leaf["decision"]) == (ALICE, "heart-study", "deny")


def test_a_token_of_the_port_is_worthless_at_sockets(tcp: TcpGateway) -> None:
    own = tcp.stack.open_workspace()
    for where, token in (
        (tcp.stack.socket(), tcp.token()),
        (own, tcp.token(workspace=WorkspaceId("w-0123456789ab"))),
    ):
        with pytest.raises(Error, match="refused at a socket"):
            tcp.stack.fetch(SQL, token, where)

    def at_sockets() -> set[str | None]:
        leaves = tcp.stack.events("token:refused")
        return {leaf["workspace"] for leaf in leaves if leaf["data"] == {"rule": "token-of-another-door"}}

    tcp.stack.wait_for(lambda: at_sockets() == {"cli", "w-0123456789ab"}, what="a record of each, without the port")


def test_an_expired_and_an_altered_token_are_refused(tcp: TcpGateway) -> None:
    assert "expired" in tcp.refusal(tcp.token(ttl=timedelta(seconds=-5)))
    head, body, signature = tcp.token().split(".")
    assert "altered or from elsewhere" in tcp.refusal(f"{head}.{body}.{signature[:-8]}AAAAAAAA")
    leaf = tcp.stack.wait_event("token:refused", rule="token-invalid", door="tcp")
    assert (leaf["actor"], leaf.get("project")) == ("unknown", None), "nothing is believed of such a token"


def test_somebody_outside_the_project_is_refused_at_the_port(tcp: TcpGateway) -> None:
    tcp.refusal(tcp.token(BOB))
    assert tcp.stack.wait_event("query:refused", rule="policy", door="tcp")["actor"] == BOB


def test_a_token_bound_to_a_certificate_is_refused_where_none_is_asked_for(tcp: TcpGateway) -> None:
    assert "cannot be checked" in tcp.refusal(tcp.token(client="dask-1.test"))


def test_a_release_is_not_asked_for_over_the_port(tcp: TcpGateway) -> None:
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {tcp.token()}".encode())])
    with (
        flight.connect(f"grpc+tls://{tcp.address}", tls_root_certs=tcp.authority.certificate) as client,
        pytest.raises(flight.FlightUnauthorizedError, match="in a workspace"),
    ):
        list(client.do_action(flight.Action("enclave.request_release", b"{}"), options))
    tcp.stack.wait_event("output-request:refused", rule="release-over-tcp", door="tcp")


def drain(reader: Any) -> None:
    for _ in reader:
        pass


def test_a_revoked_person_s_stream_ends_at_the_port(tcp: TcpGateway) -> None:
    stack = tcp.stack
    with tcp.connect(tcp.token()) as connection, connection.cursor() as cursor:
        cursor.execute(ENDLESS)
        try:
            with cursor.fetch_record_batch() as reader:
                reader.read_next_batch()
                stack.access.write_people({**stack.people, ALICE: replace(stack.people[ALICE], active=False)}.values())
                with pytest.raises(Exception, match="revoked by an administrator"):
                    drain(reader)
            assert "revoked" in tcp.refusal(tcp.token())
        finally:
            stack.access.write_people(stack.people.values())
    stack.wait_event("query:outcome", status="revoked")


def test_with_mutual_tls_a_token_opens_only_with_the_certificate_it_names(mutual: TcpGateway) -> None:
    mine, other = mutual.authority.issue("dask-1.test"), mutual.authority.issue("dask-2.test")
    token = mutual.token(client="dask-1.test")
    assert mutual.fetch(SQL, token, shown=mine) == [(1000,)]
    assert "not bound to the certificate" in mutual.refusal(token, shown=other)
    assert "not bound to the certificate" in mutual.refusal(mutual.token(), shown=mine)
    leaf = mutual.stack.wait_event("token:refused", rule="token-of-another-certificate", door="tcp")
    assert leaf["actor"] == ALICE


def test_with_mutual_tls_a_client_without_or_with_a_foreign_certificate_is_not_heard(mutual: TcpGateway) -> None:
    token = mutual.token(CAROL, client="dask-1.test")
    foreign = sys.modules["gateway_authority"].Authority("Another authority").issue("dask-1.test")
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())])
    for shown in ({}, {"cert_chain": foreign.certificate, "private_key": foreign.key}):
        uri, trusted = f"grpc+tls://{mutual.address}", mutual.authority.certificate
        with (
            flight.connect(uri, tls_root_certs=trusted, **shown) as client,
            pytest.raises(flight.FlightUnavailableError),
        ):
            list(client.do_action(flight.Action("enclave.whoami", b""), options))
    assert mutual.records_of(CAROL) == []


def test_a_front_without_tls_or_at_a_port_that_is_taken_does_not_start(tcp: TcpGateway) -> None:
    stack, kept = tcp.stack, dict(tcp.stack.environment)
    fronts = [stack._run("enclave.gateway.front", "--replica", "refused1")]
    try:
        stack.environment = {"ENCLAVE_GATEWAY_TCP": f"127.0.0.1:{free_port()}"}
        fronts.append(stack._run("enclave.gateway.front", "--replica", "refused2"))
    finally:
        stack.environment = kept
    assert [front.wait(timeout=60) for front in fronts] == [2, 2]
    log = Path(stack.home / "enclave.gateway.front.log").read_text()
    assert f"Expected {tcp.address} free to listen on" in log
    assert "the gateway speaks TCP with TLS only, on loopback as well" in log
