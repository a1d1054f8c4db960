"""Every row of the table against a whole gateway, by a stock ADBC client in a workspace; and no marker in any answer.

All rows run one after the other in one gateway. Between two rows a call without a token is made: its record separates
what is on record about them.
"""

from __future__ import annotations

import secrets
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from adbc_driver_manager import Error
from pyarrow import flight
from sql_attack_row import (
    IN_DROPPED_COLUMN,
    IN_ENVIRONMENT,
    IN_FILE,
    IN_OTHER_PROJECT,
    IN_SCRATCH,
    MARKERS,
    Ending,
    SqlAttack,
)
from sql_attack_table import ATTACKS

from enclave.gateway.direct_query import ID_BYTES, PREFIX

_SECONDS_FOR_ALL = 40


@dataclass
class Seen:
    """What the client got and what is on record for one row."""

    answer: str
    is_error: bool
    leaves: list[dict[str, Any]] = field(default_factory=list)

    def rules(self) -> set[str]:
        return {leaf["data"]["rule"] for leaf in self.leaves if leaf["type"] == "query:refused"}

    def intents(self) -> list[dict[str, Any]]:
        return [leaf for leaf in self.leaves if leaf["type"] == "query:intent"]


def attack_all(gateway: Any) -> tuple[dict[str, Seen], float]:
    """Run every row in the workspace of Alice."""
    workspace = "w-0123456789ab"
    socket = gateway.open_workspace()
    found: dict[str, Seen] = {}
    started_at = time.monotonic()
    with (
        gateway.connect(gateway.token(workspace=workspace), socket) as connection,
        flight.connect(f"grpc+unix://{socket}") as stranger,
    ):
        separate(stranger)
        for row in ATTACKS:
            found[row.id] = run(connection, row, gateway)
            separate(stranger)
    return found, time.monotonic() - started_at


def separate(stranger: Any) -> None:
    with pytest.raises(flight.FlightUnauthenticatedError):
        list(stranger.do_action(("enclave.whoami", b"")))


def filled(row: SqlAttack, gateway: Any) -> str:
    other = gateway.settings.projects_dir / "lung-study" / "extracts" / "v1" / "extract.duckdb"
    return row.sql.replace("{home}", str(gateway.home)).replace("{other}", str(other))


def run(connection: Any, row: SqlAttack, gateway: Any) -> Seen:
    sql = filled(row, gateway)
    with connection.cursor() as cursor:
        try:
            cursor.execute(sql)
            return Seen(str(cursor.fetchall()), is_error=False)
        except Error as error:
            return Seen(str(error), is_error=True)


