"""Invariant 1: intent before any row, outcome before the end of the stream; refusals are recorded."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pyarrow as pa
import pytest
from adbc_driver_manager import Error
from enclave_test_live_processes import contents_below  # type: ignore[import-not-found]
from pyarrow import flight

from audit.client import AuditClient
from enclave.gateway import flightsql as fs
from enclave.gateway.protobuf_wire import field_bytes


def test_intent_and_outcome_frame_a_query(gateway: Any) -> None:
    with gateway.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT label FROM person WHERE person_id = ?", (17,))
        cursor.fetchall()

    def ours() -> Any:
        found = [e for e in gateway.events("query:outcome") if e["counts"]["rows"] == 1 and e["counts"]["columns"] == 1]
        return found and found[-1]

    outcome = gateway.wait_for(ours)
    (intent,) = [e for e in gateway.events("query:intent") if e["request_id"] == outcome["request_id"]]
    assert intent["data"]["tables"] == ["person"]
    assert intent["policies"] == ["researcher-works-in-own-project"]
    assert intent["subject"] == "v1"
    assert outcome["data"]["status"] == "ok"
    assert outcome["data"]["digest"].startswith("blake3:") and len(outcome["data"]["digest"]) == 7 + 64
    whole = json.dumps([intent, outcome])
    assert "SELECT" not in whole and "label" not in json.dumps(intent)
    assert outcome["data"]["columns_read"] == ["person.label", "person.person_id"]
    random = {"token", "template_sha256"}  # hexadecimal digits may hold any number
    assert "17" not in json.dumps({name: value for name, value in intent["data"].items() if name not in random})


def test_the_statement_and_its_parameters_are_in_the_encrypted_payload(gateway: Any) -> None:
    sql = "SELECT count(*) AS payload_test FROM visit WHERE person_id = ?"
    with gateway.connect() as connection, connection.cursor() as cursor:
        cursor.execute(sql, (23,))
        cursor.fetchall()
    with_parameters = gateway.wait_for(
        lambda: [
            index
            for index, leaf in enumerate(gateway.events())
            if leaf["type"] == "query:intent" and leaf["data"]["tables"] == ["visit"] and leaf["counts"]["parameters"]
        ]
    )
    client = AuditClient(gateway.settings.audit_socket, "test")
    found = client.payload(with_parameters[-1], reader="u-00000000000f")
    client.close()
    assert found == {"sql": sql, "parameters": ["23"]}
    for file, content in contents_below(gateway.settings.audit_dir):
        assert b"payload_test" not in content, file


def test_a_result_of_endless_column_names_gets_its_outcome(gateway: Any) -> None:
    """A column may be called like a whole statement and be repeated: names longer than what a record takes."""
    name, times = "n" * 60_000, 40
    with gateway.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f'SELECT {", ".join(["t.*"] * times)} FROM (SELECT 1 AS "{name}") t')
        assert cursor.fetchall() == [(1,) * times]

    def outcomes() -> Any:
        """One of the statement's columns alone, one of its row."""
        found = [e for e in gateway.events("query:outcome") if e["counts"]["columns"] == times]
        return found if len(found) == 2 else None

    *_, outcome = gateway.wait_for(outcomes)
    assert outcome["data"]["status"] == "ok" and outcome["counts"]["rows"] == 1
    client = AuditClient(gateway.settings.audit_socket, "test")
    index = next(n for n, leaf in enumerate(gateway.events()) if leaf["event_id"] == outcome["event_id"])
    found = client.payload(index, reader="u-00000000000f")
    client.close()
    assert name.startswith(found["columns"][0]) and len(found["columns_sha256"]) == 64


def test_the_intent_is_in_the_log_before_the_first_row_is_released(gateway: Any) -> None:
    """The client has read nothing and the stream is far from its end, and the intent is already published."""
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {gateway.token()}".encode())])
    with flight.connect(f"grpc+unix://{gateway.socket()}") as client:
        before = len(gateway.events("query:intent"))
        command = fs.pack_any(
            "CommandStatementQuery", field_bytes(1, "SELECT i, repeat('x', 60) AS text FROM range(2_000_000) r(i)")
        )
        info = client.get_flight_info(flight.FlightDescriptor.for_command(command), options)
        reader = client.do_get(info.endpoints[0].ticket, options)
        intents = gateway.wait_for(lambda: len(found := gateway.events("query:intent")) > before and found)
        outcomes = {e["request_id"] for e in gateway.events("query:outcome")}
        assert intents[-1]["request_id"] not in outcomes
        assert reader.read_all().num_rows == 2_000_000
    outcome = gateway.wait_for(
        lambda: [e for e in gateway.events("query:outcome") if e["request_id"] == intents[-1]["request_id"]]
    )
    assert outcome[0]["counts"]["rows"] == 2_000_000


def test_a_refused_statement_is_recorded_by_rule(gateway: Any) -> None:
    with pytest.raises(Error):
        gateway.fetch("SELECT * FROM 'secret-name.csv'")
    leaf = gateway.wait_event("query:refused", rule="table")
    assert "secret-name" not in json.dumps(leaf)


