"""Rules of a permit on the real gateway: the same SQL, different answers; changed rules; what is on record."""

from __future__ import annotations

import base64
import importlib.util
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from adbc_driver_manager import Error
from pyarrow import flight

from enclave.domain.person_rules import rules_for
from enclave.extracts.permit_file import parse_permit

_SPEC = importlib.util.spec_from_file_location("gateway_ruled", Path(__file__).with_name("ruled.py"))
assert _SPEC is not None and _SPEC.loader is not None
ruled: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(ruled)
ALICE, BOB, MARKER, RULES = ruled.ALICE, ruled.BOB, ruled.MARKER, ruled.RULES
OTHER_ROWS = RULES.replace("ward = 'cardiology'", "visit_id < 10")


@pytest.fixture(scope="module")
def gateway() -> Iterator[Any]:
    with sys.modules["gateway_stack"].running_stack() as stack:  # type: ignore[attr-defined]
        ruled.add_ruled_project(stack)
        stack.socket()
        yield stack


@pytest.fixture(autouse=True)
def _first_rules(gateway: Any) -> None:
    ruled.set_rules(gateway, RULES)


def ask(gateway: Any, person: str, sql: str) -> list[Any]:
    found: list[Any] = gateway.fetch(sql, gateway.token(person=person))
    return found


def act(gateway: Any, person: str, action: str) -> Any:
    headers = [(b"authorization", f"Bearer {gateway.token(person=person)}".encode())]
    with flight.FlightClient(f"grpc+unix://{gateway.socket()}") as client:
        options = flight.FlightCallOptions(headers=headers, timeout=60)
        (result,) = client.do_action(flight.Action(action, b""), options)
        return json.loads(result.body.to_pybytes())


SAME_QUESTION = (
    ("SELECT count(*) FROM visit", [(5000,)], [(1667,)]),
    ("SELECT count(*) FROM extract.visit", [(5000,)], [(1667,)]),
    ('SELECT count(*) FROM "extract"."main"."VISIT"', [(5000,)], [(1667,)]),
    ("SELECT count(*) FROM main.visit v JOIN person USING (person_id)", [(5000,)], [(1667,)]),
    ("SELECT count(*) FROM person", [(1000,)], [(1000,)]),
    ("SELECT count(*) FROM death", [(100,)], [(100,)]),
    ("SELECT max(visit_id) FROM visit", [(4999,)], [(4998,)]),
    ("SELECT len(struct_keys(d)) FROM death d LIMIT 1", [(4,)], [(2,)]),
    ("SELECT count(*) FROM visit WHERE label LIKE 'MARKER%'", [(3333,)], [(0,)]),
)


@pytest.mark.parametrize(("sql", "of_alice", "of_bob"), SAME_QUESTION)
def test_the_same_question_has_two_answers(gateway: Any, sql: str, of_alice: list[Any], of_bob: list[Any]) -> None:
    assert ask(gateway, ALICE, sql) == of_alice
    assert ask(gateway, BOB, sql) == of_bob


@pytest.mark.parametrize("sql", ["SELECT ward FROM visit", "SELECT died_on FROM death", "SELECT d.cause FROM death d"])
def test_a_hidden_column_is_not_there(gateway: Any, sql: str) -> None:
    assert len(ask(gateway, ALICE, sql)) >= 100
    with pytest.raises(Error, match="Binder Error"):
        ask(gateway, BOB, sql)


def test_every_catalogue_shows_visible_columns_and_no_count_of_hidden_rows(gateway: Any) -> None:
    tables = {table["name"]: table for table in act(gateway, BOB, "enclave.tables")}
    assert [c["name"] for c in tables["death"]["columns"]] == ["person_id", "in_hospital"]
    assert (tables["visit"]["rows"], tables["death"]["rows"], tables["person"]["rows"]) == (None, 100, 1000)
    assert {table["rows"] for table in act(gateway, ALICE, "enclave.tables")} == {1000, 5000, 100}
    with gateway.connect(gateway.token(person=BOB)) as connection:
        objects = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        assert connection.adbc_get_table_schema("death").names == ["person_id", "in_hospital"]
        with connection.cursor() as cursor:
            assert cursor.adbc_execute_schema("FROM death").names == ["person_id", "in_hospital"]
    answers = [
        objects,
        ask(gateway, BOB, "SELECT table_name, column_name FROM information_schema.columns"),
        ask(gateway, BOB, "DESCRIBE visit"),
        ask(gateway, BOB, "SUMMARIZE visit"),
        ask(gateway, BOB, "SHOW TABLES"),
        ask(gateway, BOB, "SHOW ALL TABLES"),
    ]
    for answer in map(str, answers):
        assert "ward" not in answer and "died_on" not in answer and "sealed" not in answer and "5000" not in answer


