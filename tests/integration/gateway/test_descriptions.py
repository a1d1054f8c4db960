"""Columns and parameters before a statement runs: recorded, remembered per person, and never another person's."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from adbc_driver_flightsql import DatabaseOptions
from adbc_driver_flightsql import dbapi as flightsql
from adbc_driver_manager import Error
from pyarrow import flight

from enclave.domain.ids import PersonId
from enclave.gateway import flightsql as fs
from enclave.gateway.protobuf_wire import field_bytes, last_bytes, parse_fields

ALICE, BOB = PersonId("u-000000000001"), PersonId("u-000000000002")


@pytest.fixture(scope="module", autouse=True)
def two_researchers(gateway: Any) -> None:
    """Alice and Bob in the same project."""
    gateway.add_project(members=frozenset({ALICE, BOB}))


def intents(gateway: Any, purpose: str) -> list[dict[str, Any]]:
    return [leaf for leaf in gateway.events("query:intent") if leaf["data"]["purpose"] == purpose]


def prepare(gateway: Any, sql: str) -> None:
    with gateway.connect() as connection, connection.cursor() as cursor:
        cursor.adbc_prepare(sql)


def settled(gateway: Any) -> None:
    """Everything recorded so far is published: a query with a token of its own has come through."""
    token = gateway.token()
    body = token.split(".")[1]
    token_id = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["jti"]
    gateway.fetch("SELECT 'settled'", token)

    def came_through() -> bool:
        own = [leaf["request_id"] for leaf in intents(gateway, "rows") if leaf["data"]["token"] == token_id]
        return bool(own) and own[0] not in open_requests(gateway)

    gateway.wait_for(came_through, what="the record of the last query")


def open_requests(gateway: Any) -> set[str]:
    started = {leaf["request_id"] for leaf in gateway.events("query:intent")}
    return started - {leaf["request_id"] for leaf in gateway.events("query:outcome")}


def test_preparing_is_recorded_once_and_remembered(gateway: Any) -> None:
    settled(gateway)
    before = len(intents(gateway, "schema"))
    for _ in range(3):
        assert gateway.fetch("SELECT 4711 AS here") == [(4711,)]
    settled(gateway)
    assert len(intents(gateway, "schema")) - before == 1


def test_what_is_remembered_is_the_person_s_own(gateway: Any) -> None:
    settled(gateway)
    before = len(intents(gateway, "schema"))
    for person in (ALICE, BOB):
        gateway.fetch("SELECT 4712 AS here", gateway.token(person))
    settled(gateway)
    new = intents(gateway, "schema")[before:]
    assert {leaf["actor"] for leaf in new} == {ALICE, BOB}


def test_an_explained_statement_is_not_bound_to_be_prepared(gateway: Any) -> None:
    settled(gateway)
    before = len(intents(gateway, "schema"))
    prepare(gateway, "EXPLAIN ANALYZE SELECT count(*) FROM visit")
    settled(gateway)
    assert [leaf for leaf in intents(gateway, "schema")[before:] if leaf["data"]["verb"] == "explain"] == []


def test_columns_are_known_before_running(gateway: Any) -> None:
    with gateway.connect() as connection, connection.cursor() as cursor:
        schema = cursor.adbc_execute_schema(
            "SELECT label, seen_on, 1.5::DECIMAL(5, 2) AS price, sex FROM person, visit"
        )
    assert [str(field.type) for field in schema] == ["string", "date32[day]", "decimal128(5, 2)", "string"]


def test_a_statement_that_cannot_be_bound_says_so_when_it_is_prepared(gateway: Any) -> None:
    with pytest.raises(Error, match="nope"):
        prepare(gateway, "SELECT nope FROM person")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1_700_000_000_000_000_000], pa.timestamp("ns")), "2023-11-14 22:13:20"),
        (pa.array([90_000_000], pa.duration("us")), "00:01:30"),
        (pa.array(["x"]).dictionary_encode(), "x"),
        (pa.array([2**63], pa.uint64()), "9223372036854775808"),
        (pa.array([[1, 2]]), "[1, 2]"),
        (pa.array([None], pa.null()), None),
    ],
)
def test_parameters_of_rarer_types_are_bound(gateway: Any, values: pa.Array, expected: str | None) -> None:
    with gateway.connect() as connection, connection.cursor() as cursor:
        batch = pa.RecordBatch.from_arrays([values], names=["1"])
        cursor.execute("SELECT ?::VARCHAR", batch)
        assert cursor.fetchall() == [(expected,)]


def test_named_parameters_are_bound_by_name(gateway: Any) -> None:
    with gateway.connect() as connection, connection.cursor() as cursor:
        batch = pa.RecordBatch.from_pydict({"second": [2], "first": ["a"]})
        cursor.execute("SELECT $first::VARCHAR, $second::INTEGER", batch)
        assert cursor.fetchall() == [("a", 2)]


def test_a_time_finer_than_a_microsecond_is_refused(gateway: Any) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1], pa.timestamp("ns"))], names=["1"])
    with (
        gateway.connect() as connection,
        connection.cursor() as cursor,
        pytest.raises(Error, match="finer than a microsecond"),
    ):
        cursor.execute("SELECT ?::VARCHAR", batch)


@pytest.fixture
def plain_client(gateway: Any) -> Iterator[Any]:
    """A bare Flight client."""
    with flight.connect(f"grpc+unix://{gateway.socket()}") as client:
        yield client


def call_options(token: str) -> Any:
    return flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())], timeout=60)


def test_a_query_is_cancelled_by_its_own_person_only(gateway: Any, plain_client: Any) -> None:
    sql = "SELECT sum(sin(a.i * b.i)) FROM range(100000000) a(i), range(100000) b(i)"
    own, other = call_options(gateway.token()), call_options(gateway.token(BOB))
    command = fs.pack_any("CommandStatementQuery", field_bytes(1, sql))
    info = plain_client.get_flight_info(flight.FlightDescriptor.for_command(command), own)
    ticket = info.endpoints[0].ticket
    body = field_bytes(1, info.serialize())

    def answer(action: str, content: bytes, options: Any) -> bytes:
        (result,) = plain_client.do_action(flight.Action(action, content), options)
        return bytes(result.body.to_pybytes())

    assert answer("CancelFlightInfo", body, own) == fs.cancel_result("CancelFlightInfo", False), "it does not run yet"
    failures: list[Exception] = []
    reading = threading.Thread(target=read, args=(plain_client, ticket, own, failures))
    reading.start()
    packed = fs.pack_any("ActionCancelQueryRequest", body)
    gateway.wait_for(lambda: open_requests(gateway), what="the running query")
    assert answer("CancelFlightInfo", body, other) == fs.cancel_result("CancelFlightInfo", False)
    assert answer("CancelQuery", packed, own) == fs.cancel_result("CancelQuery", True)
    reading.join(60)
    assert [type(failure) for failure in failures] == [flight.FlightCancelledError]


def read(client: Any, ticket: Any, options: Any, failures: list[Exception]) -> None:
    """Read a result whole, on a thread of its own."""
    try:
        client.do_get(ticket, options).read_all()
    except flight.FlightError as error:
        failures.append(error)


def test_a_handshake_is_refused_without_a_good_token(gateway: Any, plain_client: Any) -> None:
    with pytest.raises(flight.FlightUnauthenticatedError, match="authorization: Bearer"):
        plain_client.authenticate_basic_token("alice", "password", flight.FlightCallOptions(timeout=60))


def test_a_prepared_result_carries_both_schemas(gateway: Any, plain_client: Any) -> None:
    sql = "SELECT label FROM person WHERE person_id = ? AND seen_on < ? AND ? IS NOT NULL"
    request = fs.pack_any("ActionCreatePreparedStatementRequest", field_bytes(1, sql))
    (result,) = plain_client.do_action(flight.Action("CreatePreparedStatement", request), call_options(gateway.token()))
    fields = parse_fields(fs.unpack_any(result.body.to_pybytes())[1])
    columns, parameters = (pa.ipc.read_schema(pa.py_buffer(last_bytes(fields, number) or b"")) for number in (2, 3))
    assert columns == pa.schema([("label", pa.string())])
    assert parameters.types == [pa.int64(), pa.date32(), pa.string()]


def test_a_client_may_do_without_the_columns(gateway: Any) -> None:
    settled(gateway)
    before = len(intents(gateway, "schema"))
    options = {
        DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {gateway.token()}",
        f"{DatabaseOptions.RPC_CALL_HEADER_PREFIX.value}enclave-columns": "later",
    }
    uri = f"grpc+unix://{gateway.socket()}"
    with flightsql.connect(uri, db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 4713 AS here")
        assert cursor.fetchall() == [(4713,)]
    settled(gateway)
    assert len(intents(gateway, "schema")) == before
