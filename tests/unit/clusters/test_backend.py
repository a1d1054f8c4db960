"""The start of a cluster, up to the moment at which it is dask-gateway's: its records, and what is kept of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from dask_gateway_server.backends.base import PublicException
from dask_gateway_server.backends.db_base import DataManager, JobStatus
from dask_gateway_server.workqueue import WorkQueue

from enclave.clusters import backend as module
from enclave.clusters.backend import IslandBackend
from enclave.clusters.entrances import Entrances
from enclave.clusters.islands import HostSocket
from enclave.clusters.records import RecordingFailedError
from enclave.settings import Settings

WORKSPACE = "w-0123456789ab"


class UnsafeRecords:
    """Writes down what was recorded in which order; a start when ``may_answer`` is set."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.may_answer, self.is_asked = asyncio.Event(), asyncio.Event()
        self.is_away = False

    async def started(self, *_: object) -> None:
        self.is_asked.set()
        await self.may_answer.wait()
        if self.is_away:
            raise RecordingFailedError("The log is away.")
        self.made.append("started")

    async def stopped(self, owner: object, cluster: str, reason: str) -> None:
        self.made.append(f"stopped: {reason}")

    async def refused(self, door: object, rule: str, *_: object) -> None:
        self.made.append(f"refused: {rule}")


@pytest.fixture
def records() -> UnsafeRecords:
    return UnsafeRecords()


@pytest.fixture
def backend(tmp_path: Path, records: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Without server, proxy and host."""
    monkeypatch.setattr(HostSocket, "poll", AsyncMock(return_value={}))
    made: Any = IslandBackend()
    made.use(Settings(home=tmp_path, cluster_workers=2), None, Entrances(), records)
    made.db, made.proxy = DataManager(), Mock(remove_route=AsyncMock())
    with asyncio.Runner() as runner:
        made.run = runner.run
        made.run(add_queue(made))
        yield made
    made.db.db.dispose()


async def add_queue(made: Any) -> None:
    """In the loop that the test runs in."""
    made.queue = WorkQueue()


def user(name: str = WORKSPACE) -> Any:
    terms = SimpleNamespace(memory_mb=1024, processes=64, disk_mb=64)
    claims = SimpleNamespace(person="u-0123456789ab", project="heart-study", username="alice")
    caller = SimpleNamespace(claims=claims, files=SimpleNamespace(permit=SimpleNamespace(workspace=terms)))
    return SimpleNamespace(name=name, caller=caller, door=None, idle=timedelta(minutes=1))


def test_a_workspace_that_ends_while_its_cluster_is_being_recorded(backend: Any, records: UnsafeRecords) -> None:
    """The cluster does not begin, and its end is on record after its start."""

    async def run() -> None:
        starting = asyncio.create_task(backend.start_cluster(user(), {}))
        await records.is_asked.wait()
        await backend.end_all_but(set(), "workspace-stopped")
        (cluster,) = backend.db.name_to_cluster.values()
        await backend.reconcile_cluster(cluster)  # what dask-gateway does with it: closing, then stopped
        stopping = asyncio.create_task(backend.reconcile_cluster(cluster))
        await asyncio.sleep(0)
        assert records.made == []
        records.may_answer.set()
        with pytest.raises(PublicException, match="stopped before it began"):
            await starting
        await stopping
        assert records.made == ["started", "stopped: workspace-stopped"]
        assert cluster.status == JobStatus.STOPPED and backend._members._terms == {}

    backend.run(asyncio.wait_for(run(), 60))


def test_nothing_waits_between_the_rules_and_the_record(
    backend: Any, records: UnsafeRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two clusters of a workspace, or one whose end is not recorded because its start was not yet."""
    asked: list[bool] = []
    both = asyncio.Event()

    async def machines_for(workspace: str) -> list[str]:
        asked.append(workspace in backend.db.username_to_clusters)
        if len(asked) == 2:
            both.set()
        await both.wait()
        return ["home"]

    monkeypatch.setattr(backend._members, "machines_for", machines_for)

    async def run() -> None:
        records.may_answer.set()
        starts = [asyncio.create_task(backend.start_cluster(user(), {})) for _ in range(2)]
        found = await asyncio.gather(*starts, return_exceptions=True)
        assert {type(one) for one in found} == {str, PublicException}
        assert asked == [False, False] and sorted(records.made) == ["refused: one-cluster", "started"]

    backend.run(asyncio.wait_for(run(), 60))


def test_what_was_never_recorded_is_forgotten_in_time(backend: Any, records: UnsafeRecords) -> None:
    async def run() -> None:
        records.may_answer.set()
        records.is_away = True
        with pytest.raises(PublicException, match="away"):
            await backend.start_cluster(user(), {})

    backend.run(run())
    assert backend.db.cleanup_expired(-60) == 1 and backend.db.name_to_cluster == {}


def test_how_often_workspaces_began_clusters_is_kept_for_a_minute(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Mock(monotonic=lambda: now[0])
    now = [0.0]
    monkeypatch.setattr(module, "time", clock)
    for n in range(100):
        now[0] = float(n)
        assert backend._find_objection(f"w-{n:012x}", {}) is None
    assert len(backend._starts) == 60
    found = [backend._find_objection(WORKSPACE, {}) for _ in range(7)]
    assert found[:6] == [None] * 6 and found[6] is not None and found[6][0] == "too-many-starts"
    now[0] += 60
    assert backend._find_objection(WORKSPACE, {}) is None and len(backend._starts) == 1
