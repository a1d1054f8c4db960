"""kill -9 of worker, front and audit daemon at each stage of a stream: the client gets an error or everything, never a
silently short result; and on record every query that began has one end. When only the daemon was away, the running
front records that end as soon as it is back.

Stages: before the schema (the worker is still binding), in the middle of the rows, and when all rows have been sent but
the outcome is not on record yet (the daemon is held, so that the end of the stream waits for it).
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from adbc_driver_manager import Error
from enclave_test_live_processes import cpu_seconds_below  # type: ignore[import-not-found]
from raw_stream import FAILURES, Stream

SMALL_SQL = "SELECT count(*) FROM person"
ROWS = 3_000_000
STREAM_SQL = f"SELECT i, repeat('x', 100) AS t FROM range({ROWS}) r(i)"
SHORT_ROWS = 600_000
"""More than the sockets hold: the front waits for the reader, so that the end of the stream is still to come."""
SHORT_SQL = f"SELECT i, repeat('x', 100) AS t FROM range({SHORT_ROWS}) r(i)"
SLOW_TO_BIND = "SELECT levenshtein(repeat('a', 60_000), repeat('b', 60_000))"
VICTIMS = ("worker", "front", "daemon")


def worker_pids(gateway: Any) -> list[int]:
    """Sandboxes of workers that this front started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
            command = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == gateway.front.pid and b"gateway.worker" in command:
            found.append(int(stat.parent.name))
    return found


def kill(gateway: Any, victim: str) -> None:
    match victim:
        case "worker":
            pids = worker_pids(gateway)
            assert pids
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        case "front":
            gateway.front.kill()
            gateway.front.wait(timeout=60)
            gateway.settings.gateway_control_socket.unlink(missing_ok=True)
        case "daemon":
            gateway.kill_daemon()


def bring_back(gateway: Any, victim: str) -> None:
    if victim == "front":
        gateway.start_front()
    if victim == "daemon":
        gateway.start_daemon()


@pytest.fixture
def opened(fresh_gateway: Any) -> Iterator[Any]:
    """A gateway with its worker up."""
    assert fresh_gateway.fetch(SMALL_SQL) == [(1000,)]
    yield fresh_gateway


def end_of(gateway: Any, intent: dict[str, Any]) -> str:
    """How the query of this intent ended, from the log."""

    def find() -> str | None:
        for leaf in gateway.events("query:outcome"):
            if leaf["request_id"] == intent["request_id"]:
                return str(leaf["data"]["status"])
        return None

    return str(gateway.wait_for(find, what="the outcome"))


def has_one_end_each(gateway: Any) -> bool:
    """Every intent has exactly one outcome, and every outcome an intent."""
    begun, ended = ([leaf["request_id"] for leaf in gateway.events(f"query:{kind}")] for kind in ("intent", "outcome"))
    return bool(begun) and sorted(begun) == sorted(ended)


def newest_intent(gateway: Any, before: int) -> dict[str, Any]:
    found = gateway.wait_for(lambda: gateway.events("query:intent")[before:], what="the intent")
    return dict(found[-1])


def check_end(gateway: Any, victim: str, intent: dict[str, Any]) -> None:
    status = end_of(gateway, intent)
    # "ok" is true as well when the front dies between the record of the end and the end itself: every row was sent
    assert status in {"worker": ("error",), "front": ("lost", "ok"), "daemon": ("ok", "error")}[victim]
    assert gateway.fetch(SMALL_SQL) == [(1000,)]
    gateway.wait_for(lambda: has_one_end_each(gateway), what="one outcome for each intent")
    if victim == "daemon":
        (outcome,) = [e for e in gateway.events("query:outcome") if e["request_id"] == intent["request_id"]]
        assert outcome["data"]["late"] is True and outcome["data"]["happened_at"] <= outcome["at"]
        assert outcome["counts"]["duration_ms"] > 0


