"""The pool of workers with processes that are none: what waits for what, and what is left when something fails."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from admission_world import ALICE, PROJECT, World

from enclave.domain.ids import ExtractVersion, PersonId, ProjectId
from enclave.domain.projects import ProjectState
from enclave.gateway import parser, worker_folders, worker_process
from enclave.gateway.extract_source import ExtractSource
from enclave.gateway.gate import StatementRefusedError
from enclave.gateway.parser import StatementParser
from enclave.gateway.worker_folders import remove_folder
from enclave.gateway.worker_pool import WorkerPool
from enclave.gateway.worker_process import WorkerPlan, WorkerProcess
from enclave.gateway.worker_standing import WorkerStanding
from enclave.gateway.worker_stream import QueryFailedError
from enclave.sandbox import SandboxError

BOB = PersonId("u-00000000000b")
OTHER = ProjectId("lung-study")


@pytest.fixture
def pool(tmp_path: Path) -> WorkerPool:
    """Room for one worker."""
    return WorkerPool(tmp_path / "run", tmp_path / "projects", lambda project: None, maximum=1)


class SlowToEnd:
    """A process that says when it is being ended, and ends when it may."""

    def __init__(self) -> None:
        self.is_asked, self.may_end = threading.Event(), threading.Event()

    def kill(self) -> None:
        self.is_asked.set()
        assert self.may_end.wait(60)


def test_nobody_else_waits_for_the_worker_that_ends_to_make_room(pool: WorkerPool) -> None:
    idle, process = pool.worker(PROJECT, ALICE), SlowToEnd()
    idle._process, idle.is_started = cast(Any, process), True
    idle.used_at -= 60
    new = pool.worker(OTHER, BOB)
    admitted = threading.Thread(target=pool._admit, args=(new,), daemon=True)
    admitted.start()
    assert process.is_asked.wait(60)
    looked = threading.Event()

    def look() -> None:
        pool.worker(OTHER, ALICE), pool.parser(OTHER), pool.count()
        looked.set()

    threading.Thread(target=look, daemon=True).start()
    try:
        assert looked.wait(60)
        assert not new.is_started  # not before there is room
    finally:
        process.may_end.set()
    admitted.join(60)
    assert (idle.is_started, new.is_started) == (False, True)


def test_a_worker_that_cannot_be_started_takes_no_place(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: Any, **__: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(worker_process, "prepare_folders", full_disk)
    worker = pool.worker(PROJECT, ALICE)
    with pytest.raises(QueryFailedError, match="enclave doctor"):
        worker.table_schemas(ExtractSource(Path("/extract")))
    assert pool.count() == 0


def test_a_worker_that_says_something_else_at_its_start_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    monkeypatch.setattr(worker_process, "_launch", lambda plan: SimpleNamespace(pid=1))
    monkeypatch.setattr(WorkerProcess, "_wait_until_ready", lambda self: int("nothing we know"))
    monkeypatch.setattr(WorkerProcess, "kill", lambda self: killed.append(self.pid))
    with pytest.raises(ValueError, match="invalid literal"):
        WorkerProcess.start(WorkerPlan(tmp_path, tmp_path / "w.sock", 1))
    assert killed == [1]


def test_without_a_sandbox_a_statement_is_refused_and_no_socket_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []

    def pair() -> tuple[socket.socket, socket.socket]:
        made.extend(ends := socket.socketpair())
        return ends

    def no_bubblewrap(*_: Any, **__: Any) -> None:
        raise SandboxError("bubblewrap is missing")

    monkeypatch.setattr(parser, "socket", SimpleNamespace(socketpair=pair, socket=socket.socket))
    monkeypatch.setattr(parser, "popen", no_bubblewrap)
    with pytest.raises(StatementRefusedError, match="enclave doctor"):
        StatementParser(1).parse("SELECT 1")
    assert [end.fileno() for end in made] == [-1, -1]


def test_a_folder_goes_although_something_is_still_made_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a process of the sandbox that has not heard of its end yet."""
    folder, remove = tmp_path / "spill", worker_folders.shutil.rmtree
    folder.mkdir()
    left = ["visible-0.duckdb", "visible-0.duckdb.wal"]

    def remove_and_make(path: Path, **options: Any) -> None:
        if left:
            (path / left.pop()).touch()  # between its looking and its removing
        else:
            remove(path, **options)

    monkeypatch.setattr(worker_folders.shutil, "rmtree", remove_and_make)
    remove_folder(folder)
    assert not folder.exists()


def test_what_a_killed_front_left_of_its_workers_goes_at_the_next_start(pool: WorkerPool, tmp_path: Path) -> None:
    spill = tmp_path / "run" / "gw" / PROJECT / ALICE / "spill"
    spill.mkdir(parents=True)
    (spill / "visible-0.duckdb").write_bytes(b"rows")
    pool.remove_left_over()
    assert list((tmp_path / "run").iterdir()) == []


def test_which_worker_may_stay(world: World) -> None:
    standing = WorkerStanding(world.access)
    world.access.write_people([world.person])
    world.access.write_project(world.record)
    extract = world.folder / "extracts" / "v1"
    assert standing.find_source(PROJECT, ALICE) == ExtractSource(extract)
    assert standing.find_source(PROJECT, BOB) is None and not standing.may_ask(PROJECT, BOB)
    world.access.write_project(replace(world.record, extract_version=ExtractVersion("v2")))
    assert standing.find_source(PROJECT, ALICE) == ExtractSource(extract.with_name("v2"))
    world.access.write_project(replace(world.record, permit_sha256="0" * 64))  # the permit's file follows
    assert standing.find_source(PROJECT, ALICE) is None and standing.may_ask(PROJECT, ALICE)
    world.access.write_project(replace(world.record, state=ProjectState.CLOSED))
    assert not standing.may_ask(PROJECT, ALICE)