def test_what_was_described_for_one_rule_is_not_answered_for_another(gateway: Any) -> None:
    def columns() -> list[str]:
        with gateway.connect(gateway.token(person=BOB)) as connection, connection.cursor() as cursor:
            found: pa.Schema = cursor.adbc_execute_schema("FROM visit")
            return list(found.names)

    assert columns() == ["visit_id", "person_id", "label", "divisor"]
    ruled.set_rules(gateway, "")
    assert "ward" in columns()


def test_rules_that_change_replace_the_worker_and_no_rules_give_the_extract_itself(gateway: Any) -> None:
    assert ask(gateway, BOB, "SELECT count(*) FROM visit") == [(1667,)]
    ask(gateway, BOB, "CREATE TEMP TABLE gone AS SELECT 1 AS a")
    ruled.set_rules(gateway, OTHER_ROWS)
    assert ask(gateway, BOB, "SELECT count(*) FROM visit") == [(10,)]
    with pytest.raises(Error, match="not in this project's extract"):
        ask(gateway, BOB, "FROM gone")
    ruled.set_rules(gateway, "")
    assert ask(gateway, BOB, "SELECT count(*), max(rowid) FROM visit") == [(5000, 4999)]
    ruled.set_rules(gateway, RULES)
    with pytest.raises(Error, match="rowid"):
        ask(gateway, BOB, "SELECT max(rowid) FROM visit")


def test_a_running_query_ends_when_the_rules_for_its_person_change(gateway: Any) -> None:
    sql = "SELECT sum(hash(a.i, b.i, v.visit_id) % 7) FROM range(200_000) a(i), range(100_000) b(i), visit v"
    failures: list[Exception] = []

    def run() -> None:
        try:
            ask(gateway, BOB, sql)
        except Error as error:
            failures.append(error)

    before = len(gateway.events("query:intent"))
    thread = threading.Thread(target=run)
    thread.start()
    gateway.wait_for(lambda: len(gateway.events("query:intent")) > before, what="the intent")
    ruled.set_rules(gateway, OTHER_ROWS)
    thread.join(60)
    assert failures and "The rules of the data permit for you changed" in str(failures[0])


def test_a_query_over_a_ruled_table_is_recorded_as_such(gateway: Any) -> None:
    ask(gateway, BOB, "SELECT count(*) FROM visit JOIN person USING (person_id) WHERE visit_id < 77")
    ask(gateway, ALICE, "SELECT count(*) FROM visit WHERE visit_id < 78")
    digest = rules_for(parse_permit(ruled.PERMIT + RULES), "bob").digest
    leaf = gateway.wait_event("query:intent", rules_sha256=digest, tables=["person", "visit"])
    assert leaf["actor"] == BOB and leaf["data"]["ruled_tables"] == ["visit"]
    of_alice = [leaf for leaf in gateway.events("query:intent") if leaf["actor"] == ALICE]
    assert of_alice and not any("rules_sha256" in leaf["data"] for leaf in of_alice)


def test_a_rule_that_does_not_fit_the_extract_stops_its_person_and_nobody_else(gateway: Any) -> None:
    ruled.set_rules(gateway, '\nrules: [{people: [bob], table: death, rows: "in_hospital + died_on > 1"}]\n')
    with pytest.raises(Error, match="rule for table death does not fit this extract"):
        ask(gateway, BOB, "FROM person")
    assert ask(gateway, ALICE, "SELECT count(*) FROM person") == [(1000,)]


def test_a_condition_that_fails_on_a_row_hides_it_and_tells_nothing(gateway: Any) -> None:
    """Bob's filter decides which rows the rule's own cast is computed for: an error would tell him of hidden ones."""
    ruled.set_rules(gateway, '\nrules: [{people: [bob], table: visit, rows: "CAST(label AS INTEGER) >= 0"}]\n')
    assert ask(gateway, BOB, "SELECT count(*) FROM visit") == [(1667,)]
    assert ask(gateway, BOB, "SELECT count(*) FROM visit WHERE visit_id = 1") == [(0,)]


