"""One-time tickets on the real stack: standard clients' partitions, the action, refusals, records, caps."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pytest
from adbc_driver_manager import Error
from pyarrow import flight

from enclave.domain.ids import PersonId, ProjectId

ALICE, BOB = PersonId("u-000000000001"), PersonId("u-000000000002")
LARGE, CAPPED = ProjectId("large-study"), ProjectId("tight-study")
ROWS = 400_000
LARGE_SQL = (
    "CREATE TABLE visit AS SELECT i AS visit_id, i % 1000 AS person_id, (['F', 'M'])[1 + i % 2] AS sex,"
    f" i / 8 AS weight FROM range({ROWS}) r(i)",
)
HEADER = "adbc.flight.sql.rpc.call_header.enclave-partitions"


@pytest.fixture(scope="module")
def stack(gateway: Any) -> Iterator[Any]:
    """The same gateway with a table of four row groups, members alice and bob."""
    gateway.add_project(LARGE, LARGE_SQL, members=frozenset({ALICE, BOB}))
    gateway.socket(LARGE)
    yield gateway


class Caller:
    """Plain Flight calls of one person in one project."""

    def __init__(self, stack: Any, person: PersonId = ALICE, project: ProjectId = LARGE) -> None:
        token = stack.token(person, project)
        self._options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())])
        self._address = f"grpc+unix://{stack.socket(project)}"

    def partitions(self, **request: Any) -> Any:
        with flight.connect(self._address) as client:
            action = flight.Action("enclave.partitions", json.dumps({"table": "visit", **request}).encode())
            return json.loads(b"".join(part.body.to_pybytes() for part in client.do_action(action, self._options)))

    def redeem(self, ticket: Any) -> pa.Table:
        content = base64.b64decode(ticket["ticket"]) if isinstance(ticket, dict) else ticket
        with flight.connect(self._address) as client:
            return client.do_get(flight.Ticket(content), self._options).read_all()


def parts_on_record(stack: Any, request: str) -> list[dict[str, Any]]:
    return [e for e in stack.events("query:intent") if e["data"].get("handed_out_by") == request]


def test_adbc_reads_a_plain_scan_in_parts(stack: Any) -> None:
    sql = "SELECT visit_id, sex FROM Visit AS v WHERE person_id < 500"
    with stack.connect(stack.token(project=LARGE), stack.socket(LARGE)) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{HEADER: "3"})
        partitions, schema = cursor.adbc_execute_partitions(sql)
        assert len(partitions) == 3
        sizes, found = [], set()
        for partition in partitions:
            cursor.adbc_read_partition(partition)
            table = cursor.fetch_arrow_table()
            sizes.append(table.num_rows)
            found |= set(table["visit_id"].to_pylist())
        with pytest.raises(Error, match="each opens once"):
            cursor.adbc_read_partition(partitions[0])
            cursor.fetch_arrow_table()
    assert schema is None or schema.names == ["visit_id", "sex"]
    assert sum(sizes) == len(found) == ROWS // 2 and min(sizes) > 0


def test_a_plain_execute_with_the_header_reads_all_parts(stack: Any) -> None:
    with stack.connect(stack.token(project=LARGE), stack.socket(LARGE)) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{HEADER: "4"})
        cursor.execute("SELECT visit_id FROM visit")
        assert sorted(cursor.fetch_arrow_table()["visit_id"].to_pylist()) == list(range(ROWS))


@pytest.mark.parametrize(
    "sql", ["SELECT count(*) FROM visit", "SELECT sex FROM visit LIMIT 3", "SELECT sex FROM extract.main.visit"]
)
def test_adbc_gets_one_endpoint_for_anything_else(stack: Any, sql: str) -> None:
    with stack.connect(stack.token(project=LARGE), stack.socket(LARGE)) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{HEADER: "3"})
        partitions, _ = cursor.adbc_execute_partitions(sql)
        assert len(partitions) == 1
        cursor.adbc_read_partition(partitions[0])
        assert cursor.fetch_arrow_table().num_rows in (1, 3, ROWS)


def test_a_header_that_is_no_number_is_refused_with_a_sentence(stack: Any) -> None:
    with stack.connect(stack.token(project=LARGE), stack.socket(LARGE)) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{HEADER: "many"})
        with pytest.raises(Error, match="Expected a number from 1 to 1024"):
            cursor.adbc_execute_partitions("SELECT sex FROM visit")


def test_each_part_is_a_query_of_its_own_on_record(stack: Any) -> None:
    alice = Caller(stack)
    answer = alice.partitions(columns=["visit_id"], filter="sex = 'F' -- women", parts=4)
    assert [ticket["low"] % 122_880 for ticket in answer["tickets"]] == [0, 0, 0, 0]
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(answer["schema"])))
    tables = [alice.redeem(ticket) for ticket in answer["tickets"]]
    assert all(table.schema == schema for table in tables)
    assert sum(table.num_rows for table in tables) == ROWS // 2
    intents = stack.wait_for(lambda: len(found := parts_on_record(stack, answer["request"])) == 4 and found)
    assert [(e["data"]["part"], e["data"]["parts"]) for e in intents] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(e["data"]["tables"] == ["visit"] and e["data"]["purpose"] == "rows" for e in intents)
    ids = {e["request_id"] for e in intents}
    outcomes = stack.wait_for(
        lambda: len(found := [e for e in stack.events("query:outcome") if e["request_id"] in ids]) == 4 and found
    )
    assert [e["counts"]["rows"] for e in outcomes] == [table.num_rows for table in tables]
    assert all(e["data"]["status"] == "ok" for e in outcomes)


def test_partial_groups_add_up(stack: Any) -> None:
    alice = Caller(stack)
    partial = {"by": ["sex"], "values": {"n": ["count", "*"], "w": ["mean", "weight"], "top": ["max", "visit_id"]}}
    answer = alice.partitions(partial=partial, filter="person_id < 100", parts=3)
    whole = pa.concat_tables(alice.redeem(ticket) for ticket in answer["tickets"]).to_pylist()
    assert {row["sex"] for row in whole} == {"F", "M"} and len(whole) == 6
    expected = stack.fetch(
        "SELECT count(*), sum(weight), count(weight), max(visit_id) FROM visit WHERE person_id < 100",
        stack.token(project=LARGE),
        stack.socket(LARGE),
    )[0]
    assert (
        sum(row["n"] for row in whole),
        sum(row["w__sum"] for row in whole),
        sum(row["w__count"] for row in whole),
        max(row["top"] for row in whole),
    ) == expected


def test_one_of_many_wins(stack: Any) -> None:
    alice = Caller(stack)
    (ticket,) = alice.partitions(columns=["sex"], parts=1)["tickets"]

    def attempt(_: int) -> int:
        try:
            return int(alice.redeem(ticket).num_rows)
        except flight.FlightServerError:
            return 0

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(attempt, range(6)))
    assert sorted(found) == [0, 0, 0, 0, 0, ROWS]


def test_used_foreign_and_guessed_tickets_are_refused_and_recorded(stack: Any) -> None:
    alice, bob, elsewhere = Caller(stack), Caller(stack, BOB), Caller(stack, project=ProjectId("heart-study"))
    first, second = alice.partitions(columns=["sex"], parts=2)["tickets"]
    alice.redeem(first)
    for caller, ticket, rule, sentence in (
        (alice, first, "ticket-used", "each opens once"),
        (bob, second, "ticket-foreign", "handed out to somebody else"),
        (elsewhere, second, "ticket-foreign", "handed out to somebody else"),
        (alice, b"enclave.ticket/1\n" + bytes(32), "ticket-unknown", "is not known here"),
    ):
        with pytest.raises(flight.FlightServerError, match=sentence):
            caller.redeem(ticket)
        assert stack.wait_event("query:refused", rule=rule)
    assert alice.redeem(second).num_rows > 0


def test_an_expired_ticket_is_refused_and_recorded(stack: Any) -> None:
    alice = Caller(stack)
    (ticket,) = alice.partitions(columns=["sex"], parts=1)["tickets"]
    (file,) = (stack.settings.tickets_dir / LARGE / ALICE).glob("*.json")
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700
    stored = json.loads(file.read_text())
    file.write_text(json.dumps({**stored, "expires_at": stored["expires_at"] - 901}))
    with pytest.raises(flight.FlightServerError, match="has expired"):
        alice.redeem(ticket)
    assert stack.wait_event("query:refused", rule="ticket-expired")["decision"] == "deny"
    file.unlink()


@pytest.mark.parametrize(
    ("request_", "rule"),
    [
        ({"table": "secrets"}, "partitions"),
        ({"columns": ["secret"]}, "partitions"),
        ({"columns": []}, "partitions"),
        ({"parts": 5000}, "partitions"),
        ({"unknown": 1}, "partitions"),
        ({"filter": "true UNION SELECT * FROM visit"}, "syntax"),
        ({"filter": "true) ORDER BY (sex"}, "partitions"),
        ({"filter": "true) UNION ALL FROM visit WHERE (true"}, "partitions"),
        ({"filter": "person_id IN (SELECT 1)"}, "partitions"),
        ({"filter": "person_id = ?"}, "partitions"),
        ({"filter": "count(*) OVER () > 1"}, "partitions"),
        ({"filter": "getenv('HOME') = ''"}, "function"),
        ({"partial": {"by": [], "values": {"x": ["list", "sex"]}}}, "partitions"),
        ({"partial": {"by": ["sex"], "values": {"SEX": ["count", "*"]}}}, "partitions"),
        ({"request": "p-0123456789abcdef-0123456789abcdef"}, "partitions"),
    ],
)
def test_other_requests_are_refused_and_recorded(stack: Any, request_: dict[str, Any], rule: str) -> None:
    before = len(stack.events("query:refused"))
    with pytest.raises(flight.FlightServerError):
        Caller(stack).partitions(**request_)
    refused = stack.wait_for(lambda: (found := stack.events("query:refused"))[before:] and found)
    assert refused[-1]["data"]["rule"] == rule


def test_asking_again_for_a_part_keeps_the_first_request(stack: Any) -> None:
    alice = Caller(stack)
    plan = alice.partitions(parts=3, tickets=[])
    assert plan["tickets"] == [] and plan["rows"] == ROWS
    again = alice.partitions(columns=["sex"], parts=3, tickets=[2], request=plan["request"])
    assert again["request"] == plan["request"] and again["schema"] is None
    assert [ticket["part"] for ticket in again["tickets"]] == [2]
    for other in ({"parts": 4}, {"parts": 3, "request": plan["request"][:-1] + "g"}):
        with pytest.raises(flight.FlightServerError, match="Open the table anew"):
            alice.partitions(**{"request": plan["request"], **other})
    with pytest.raises(flight.FlightServerError, match="Open the table anew"):
        Caller(stack, BOB).partitions(parts=3, request=plan["request"])


def test_caps_count_every_part_and_the_whole_day(gateway: Any) -> None:
    gateway.add_project(CAPPED, LARGE_SQL, members=frozenset({ALICE}), rows=30_000)  # and 300,000 a day
    alice = Caller(gateway, project=CAPPED)
    assert alice.partitions(columns=["sex"], tickets=[])["parts"] == 14  # none larger than a query may be
    tickets = alice.partitions(columns=["sex"], parts=10)["tickets"]
    with pytest.raises(flight.FlightServerError, match="allows 30000 rows for one query"):
        alice.redeem(tickets[0])
    small = alice.partitions(columns=["sex"], parts=16)["tickets"]
    with pytest.raises(flight.FlightServerError, match="allows 300000 rows per person and day"):
        for ticket in small:
            alice.redeem(ticket)