def test_a_failing_query_has_an_outcome(gateway: Any) -> None:
    with pytest.raises(Error):
        gateway.fetch("SELECT label::INTEGER FROM person")
    assert gateway.wait_event("query:outcome", status="error")["counts"]["rows"] == 0


def test_the_schema_of_a_statement_is_bound_after_an_intent(gateway: Any) -> None:
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {gateway.token()}".encode())])
    command = fs.pack_any("CommandStatementQuery", field_bytes(1, "SELECT person_id AS a, label AS b FROM person"))
    with flight.connect(f"grpc+unix://{gateway.socket()}") as client:
        schema = client.get_schema(flight.FlightDescriptor.for_command(command), options).schema
    assert schema == pa.schema([("a", pa.int64()), ("b", pa.string())])
    assert gateway.wait_event("query:intent", purpose="schema")["data"]["tables"] == ["person"]


def test_a_ticket_says_nothing_and_opens_for_nobody_else(gateway: Any) -> None:
    mine = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {gateway.token()}".encode())])
    command = fs.pack_any("CommandStatementQuery", field_bytes(1, "SELECT label FROM person"))
    with flight.connect(f"grpc+unix://{gateway.socket()}") as client:
        ticket = client.get_flight_info(flight.FlightDescriptor.for_command(command), mine).endpoints[0].ticket
        assert b"label" not in ticket.ticket
        guessed = flight.Ticket(fs.statement_ticket(hashlib.sha256(b"guess").digest()[:16]))
        with pytest.raises(flight.FlightServerError, match="Prepare it again"):
            client.do_get(guessed, mine)
        with pytest.raises(flight.FlightUnauthenticatedError):
            client.do_get(ticket)


def test_actions_answer_with_json(gateway: Any) -> None:
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {gateway.token()}".encode())])
    with flight.connect(f"grpc+unix://{gateway.socket()}") as client:

        def act(name: str, body: bytes = b"") -> Any:
            return json.loads(next(iter(client.do_action((name, body), options))).body.to_pybytes())

        assert act("enclave.whoami")["username"] == "alice"
        tables = {table["name"]: table for table in act("enclave.tables")}
        assert tables["person"]["rows"] == 1000
        assert tables["person"]["columns"][0] == {"name": "person_id", "type": "BIGINT", "treatment": "keep"}
        with pytest.raises(flight.FlightServerError, match="other fields"):
            act("enclave.request_release", b'{"files": ["a.csv"]}')
        body = json.dumps({"files": ["a.csv"], "title": "t", "context": "c"}).encode()
        with pytest.raises(flight.FlightServerError, match="portal does not answer"):
            act("enclave.request_release", body)


def outcome_of(gateway: Any, sql: str, before: int) -> dict[str, Any]:
    """The outcome of the newest query for rows since then."""

    def find() -> Any:
        ours = {e["request_id"] for e in gateway.events("query:intent")[before:] if e["data"]["purpose"] == "rows"}
        return [e for e in gateway.events("query:outcome") if e["request_id"] in ours]

    return dict(gateway.wait_for(find, what=f"the outcome of {sql}")[-1])


@pytest.mark.parametrize(
    ("sql", "columns", "filters"),
    [
        (
            "SELECT p.label FROM person p JOIN visit v USING (person_id) WHERE p.year_of_birth < 1987 AND v.sex = 'F'",
            {"person.label", "person.person_id", "person.year_of_birth", "visit.person_id", "visit.sex"},
            {"person.year_of_birth <", "visit.sex ="},
        ),
        (
            "CREATE TABLE kept AS SELECT label FROM person WHERE label LIKE '%77%'",
            {"person.label"},
            {"person.label contains"},
        ),
        ("SELECT * FROM kept", set(), set()),
        ("DROP TABLE kept", set(), set()),
    ],
)
def test_the_outcome_says_what_was_read_and_holds_no_value(
    gateway: Any, sql: str, columns: set[str], filters: set[str]
) -> None:
    before = len(gateway.wait_for(lambda: gateway.events("query:intent")))
    gateway.fetch(sql)
    outcome = outcome_of(gateway, sql, before)
    assert set(outcome["data"].get("columns_read", ())) == columns
    assert filters <= set(outcome["data"].get("filters", ()))
    assert outcome["counts"].get("columns_read", 0) == len(columns)
    if not sql.startswith("DROP"):
        assert outcome["counts"]["rows_scanned"] > 0
        scratch = [name for name in outcome["data"]["tables_scanned"] if name.startswith("scratch.kept ")]
        assert bool(scratch) == (sql == "SELECT * FROM kept")
    assert "1987" not in json.dumps(outcome["data"]) and "%77" not in json.dumps(outcome["data"])


def test_a_stream_that_is_given_up_says_what_it_had_read(gateway: Any) -> None:
    before = len(gateway.wait_for(lambda: gateway.events("query:intent")))
    sql = "SELECT p.label, v.sex, repeat('x', 100) AS t FROM person p, visit v, range(100) r(i)"
    with gateway.connect() as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        reader = cursor.fetch_record_batch()
        reader.read_next_batch()
        reader.close()
    outcome = outcome_of(gateway, sql, before)
    assert outcome["data"]["status"] != "ok"
    assert set(outcome["data"]["columns_read"]) == {"person.label", "visit.sex"}
