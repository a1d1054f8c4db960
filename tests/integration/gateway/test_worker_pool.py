"""Workers of the front: replaced when the extract changes, stopped when idle, limited in number of streams."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enclave.domain.ids import PersonId, ProjectId
from enclave.gateway.extract_source import ExtractSource
from enclave.gateway.person_worker import PersonWorker
from enclave.gateway.worker_pool import IDLE_SECONDS, MAXIMUM_STREAMS, WorkerPool
from enclave.gateway.worker_stream import QueryFailedError, WorkerRequest

PROJECT = ProjectId("heart-study")
ALICE, BOB, CAROL = (PersonId(f"u-00000000000{n}") for n in (1, 2, 3))


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="en", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def pool(home: Path) -> Iterator[WorkerPool]:
    found = WorkerPool(home / "run", home / "projects", lambda project: None)
    yield found
    found.close()


@pytest.fixture
def extracts(home: Path, request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """Two versions of one extract."""
    import sys

    build: Any = sys.modules["gateway_stack"].build_extract
    for version in ("v1", "v2"):
        build(home / version, PROJECT, (f"CREATE TABLE t AS SELECT '{version}' AS v",), "0" * 64)
    return home / "v1", home / "v2"


def answer(worker: PersonWorker, folder: Path) -> str:
    stream = worker.open_stream(ExtractSource(folder), WorkerRequest("SELECT v FROM t", 30), lambda: False)
    stream.read_schema()
    ((batch, _),) = list(stream.batches())
    return str(batch.to_pylist()[0]["v"])


def test_a_new_extract_version_gets_a_new_worker(pool: WorkerPool, extracts: tuple[Path, Path]) -> None:
    worker = pool.worker(PROJECT, ALICE)
    assert [answer(worker, extracts[0]), answer(worker, extracts[1])] == ["v1", "v2"]


def test_an_idle_worker_is_stopped_and_comes_back(pool: WorkerPool, extracts: tuple[Path, Path]) -> None:
    import time

    worker = pool.worker(PROJECT, ALICE)
    assert answer(worker, extracts[0]) == "v1"
    socket = worker.place.socket_path
    worker.stop_if_idle(time.monotonic(), IDLE_SECONDS)
    assert socket.exists()
    worker.stop_if_idle(time.monotonic() + IDLE_SECONDS + 1, IDLE_SECONDS)
    assert not socket.exists()
    assert answer(worker, extracts[0]) == "v1"


def test_a_worker_that_ends_before_it_takes_a_query_is_replaced_and_the_new_one_answers(
    pool: WorkerPool, extracts: tuple[Path, Path]
) -> None:
    worker, source = pool.worker(PROJECT, ALICE), ExtractSource(extracts[0])
    assert answer(worker, extracts[0]) == "v1"
    line = worker.find_line(source)
    assert line is not None
    for pid in descendants(line.process.pid):
        os.kill(pid, signal.SIGSTOP)
    stream = worker.open_stream(source, WorkerRequest("SELECT v FROM t", 30), lambda: False)
    line.process.kill()
    line.close()
    stream.read_schema()
    assert [batch.to_pylist() for batch, _ in stream.batches()] == [[{"v": "v1"}]]


def descendants(pid: int) -> list[int]:
    """Children first; a process that ends meanwhile is left out."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                found += [*descendants(int(child)), int(child)]
    return found


def test_a_person_runs_a_limited_number_of_queries(pool: WorkerPool) -> None:
    worker = pool.worker(PROJECT, ALICE)
    for _ in range(MAXIMUM_STREAMS):
        worker.enter()
    with pytest.raises(QueryFailedError, match=f"already run {MAXIMUM_STREAMS} queries"):
        worker.enter()
    worker.leave()
    worker.enter()


def test_a_missing_manifest_is_a_sentence(pool: WorkerPool, home: Path) -> None:
    (home / "empty").mkdir()
    with pytest.raises(QueryFailedError, match=r"manifest\.json"):
        answer(pool.worker(PROJECT, ALICE), home / "empty")