def divide(leaves: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """What is on record between the calls without a token."""
    parts: list[list[dict[str, Any]]] = [[]]
    for leaf in leaves:
        if leaf["type"] == "token:refused":
            parts.append([])
        else:
            parts[-1].append(leaf)
    return parts


@pytest.fixture(scope="session")
def attacked(baited: Any) -> tuple[dict[str, Seen], float]:
    seen, seconds = attack_all(baited)
    baited.wait_for(lambda: len(baited.events("token:refused")) > len(ATTACKS), what="everything on record")
    parts = divide(baited.events())[1 : len(ATTACKS) + 1]
    for result, part in zip(seen.values(), parts, strict=True):
        result.leaves = part
    return seen, seconds


def test_the_table_is_large_and_its_ids_are_unique() -> None:
    assert len(ATTACKS) >= 200
    assert len({row.id for row in ATTACKS}) == len(ATTACKS)


@pytest.mark.parametrize("row", ATTACKS, ids=lambda row: row.id)
def test_attack(attacked: tuple[dict[str, Seen], float], row: SqlAttack) -> None:
    seen = attacked[0][row.id]
    assert not [marker for marker in MARKERS if marker in seen.answer], f"{row.sql} leaks"
    match row.expected.ending:
        case Ending.GATE:
            assert seen.is_error, f"{row.sql}: {seen.answer[:300]}"
            assert seen.rules() == {row.expected.detail}, f"{row.sql}: {seen.answer[:300]}"
            assert not seen.intents(), "refused before any worker sees it"
        case Ending.ENGINE:
            assert seen.is_error, f"{row.sql}: {seen.answer[:300]}"
            assert not seen.rules() and seen.intents(), f"{row.sql}: {seen.answer[:300]}"
            assert row.expected.detail in seen.answer, seen.answer[:300]
        case Ending.HARMLESS:
            assert not seen.is_error, f"{row.sql}: {seen.answer[:300]}"


def test_all_rows_are_quick(attacked: tuple[dict[str, Seen], float]) -> None:
    assert attacked[1] < _SECONDS_FOR_ALL


def test_the_gateway_is_as_before(attacked: tuple[dict[str, Seen], float], baited: Any) -> None:
    assert baited.fetch("SELECT count(*), min(label) FROM person") == [(1000, "name-0")]
    restarted = [leaf for leaf in baited.events("process:restarted") if leaf["project"] == "heart-study"]
    assert not restarted, "no row ended a worker"


def test_the_bait_is_there_for_whom_it_is(baited: Any, stack_parts: Any) -> None:
    """Each marker can be read by its owner, so that its absence in an answer means something."""
    bob, other = baited.token(stack_parts.BOB), stack_parts.OTHER
    assert baited.fetch("SELECT entry FROM diary", bob) == [(IN_SCRATCH,)]
    assert baited.fetch("SELECT v FROM secret", baited.token(project=other), baited.socket(other)) == [
        (IN_OTHER_PROJECT,)
    ]
    assert IN_FILE in (baited.home / "producer" / "secret.csv").read_text()
    assert IN_ENVIRONMENT in Path(f"/proc/{baited.front.pid}/environ").read_text()
    with duckdb.connect() as connection:
        source = connection.execute(f"SELECT max(national_id) FROM '{baited.home}/producer/source.parquet'")
        assert IN_DROPPED_COLUMN in str(source.fetchone())


def test_a_view_over_a_changed_view_is_recorded_with_what_it_reads_now(baited: Any) -> None:
    for statement in (
        "CREATE OR REPLACE VIEW lower_view AS SELECT 1 AS a",
        "CREATE OR REPLACE VIEW upper_view AS SELECT * FROM lower_view",
        "CREATE OR REPLACE VIEW lower_view AS SELECT visit_id AS a FROM visit",
    ):
        baited.fetch(statement)
    assert len(baited.fetch("SELECT a FROM upper_view")) == 5000
    leaf = baited.wait_for(
        lambda: next(
            (
                leaf
                for leaf in reversed(baited.events("query:intent"))
                if "scratch.upper_view" in leaf["data"]["tables"] and leaf["data"]["verb"] == "select"
            ),
            None,
        ),
        what="the intent",
    )
    assert "visit" in leaf["data"]["tables"]


def test_the_ticket_that_carries_its_statement_meets_the_same_gate(baited: Any) -> None:
    """``enclave_client`` sends a statement in the ticket: every row the gate refuses is refused there, too."""
    socket = baited.open_workspace()
    token = baited.token(workspace="w-0123456789ab")
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())], timeout=60)
    refused = [row for row in ATTACKS if row.expected.ending is Ending.GATE]
    passed = []
    with flight.connect(f"grpc+unix://{socket}") as client:
        for row in refused:
            sql = filled(row, baited).encode()
            ticket = PREFIX + secrets.token_bytes(ID_BYTES) + struct.pack("!I", len(sql)) + sql
            try:
                answer = str(client.do_get(flight.Ticket(ticket), options).read_all().to_pylist())
            except (flight.FlightError, pa.ArrowException) as error:
                answer = str(error)
            else:
                passed.append(row.sql)
            assert not [marker for marker in MARKERS if marker in answer], row.sql
    assert not passed
    assert len(refused) > 200