def test_tables_kept_from_before_a_rule_are_not_read_any_more_but_stay(gateway: Any) -> None:
    ruled.set_rules(gateway, "")
    ask(gateway, BOB, "CREATE TABLE kept AS SELECT * FROM visit")
    ask(gateway, BOB, "CREATE TABLE numbers AS SELECT i FROM range(3) r(i)")
    ask(gateway, BOB, "CREATE VIEW over_kept AS SELECT label FROM kept")
    ask(gateway, BOB, "CREATE VIEW over_visit AS SELECT * FROM visit")
    ask(gateway, BOB, "CREATE MACRO how_many() AS (SELECT count(*) FROM visit)")
    ask(gateway, BOB, "CREATE MACRO from_kept(n) AS TABLE SELECT label FROM kept LIMIT n")
    ruled.set_rules(gateway, RULES)
    for sql in (
        *("FROM kept", "FROM scratch.kept", 'SELECT count(*) FROM "KEPT"', "FROM over_kept", "FROM from_kept(3)"),
        *("DESCRIBE kept", "SUMMARIZE kept", "CREATE TABLE copy AS FROM kept", "WITH q AS (FROM kept) FROM q"),
        *("INSERT INTO kept FROM kept", "DELETE FROM kept WHERE label LIKE 'M%'", "DELETE FROM kept", "TRUNCATE kept"),
        *("SELECT (SELECT max(label) FROM kept)", "CREATE VIEW again AS FROM over_kept"),
    ):
        with pytest.raises(Error, match="kept was made under other rules"):
            ask(gateway, BOB, sql)
    assert ask(gateway, BOB, "SELECT count(*) FROM over_visit") == [(1667,)]
    assert ask(gateway, BOB, "SELECT how_many()") == [(1667,)]
    assert ask(gateway, BOB, "SELECT count(*) FROM numbers") == [(3,)]
    assert "kept" in {row[0] for row in ask(gateway, BOB, "SHOW TABLES")}
    ruled.set_rules(gateway, "")
    assert ask(gateway, BOB, "SELECT count(*) FROM kept") == [(5000,)]
    ruled.set_rules(gateway, RULES)
    ask(gateway, BOB, "CREATE OR REPLACE TABLE kept AS SELECT * FROM visit")
    assert ask(gateway, BOB, "SELECT count(*) FROM over_kept") == [(1667,)]
    ruled.set_rules(gateway, OTHER_ROWS)
    with pytest.raises(Error, match="kept was made under other rules"):
        ask(gateway, BOB, "FROM kept")
    ask(gateway, BOB, "DROP TABLE kept")


def in_parts(gateway: Any, person: str, table: str, **request: Any) -> tuple[dict[str, Any], pa.Table]:
    """The answer to a request for parts, and all parts together."""
    headers = [(b"authorization", f"Bearer {gateway.token(person=person)}".encode())]
    options = flight.FlightCallOptions(headers=headers, timeout=60)
    with flight.FlightClient(f"grpc+unix://{gateway.socket()}") as client:
        action = flight.Action("enclave.partitions", json.dumps({"table": table, **request}).encode())
        answer = json.loads(b"".join(part.body.to_pybytes() for part in client.do_action(action, options)))
        tickets = [flight.Ticket(base64.b64decode(ticket["ticket"])) for ticket in answer["tickets"]]
        return answer, pa.concat_tables(client.do_get(ticket, options).read_all() for ticket in tickets)


def test_parts_of_a_table_show_what_its_rule_leaves(gateway: Any) -> None:
    answer, rows = in_parts(gateway, BOB, "visit", parts=4)
    assert rows.num_rows == 1667 and MARKER not in str(rows.to_pylist())
    assert (answer["rows"], answer["parts"]) == (None, 1), "neither tells how many rows are hidden"
    answer, rows = in_parts(gateway, BOB, "death", parts=3)
    assert (answer["rows"], answer["parts"], rows.num_rows, rows.num_columns) == (100, 3, 100, 2)
    answer, rows = in_parts(gateway, BOB, "person", parts=3, columns=["person_id"])
    assert (answer["parts"], rows.column_names, len(set(rows["person_id"].to_pylist()))) == (3, ["person_id"], 1000)
    answer, rows = in_parts(gateway, ALICE, "death", parts=3)
    assert (answer["parts"], rows.num_rows, rows.num_columns) == (3, 100, 4)


@pytest.mark.parametrize(
    "filter_", ["__row < 10", "rowid < 10", "visit_id IN (SELECT visit_id FROM partitions.main.visit)"]
)
def test_the_numbers_of_rows_are_not_for_conditions(gateway: Any, filter_: str) -> None:
    with pytest.raises((flight.FlightError, pa.ArrowException)):
        in_parts(gateway, BOB, "visit", parts=2, filter=filter_)


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM information_schema.columns", "SELECT * FROM information_schema.schemata", "SHOW ALL TABLES"]
)
def test_no_catalogue_names_what_is_behind_the_views(gateway: Any, sql: str) -> None:
    shown = str(ask(gateway, BOB, sql)).lower()
    assert not any(name in shown for name in ("sealed", "partitions", "__row"))
