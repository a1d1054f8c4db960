"""Statements that ignore DuckDB's limits: each ends in time, its person's other queries end with an error and never
short, and everybody else's go on.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from adbc_driver_manager import Error
from enclave_test_live_processes import cpu_seconds_below  # type: ignore[import-not-found]

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


_TOO_LONG = f"allows {SECONDS} seconds for one query"
_TOO_LARGE = r"worker has \d+ MiB of memory and \d+ MiB on disk"
CAPS = {
    "levenshtein": (BOMBS["levenshtein"], _TOO_LONG),
    "cross join": (BOMBS["cross join"], _TOO_LONG),
    "in the middle of its rows": (
        "SELECT i, CASE WHEN i < 300_000 THEN 0 ELSE levenshtein(repeat('a', 5000), repeat(chr(97 + i % 3), 5000)) END"
        " FROM (SELECT i::INTEGER AS i FROM range(3_000_000) r(i))",
        _TOO_LONG,
    ),
    "list of a thousand million": (BOMBS["list of a thousand million"], _TOO_LARGE),
    "an allocation that invalidates the instance": (
        "SELECT reservoir_quantile(i, 0.5, 1_000_000_000) FROM range(1_000_000_000) t(i)",
        _TOO_LARGE,
    ),
}


def is_recorded_as_cap(gateway: Any, before: int) -> bool:
    """Has one of the intents since then (a schema's, or the rows') ended with the status cap?"""
    ours = {leaf["request_id"] for leaf in gateway.events("query:intent")[before:]}
    ends = [leaf for leaf in gateway.events("query:outcome") if leaf["request_id"] in ours]
    return any(leaf["data"]["status"] == "cap" for leaf in ends)


@pytest.mark.parametrize("name", CAPS)
def test_who_sent_it_is_told_which_cap_was_met_and_so_is_the_record(bombed: Any, name: str) -> None:
    sql, sentence = CAPS[name]
    before = len(bombed.events("query:intent"))
    with pytest.raises(Error, match=sentence):
        fetch(bombed, ALICE, sql)
    bombed.wait_for(lambda: is_recorded_as_cap(bombed, before), what="the outcome")


def processes_of(pid: int) -> list[int]:
    """The process and all it started."""
    found, children = [pid], {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children.setdefault(int(stat.read_text().rsplit(")", 1)[1].split()[1]), []).append(int(stat.parent.name))
    for parent in found:
        found += children.get(parent, [])
    return found


def test_a_worker_that_ends_where_no_allocation_can_fail_says_memory(bombed: Any) -> None:
    """std::terminate aborts the process: nothing in it can say why any more, but its exit code does."""
    fetch(bombed, BOB, "SELECT 1")
    before, failures = len(bombed.events("query:intent")), list[str]()

    def worked() -> float:
        return float(cpu_seconds_below(bombed.front.pid, b"worker_start"))

    idle = worked()

    def run() -> None:
        try:
            fetch(bombed, BOB, BOMBS["cross join"])
        except Error as error:
            failures.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    bombed.wait_for(lambda: len(bombed.events("query:intent")) > before, what="the intent")
    bombed.wait_for(lambda: worked() > 0.3 + idle, what="the worker to be at it")
    for pid in processes_of(bombed.front.pid):
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"worker_start" in command and b"bwrap" not in command.split(b"\0")[0]:
                os.kill(pid, signal.SIGABRT)
    thread.join(60)
    assert failures and re.search(_TOO_LARGE, failures[0])
    bombed.wait_for(lambda: is_recorded_as_cap(bombed, before), what="the outcome")


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