@pytest.mark.parametrize("victim", VICTIMS)
def test_before_the_schema(opened: Any, victim: str) -> None:
    before = len(opened.wait_for(lambda: opened.events("query:intent")))
    stream = Stream(opened, SLOW_TO_BIND)
    failures: list[BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            stream.open()
            stream.read()
        except FAILURES as error:
            failures.append(error)
        ended.set()

    def worked() -> float:
        return float(cpu_seconds_below(opened.front.pid, b"gateway.worker"))

    idle = worked()
    thread = threading.Thread(target=run)
    thread.start()
    intent = newest_intent(opened, before)
    opened.wait_for(lambda: worked() > 0.1 + idle, what="the worker to be at it")
    assert not ended.is_set(), "still binding"
    kill(opened, victim)
    thread.join(60)
    assert failures
    assert stream.rows == 0 or victim == "daemon"  # rows may come without the daemon, but not the end
    bring_back(opened, victim)
    check_end(opened, victim, intent)


@pytest.mark.parametrize("victim", VICTIMS)
def test_in_the_middle_of_the_rows(opened: Any, victim: str) -> None:
    before = len(opened.wait_for(lambda: opened.events("query:intent")))
    stream = Stream(opened, STREAM_SQL)
    stream.open()
    stream.read(at_most=1)
    intent = newest_intent(opened, before)
    kill(opened, victim)
    with pytest.raises(FAILURES):
        stream.read()
    if victim != "daemon":  # without the daemon all rows may come, but not the end
        assert 0 < stream.rows < ROWS
    bring_back(opened, victim)
    check_end(opened, victim, intent)


@pytest.mark.parametrize("victim", VICTIMS)
def test_before_the_outcome(opened: Any, victim: str) -> None:
    before = len(opened.wait_for(lambda: opened.events("query:intent")))
    stream = Stream(opened, SHORT_SQL)
    stream.open()
    stream.read(at_most=1)
    intent = newest_intent(opened, before)
    os.kill(opened.daemon.pid, signal.SIGSTOP)
    try:
        stream.read(at_most=SHORT_ROWS)
        assert stream.rows == SHORT_ROWS
        kill(opened, victim)
    finally:
        if victim != "daemon":
            os.kill(opened.daemon.pid, signal.SIGCONT)
    if victim == "worker":
        told = "ok"  # all rows had been sent; whether the worker's word that these were all had come is a race
        try:
            stream.read()
        except FAILURES:
            told = "error"
        assert end_of(opened, intent) == told
    else:
        with pytest.raises(FAILURES):
            stream.read()
        bring_back(opened, victim)
        check_end(opened, victim, intent)
    assert opened.fetch(SMALL_SQL) == [(1000,)]


def test_before_the_intent_is_durable(opened: Any) -> None:
    """The daemon dies with the intent in its hands: nothing runs, and both records come when it is back."""
    os.kill(opened.daemon.pid, signal.SIGSTOP)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            opened.fetch(SMALL_SQL)
        except FAILURES as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    opened.kill_daemon()
    thread.join(60)
    assert "audit log does not answer" in str(failures[0])
    opened.start_daemon()
    late = opened.wait_event("query:outcome", late=True)
    assert late["data"]["status"] == "error" and late["counts"]["rows"] == 0
    opened.wait_for(lambda: has_one_end_each(opened), what="one outcome for each intent")
    assert opened.fetch(SMALL_SQL) == [(1000,)]


def test_the_end_survives_the_front_that_could_not_record_it(opened: Any) -> None:
    before = len(opened.wait_for(lambda: opened.events("query:intent")))
    stream = Stream(opened, SHORT_SQL)
    stream.open()
    stream.read(at_most=1)
    intent = newest_intent(opened, before)
    kill(opened, "daemon")
    with pytest.raises(FAILURES):
        stream.read()
    left = opened.settings.usage_dir / "late-gateway" / f"{intent['request_id']}.json"
    opened.wait_for(left.exists, what="the outcome on disk")
    assert "repeat" not in left.read_text(), "nothing of the statement"
    kill(opened, "front")
    opened.start_front()  # before the daemon: it has to wait for it
    opened.start_daemon()
    assert end_of(opened, intent) == "ok"
    assert opened.fetch(SMALL_SQL) == [(1000,)]
    opened.wait_for(lambda: has_one_end_each(opened), what="one outcome for each intent")
    (outcome,) = [e for e in opened.events("query:outcome") if e["request_id"] == intent["request_id"]]
    assert outcome["counts"]["rows"] == SHORT_ROWS and outcome["data"]["late"] is True


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_stock_client_never_takes_a_part_for_the_whole(opened: Any, victim: str) -> None:
    with opened.connect() as connection, connection.cursor() as cursor:
        cursor.execute(STREAM_SQL)
        reader = cursor.fetch_record_batch()
        reader.read_next_batch()
        kill(opened, victim)
        with pytest.raises((*FAILURES, pa.ArrowInvalid)):
            reader.read_all()
        bring_back(opened, victim)
        opened.wait_for(lambda: answers(connection), what="the same connection's next answer")
    assert opened.fetch(SMALL_SQL) == [(1000,)]


def answers(connection: Any) -> bool:
    with contextlib.suppress(Error), connection.cursor() as cursor:
        cursor.execute(SMALL_SQL)
        return bool(cursor.fetchall() == [(1000,)])
    return False
