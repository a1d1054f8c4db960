"""Statements that ignore DuckDB's limits: each ends in time, its person's other queries end with an error and never
short, and everybody else's go on.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import pytest
from adbc_driver_manager import Error

from enclave.domain.ids import PersonId, ProjectId

ALICE, BOB = PersonId("u-000000000001"), PersonId("u-000000000002")
BOMBED = ProjectId("bombed-study")
SECONDS = 2
LATEST_SECONDS = 30.0
_LEVELS = 24
BOMBS = {
    "repeat": "SELECT length(repeat('x', 2_000_000_000))",
    "lpad": "SELECT length(lpad('x', 2_000_000_000, 'ab'))",
    "printf": "SELECT length(printf('%2000000000d', 1))",
    "list of a thousand million": "SELECT list_sum(range(1_000_000_000))",
    "levenshtein": "SELECT levenshtein(repeat('a', 90_000), repeat('b', 90_000))",
    "sleep": "SELECT sleep_ms(60_000)",
    "with names that double": "WITH c0 AS NOT MATERIALIZED (SELECT 1 AS x)"
    + "".join(f", c{n} AS NOT MATERIALIZED (SELECT a.x FROM c{n - 1} a, c{n - 1} b)" for n in range(1, _LEVELS))
    + f" SELECT count(*) FROM c{_LEVELS - 1}",
    "cross join": "SELECT count(*) FROM range(200_000_000) a(i), range(1_000) b(j) WHERE (i * j) % 7 = 3",
    "sort of everything": "SELECT * FROM range(2_000_000_000) r(i) ORDER BY hash(i)",
    "every value as a list": "SELECT list(i) FROM range(2_000_000_000) r(i)",
}


@pytest.fixture(scope="module")
def bombed(gateway: Any) -> Any:
    """A project in which alice and bob may run two seconds at a time."""
    gateway.add_project(BOMBED, members=frozenset({ALICE, BOB}), seconds=SECONDS)
    gateway.socket(BOMBED)
    return gateway


def fetch(gateway: Any, person: PersonId, sql: str) -> Any:
    return gateway.fetch(sql, gateway.token(person=person, project=BOMBED), gateway.socket(BOMBED))


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_and_the_other_person_is_answered_meanwhile(bombed: Any, name: str) -> None:
    fetch(bombed, BOB, "SELECT 1")
    ended: list[float] = []

    def explode() -> None:
        started_at = time.monotonic()
        with contextlib.suppress(Error):
            fetch(bombed, ALICE, BOMBS[name])
        ended.append(time.monotonic() - started_at)

    thread = threading.Thread(target=explode)
    thread.start()
    answered = 0
    while thread.is_alive():
        assert fetch(bombed, BOB, "SELECT count(*) FROM visit") == [(5000,)]
        answered += 1
    thread.join()
    assert ended[0] < LATEST_SECONDS
    assert answered >= 1
    assert fetch(bombed, ALICE, "SELECT count(*) FROM visit") == [(5000,)]


@pytest.mark.parametrize("name", ["levenshtein", "cross join"])
def test_who_sent_it_is_told_which_cap_was_met_and_so_is_the_record(bombed: Any, name: str) -> None:
    before = len(bombed.events("query:outcome"))
    with pytest.raises(Error, match=f"allows {SECONDS} seconds for one query"):
        fetch(bombed, ALICE, BOMBS[name])
    bombed.wait_for(lambda: len(bombed.events("query:outcome")) > before, what="the outcome")
    assert bombed.events("query:outcome")[-1]["data"]["status"] == "cap"


def test_the_bomber_s_own_stream_ends_with_an_error_and_never_short(bombed: Any) -> None:
    rows = 4_000_000
    token = bombed.token(person=ALICE, project=BOMBED)
    with bombed.connect(token, bombed.socket(BOMBED)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT i, repeat('x', 100) AS t FROM range({rows}) r(i)")
        reader = cursor.fetch_record_batch()
        seen = reader.read_next_batch().num_rows
        with pytest.raises(Error):
            fetch(bombed, ALICE, BOMBS["with names that double"])
        with pytest.raises(Exception, match="worker ended while this query ran"):
            for batch in reader:
                seen += batch.num_rows
        assert seen < rows


def test_waiting_for_a_slow_reader_is_not_run_time(bombed: Any) -> None:
    rows = 1_000_000
    token = bombed.token(person=BOB, project=BOMBED)
    with bombed.connect(token, bombed.socket(BOMBED)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT i, repeat('x', 100) AS t FROM range({rows}) r(i)")
        reader = cursor.fetch_record_batch()
        seen = reader.read_next_batch().num_rows
        threading.Event().wait(SECONDS * 3)  # longer than the whole time a query has
        seen += sum(batch.num_rows for batch in reader)
    assert seen == rows


def test_spilling_ends_at_its_quota_and_leaves_nothing(bombed: Any) -> None:
    folder = bombed.settings.run_dir / "gw" / BOMBED / ALICE / "spill"
    fetch(bombed, ALICE, "SELECT 1")
    assert folder.is_dir() and (folder.stat().st_mode & 0o777) == 0o700
    with pytest.raises(Error):
        fetch(bombed, ALICE, BOMBS["sort of everything"])

    def is_empty() -> bool:
        return not folder.exists() or sum(file.stat().st_size for file in folder.iterdir()) == 0

    bombed.wait_for(is_empty, what="an empty spill folder")
