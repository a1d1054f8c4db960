"""One worker per person: separate processes, a limited number, stopped with the access, scratch with a quota."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from adbc_driver_manager import Error
from enclave_test_live_processes import cpu_seconds_below  # type: ignore[import-not-found]
from pyarrow import flight

from enclave.domain.ids import PersonId, ProjectId
from enclave.gateway import flightsql as fs
from enclave.gateway.extract_source import ExtractSource
from enclave.gateway.person_worker import PersonWorker
from enclave.gateway.protobuf_wire import field_bytes
from enclave.gateway.scratch_names import ScratchKind, ScratchWrite
from enclave.gateway.worker_pool import WorkerPool
from enclave.gateway.worker_process import WorkerLimits
from enclave.gateway.worker_stream import QueryFailedError, WorkerRequest

PROJECT = ProjectId("heart-study")
ALICE, BOB, CAROL = (PersonId(f"u-00000000000{n}") for n in (1, 2, 3))
QUOTA_MB = 16


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="en", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def extract(home: Path) -> Path:
    build: Any = sys.modules["gateway_stack"].build_extract
    for version in ("v1", "v2"):
        build(home / version, PROJECT, (f"CREATE TABLE t AS SELECT '{version}' AS v",), "0" * 64)
    return home / "v1"


@contextlib.contextmanager
def pool_of(home: Path, **options: Any) -> Iterator[WorkerPool]:
    pool = WorkerPool(home / "run", home / "projects", lambda project: None, **options)
    try:
        yield pool
    finally:
        pool.close()


def ask(worker: PersonWorker, folder: Path, sql: str, write: ScratchWrite | None = None) -> list[dict[str, Any]]:
    stream = worker.open_stream(ExtractSource(folder), WorkerRequest(sql, 30, write=write), lambda: False)
    stream.read_schema()
    return [row for batch, _ in stream.batches() for row in batch.to_pylist()]


def create(name: str, select: str) -> ScratchWrite:
    sql = f'CREATE TABLE scratch.main."{name}" AS {select}'
    return ScratchWrite(name, ScratchKind.TABLE, sql, makes=True)


def test_two_people_have_two_processes_and_one_end_does_not_touch_the_other(home: Path, extract: Path) -> None:
    with pool_of(home) as pool:
        alice, bob = pool.worker(PROJECT, ALICE), pool.worker(PROJECT, BOB)
        long_query = WorkerRequest("SELECT i FROM range(3_000_000) r(i)", 60)
        stream = bob.open_stream(ExtractSource(extract), long_query, lambda: False)
        stream.read_schema()
        ask(alice, extract, "FROM t")
        assert pool.count() == 2
        alice.stop()
        assert sum(batch.num_rows for batch, _ in stream.batches()) == 3_000_000


def test_the_number_of_workers_is_limited_and_idle_ones_make_room(home: Path, extract: Path) -> None:
    with pool_of(home, maximum_per_project=2) as pool:
        workers = [pool.worker(PROJECT, person) for person in (ALICE, BOB, CAROL)]
        for worker in workers[:2]:
            worker.enter()
            ask(worker, extract, "FROM t")
        with pytest.raises(QueryFailedError, match="2 people are querying this project at this moment"):
            ask(workers[2], extract, "FROM t")
        workers[0].leave()
        workers[0].used_at -= 60
        assert ask(workers[2], extract, "FROM t") == [{"v": "v1"}]
        assert [worker.is_started for worker in workers] == [False, True, True]


def test_the_number_of_workers_of_all_projects_is_limited(home: Path, extract: Path) -> None:
    with pool_of(home, maximum=1) as pool:
        first, second = pool.worker(PROJECT, ALICE), pool.worker(ProjectId("lung-study"), ALICE)
        first.enter()
        ask(first, extract, "FROM t")
        with pytest.raises(QueryFailedError, match="1 people are querying here"):
            ask(second, extract, "FROM t")


def test_the_quota_of_the_scratch_space_is_kept_and_named(home: Path, extract: Path) -> None:
    with pool_of(home, limits=WorkerLimits(scratch=QUOTA_MB, memory=512)) as pool:
        worker = pool.worker(PROJECT, ALICE)
        ask(worker, extract, "", create("small", "SELECT 1 AS a"))
        with pytest.raises(QueryFailedError, match=f"holds {QUOTA_MB} MiB"):
            ask(worker, extract, "", create("large", "SELECT hash(i) AS a, uuid() AS b FROM range(60_000_000) r(i)"))
        assert ask(worker, extract, "FROM small") == [{"a": 1}]
        assert [item.name for item in worker.scratch_names(ExtractSource(extract)).objects] == ["small"]
        file = worker.place.scratch / "scratch.duckdb"
        assert file.stat().st_size < (QUOTA_MB + 512) << 20
        for number in range(40):
            sql = "SELECT uuid() AS a, hash(i) AS b FROM range(100_000) r(i)"
            try:
                ask(worker, extract, "", create(f"t{number}", sql))
            except QueryFailedError as error:
                assert f"holds {QUOTA_MB} MiB" in error.sentence
                break
        else:
            raise AssertionError("the quota was never met")
        ask(worker, extract, "", ScratchWrite("t0", ScratchKind.TABLE, "DROP TABLE scratch.main.t0", grows=False))
        assert ask(worker, extract, "FROM small") == [{"a": 1}]


def test_spilling_has_a_quota_and_its_folder_goes_with_the_worker(home: Path, extract: Path) -> None:
    sort = "SELECT max(t) FROM (SELECT repeat('x', 50) || i AS t FROM range(6_000_000) r(i) ORDER BY hash(i) OFFSET 1)"
    answers: list[int | str] = []
    for spill_mb in (30, 2000):
        with pool_of(home, limits=WorkerLimits(spill=spill_mb, memory=128)) as pool:
            worker = pool.worker(PROJECT, ALICE)
            try:
                answers.append(len(ask(worker, extract, sort)))
            except QueryFailedError as error:
                answers.append(error.sentence)
            assert ask(worker, extract, "FROM t") == [{"v": "v1"}]
            folder = worker.place.socket_path.parent / "spill"
            assert folder.exists()
        assert not folder.exists()
    assert "30 MiB on disk" in str(answers[0]) and answers[1] == 1


def test_scratch_survives_a_new_extract_and_a_kill_in_the_middle_of_a_write(home: Path, extract: Path) -> None:
    with pool_of(home) as pool:
        worker = pool.worker(PROJECT, ALICE)
        ask(worker, extract, "", create("kept", "SELECT v FROM t"))
        write = create("half", "SELECT uuid() AS a, hash(i) AS b FROM range(50_000_000) r(i)")
        stream = worker.open_stream(ExtractSource(extract), WorkerRequest("", 60, write=write), lambda: False)
        file = worker.place.scratch / "scratch.duckdb"
        sys.modules["gateway_stack"].wait_for(lambda: file.stat().st_size > 20 << 20, what="a growing file")
        process = worker._process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(QueryFailedError, match="worker ended while this query ran"):
            stream.read_schema()
        new = extract.parent / "v2"
        assert ask(worker, new, "SELECT kept.v AS old, t.v AS new FROM kept, t") == [{"old": "v1", "new": "v2"}]
        assert [item.name for item in worker.scratch_names(ExtractSource(new)).objects] == ["kept"]
        tables = worker.scratch_tables(ExtractSource(new))
        assert [(found.item.name, found.schema.names) for found in tables] == [("kept", ["v"])]


def test_a_scratch_file_that_cannot_be_opened_leaves_the_extract_usable(home: Path, extract: Path) -> None:
    with pool_of(home) as pool:
        worker = pool.worker(PROJECT, ALICE)
        worker.place.scratch.mkdir(parents=True)
        (worker.place.scratch / "scratch.duckdb").write_bytes(b"this is no database" * 1000)
        assert ask(worker, extract, "FROM t") == [{"v": "v1"}]
        with pytest.raises(QueryFailedError, match="Your scratch space cannot be opened"):
            ask(worker, extract, "", create("a", "SELECT 1"))


def test_the_second_worker_of_an_extract_need_not_hash_it_again(home: Path, extract: Path) -> None:
    with pool_of(home) as pool:
        ask(pool.worker(PROJECT, ALICE), extract, "FROM t")
        ask(pool.worker(PROJECT, BOB), extract, "FROM t")
        plans = [pool.worker(PROJECT, person)._process.plan.is_checked for person in (ALICE, BOB)]  # type: ignore[union-attr]
        assert plans == [False, True]
        os.utime(extract / "extract.duckdb")
        ask(pool.worker(PROJECT, CAROL), extract, "FROM t")
        process = pool.worker(PROJECT, CAROL)._process
        assert process is not None and not process.plan.is_checked and process.landlock >= 1


def test_a_stream_of_somebody_whose_access_ends_is_stopped(fresh_gateway: Any) -> None:
    gateway = fresh_gateway
    gateway.add_project(members=frozenset({ALICE, BOB}))
    rows = gateway.fetch("SELECT count(*) FROM person", gateway.token(person=BOB))
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {gateway.token()}".encode())])
    sql = "SELECT i, repeat('x', 100) FROM range(20_000_000) r(i)"
    descriptor = flight.FlightDescriptor.for_command(fs.pack_any("CommandStatementQuery", field_bytes(1, sql)))
    with flight.connect(f"grpc+unix://{gateway.socket()}") as client:
        reader = client.do_get(client.get_flight_info(descriptor, options).endpoints[0].ticket, options)
        reader.read_chunk()
        gateway.access.write_people([replace(gateway.people[ALICE], active=False), gateway.people[BOB]])
        gateway.wait_for(lambda: not worker_folder(gateway, ALICE).exists(), what="the end of her worker")
        with pytest.raises(flight.FlightError, match=r"revoked|worker ended while this query ran"):
            reader.read_all()
    gateway.wait_event("query:outcome", status="revoked")
    assert gateway.fetch("SELECT count(*) FROM person", gateway.token(person=BOB)) == rows
    with pytest.raises(Error, match="revoked"):
        gateway.fetch("SELECT 1")


def worker_folder(gateway: Any, person: PersonId) -> Path:
    return gateway.settings.run_dir / "gw" / PROJECT / person / "spill"  # type: ignore[no-any-return]


def kill_workers(folder: Path) -> int:
    """kill -9 of every worker that has its spill folder there."""
    killed = 0
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = entry.read_bytes()
            if command.startswith(b"bwrap") and str(folder).encode() in command:
                os.kill(int(entry.parent.name), signal.SIGKILL)
                killed += 1
    return killed


@pytest.mark.parametrize("stage", ["before the schema", "in the stream", "before the outcome"])
def test_kill_9_at_each_stage_is_an_error_and_never_a_short_result(fresh_gateway: Any, stage: str) -> None:
    gateway, rows = fresh_gateway, 3_000_000
    assert gateway.fetch("SELECT 1") == [(1,)]
    slow = "(SELECT count(*) FROM range(100_000_000) a(i), range(1_000) b(j) WHERE (i * j) % 7 = 3)"
    queries = {
        "before the schema": f"SELECT {slow}",
        "in the stream": f"SELECT i, repeat('x', 100) FROM range({rows}) r(i)",
        "before the outcome": "SELECT i FROM range(400_000) r(i) WHERE i < 390_000 OR "
        "levenshtein(repeat('a', 60_000 + i::INTEGER % 7), repeat('b', 60_000)) > 0",
    }
    failures: list[BaseException] = []
    seen: list[int] = []

    def run() -> None:
        try:
            with gateway.connect() as connection, connection.cursor() as cursor:
                cursor.execute(queries[stage])
                for batch in cursor.fetch_record_batch():
                    seen.append(batch.num_rows)
                    if stage == "in the stream":
                        time.sleep(0.05)
        except Exception as error:
            failures.append(error)

    def worked() -> float:
        return float(cpu_seconds_below(gateway.front.pid, b"enclave.gateway.worker"))

    before, idle = len(gateway.events("query:intent")), worked()
    thread = threading.Thread(target=run)
    thread.start()
    gateway.wait_for(lambda: len(gateway.events("query:intent")) > before, what="the intent")
    gateway.wait_for(lambda: stage != "before the schema" or worked() > 0.3 + idle, what="the worker to be at it")
    least = {"before the schema": 0, "in the stream": 1, "before the outcome": 60_000}[stage]
    gateway.wait_for(lambda: sum(seen) >= least, what="the first rows")
    assert kill_workers(gateway.settings.run_dir / "gw" / PROJECT / ALICE) >= 1, "bubblewrap and its init"
    thread.join(60)
    assert "worker ended while this query ran" in str(failures[0])
    assert sum(seen) < rows
    leaf = gateway.wait_event("query:outcome", status="error")
    assert leaf["counts"]["rows"] >= sum(seen)
    assert gateway.fetch("SELECT 1") == [(1,)]
