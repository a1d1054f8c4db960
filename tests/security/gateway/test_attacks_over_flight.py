"""A hostile client with a valid token: raw Flight calls, foreign handles, floods of handles, broken messages."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from adbc_driver_manager import Error
from pyarrow import flight

from enclave.domain.ids import ProjectId
from enclave.gateway import flightsql as fs
from enclave.gateway.protobuf_wire import field_bytes

OTHER = ProjectId("lung-study")


def options(gateway: Any, **token: Any) -> Any:
    return flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {gateway.token(**token)}".encode())])


def statement(sql: str) -> Any:
    return flight.FlightDescriptor.for_command(fs.pack_any("CommandStatementQuery", field_bytes(1, sql)))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM secret",
        "SELECT * FROM 'lung-study/extracts/v1/extract.duckdb'",
        "ATTACH '/extract/../lung-study/extract.duckdb'",
        "SELECT * FROM read_duckdb('x.duckdb')",
        "SELECT v FROM query('SELECT 1 AS v')",
        "WITH x AS (INSERT INTO person SELECT * FROM person RETURNING *) FROM x",
        "FROM duckdb_settings()",
        "SELECT getenv('HOME')",
        "COPY person TO '/tmp/out.csv'",
        "EXPLAIN COPY person TO '/tmp/out.csv'",
        "EXPLAIN ANALYZE DELETE FROM person",
        "SELECT 1; ATTACH 'x'",
        "SELECT 1 /* ; */ ; -- \n DROP TABLE person",
    ],
)
def test_what_is_not_a_question_about_the_extract_is_refused(gateway: Any, sql: str) -> None:
    before = len(gateway.events("query:intent"))
    with pytest.raises(Error):
        gateway.fetch(sql)
    assert len(gateway.events("query:intent")) == before, "refused before any worker saw it"


def test_a_handle_of_one_project_does_not_open_at_another_socket(gateway: Any) -> None:
    with flight.connect(f"grpc+unix://{gateway.socket(OTHER)}") as client:
        info = client.get_flight_info(statement("SELECT v FROM secret"), options(gateway, project=OTHER))
    with (
        flight.connect(f"grpc+unix://{gateway.socket()}") as client,
        pytest.raises(flight.FlightServerError, match="Prepare it again"),
    ):
        client.do_get(info.endpoints[0].ticket, options(gateway))


def test_a_statement_in_a_ticket_is_not_run(gateway: Any) -> None:
    ticket = flight.Ticket(fs.pack_any("CommandStatementQuery", field_bytes(1, "SELECT 1")))
    with (
        flight.connect(f"grpc+unix://{gateway.socket()}") as client,
        pytest.raises(flight.FlightServerError, match="not possible"),
    ):
        client.do_get(ticket, options(gateway))


@pytest.mark.parametrize("raw", [b"", b"\xff" * 50, b"\x0a\x03abc", fs.pack_any("CommandStatementQuery", b"\x0a\xff")])
def test_broken_messages_get_a_sentence(gateway: Any, raw: bytes) -> None:
    with flight.connect(f"grpc+unix://{gateway.socket()}") as client:
        with pytest.raises((flight.FlightError, pa.ArrowException)) as failure:
            client.do_get(flight.Ticket(raw), options(gateway))
        assert "Traceback" not in str(failure.value)
        with pytest.raises((flight.FlightError, pa.ArrowException)):
            client.get_flight_info(flight.FlightDescriptor.for_command(raw), options(gateway))


def test_two_authorization_headers_are_refused(gateway: Any) -> None:
    token = f"Bearer {gateway.token()}".encode()
    both = flight.FlightCallOptions(headers=[(b"authorization", token), (b"authorization", token)])
    with (
        flight.connect(f"grpc+unix://{gateway.socket()}") as client,
        pytest.raises(flight.FlightUnauthenticatedError),
    ):
        client.get_flight_info(statement("SELECT 1"), both)


def test_every_call_needs_the_token(gateway: Any) -> None:
    command = fs.pack_any("CommandGetCatalogs", b"")
    descriptor = flight.FlightDescriptor.for_command(command)
    with flight.connect(f"grpc+unix://{gateway.socket()}") as client:
        calls = [
            lambda: client.get_flight_info(descriptor),
            lambda: client.do_get(flight.Ticket(command)).read_all(),
            lambda: list(client.do_action(("enclave.tables", b""))),
            lambda: list(client.do_action(("enclave.whoami", b""))),
            lambda: list(client.do_action(("enclave.request_release", b"{}"))),
            lambda: list(client.do_action(("CreatePreparedStatement", b""))),
            lambda: list(client.do_action(("CancelFlightInfo", b""))),
            lambda: list(client.list_flights()),
        ]
        for call in calls:
            with pytest.raises(flight.FlightUnauthenticatedError, match="authorization: Bearer"):
                call()
        with pytest.raises(pa.ArrowException, match="authorization: Bearer") as failure:
            client.get_schema(descriptor)
        assert ".py" not in str(failure.value).replace("python", "")


def test_many_handles_do_not_fill_the_front(gateway: Any) -> None:
    with flight.connect(f"grpc+unix://{gateway.socket()}") as client:
        call_options = options(gateway)
        first = client.get_flight_info(statement("SELECT 1"), call_options).endpoints[0].ticket
        for _ in range(513):
            client.get_flight_info(statement("SELECT 1"), call_options)
        with pytest.raises(flight.FlightServerError, match="Prepare it again"):
            client.do_get(first, call_options)


def test_more_parameters_than_one_row_are_refused(gateway: Any) -> None:
    body = fs.pack_any("ActionCreatePreparedStatementRequest", field_bytes(1, "SELECT ?"))
    call_options = options(gateway)
    with flight.connect(f"grpc+unix://{gateway.socket()}") as client:
        (result,) = client.do_action(("CreatePreparedStatement", body), call_options)
        handle = fs.parse_close_prepared(result.body.to_pybytes())
        command = fs.pack_any("CommandPreparedStatementQuery", field_bytes(1, handle))
        table = pa.table({"0": [1, 2]})
        writer, reader = client.do_put(flight.FlightDescriptor.for_command(command), table.schema, call_options)
        with pytest.raises(flight.FlightServerError, match="one row of parameters"):
            writer.write_table(table)
            writer.done_writing()
            reader.read()
            writer.close()
