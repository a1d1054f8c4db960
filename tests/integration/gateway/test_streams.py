"""Streams: large ones stay small in memory, caps end them with a sentence, cancelling stops the worker."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from adbc_driver_manager import Error
from enclave_test_live_processes import cpu_seconds_below  # type: ignore[import-not-found]

from enclave.domain.ids import PersonId, ProjectId

CAPPED = ProjectId("capped-study")
SLOW_SQL = "SELECT count(*) FROM range(200_000_000) a(i), range(1_000) b(j) WHERE (i * j) % 7 = 3"


def resident_mb(pid: int) -> float:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * 4096 / 1e6


def worker_seconds(gateway: Any) -> float:
    """CPU seconds of this gateway's workers; those of other tests run beside them."""
    return float(cpu_seconds_below(gateway.front.pid, b"enclave.gateway.worker"))


@pytest.fixture(scope="module")
def capped(gateway: Any) -> Any:
    """The same gateway with a project whose permit allows very little."""
    members = frozenset({PersonId("u-000000000001")})
    gateway.add_project(CAPPED, members=members, rows=3000, bytes=200_000, seconds=2, characters=200)
    gateway.socket(CAPPED)
    return gateway


def run_capped(gateway: Any, sql: str) -> Any:
    return gateway.fetch(sql, gateway.token(project=CAPPED), gateway.socket(CAPPED))


def test_more_than_100_mb_stream_through_without_piling_up(gateway: Any) -> None:
    sql = "SELECT i, repeat('x', 100) AS text FROM range(1_500_000) r(i)"
    peak = 0.0
    with gateway.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()
        before = resident_mb(gateway.front.pid)
        cursor.execute(sql)
        rows = size = 0
        with cursor.fetch_record_batch() as reader:
            for batch in reader:
                rows, size = rows + batch.num_rows, size + batch.nbytes
                assert batch.nbytes <= 8 << 20
                peak = max(peak, resident_mb(gateway.front.pid))
    assert rows == 1_500_000
    assert size > 100e6
    assert peak - before < size / 1e6, "the front holds less than the whole result"
    gateway.wait_for(lambda: gateway.wait_event("query:outcome", status="ok")["counts"]["rows"] == rows)
    assert gateway.wait_event("query:outcome", status="ok")["counts"]["bytes"] > 0


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("FROM range(3001)", "allows 3000 rows for one query"),
        ("SELECT repeat('x', 1000) FROM range(2000)", "allows 200000 bytes for one query"),
        ("SELECT 1 AS " + "a" * 200, "allows 200 characters for one statement, found 212"),
        (SLOW_SQL, "allows 2 seconds for one query"),
    ],
)
def test_a_cap_of_the_permit_ends_the_query_and_is_named(capped: Any, sql: str, sentence: str) -> None:
    with pytest.raises(Error, match=sentence):
        run_capped(capped, sql)
    assert run_capped(capped, "SELECT count(*) FROM visit") == [(5000,)]


def test_a_query_within_the_caps_is_whole(capped: Any) -> None:
    assert len(run_capped(capped, "FROM range(3000)")) == 3000


def test_capped_queries_have_an_outcome_that_says_so(capped: Any) -> None:
    with pytest.raises(Error):
        run_capped(capped, "FROM range(3001)")
    leaf = capped.wait_event("query:outcome", status="cap")
    assert leaf["counts"]["rows"] <= 3000


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT length(repeat('x', 2_000_000_000))",
        "SELECT list_sum(range(1_000_000_000))",
        "SELECT levenshtein(repeat('a', 90_000), repeat('b', 90_000))",
    ],
)
def test_a_bomb_ends_within_its_time_and_the_next_query_works(capped: Any, sql: str) -> None:
    started_at = time.monotonic()
    with pytest.raises(Error):
        run_capped(capped, sql)
    assert time.monotonic() - started_at < 60
    assert run_capped(capped, "SELECT count(*) FROM visit") == [(5000,)]


def test_cancelling_stops_the_worker_and_is_recorded(gateway: Any) -> None:
    failures: list[BaseException] = []
    with gateway.connect() as connection, connection.cursor() as cursor:

        def run() -> None:
            try:
                cursor.execute(SLOW_SQL)
                cursor.fetchall()
            except Error as error:
                failures.append(error)

        before = len(gateway.events("query:intent"))
        thread = threading.Thread(target=run)
        thread.start()
        gateway.wait_for(lambda: len(gateway.events("query:intent")) > before, what="the intent")
        cursor.adbc_cancel()
        thread.join(60)
    assert failures and "Cancel" in str(failures[0])
    gateway.wait_event("query:outcome", status="cancelled")
    at_rest(gateway)


def at_rest(gateway: Any) -> None:
    """The worker uses no processor time any more."""

    def idle() -> bool:
        before = worker_seconds(gateway)
        time.sleep(0.5)
        return worker_seconds(gateway) - before < 0.1

    gateway.wait_for(idle, seconds=60, what="an idle worker")


def test_a_client_that_goes_away_in_the_middle_stops_the_query(gateway: Any) -> None:
    with gateway.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT i, repeat('y', 100) FROM range(100_000_000) r(i)")
        reader = cursor.fetch_record_batch()
        reader.read_next_batch()
        reader.close()
    leaf = gateway.wait_event("query:outcome", status="cancelled")
    assert leaf["counts"]["rows"] < 100_000_000
    at_rest(gateway)
