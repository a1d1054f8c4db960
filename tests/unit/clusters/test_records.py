"""The end of a cluster is recorded once, whoever tries when; a cluster that cannot be noted does not start."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from audit.client import AuditRefused, AuditUnavailable
from audit.event import AuditEvent, Envelope
from enclave.clusters import records
from enclave.clusters.records import Owner, RecordingFailedError, Records
from enclave.domain.events import EventType
from enclave.domain.ids import PersonId, ProjectId, WorkspaceId
from enclave.gateway.admission import Caller, Door
from enclave.settings import Settings

DOOR = Door(ProjectId("heart-study"), None, WorkspaceId("w-0123456789ab"), PersonId("u-0123456789ab"))
OWNER = Owner("u-0123456789ab", "heart-study", "w-0123456789ab")
CLUSTER = "a" * 32
CALLER = cast(Caller, SimpleNamespace(policies=("a-policy",), claims=SimpleNamespace(token_id="t-1")))


class Log:
    """Keeps one record per envelope, as the daemon does; ``asked`` counts what it was sent, ``refused``: subjects."""

    writer = "clusters"

    def __init__(self, *_: object) -> None:
        self.kept: dict[str, AuditEvent] = {}
        self.asked = 0
        self._numbers = itertools.count(1)
        self.is_away = False
        self.refused: set[str] = set()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.is_asked = threading.Event()

    def new_envelope(self) -> Envelope:
        number = next(self._numbers)
        return Envelope(f"e-{number}", "clusters", "b", number)

    def record(self, event: AuditEvent, *, envelope: Envelope | None = None, **_: object) -> None:
        self.asked += 1
        self.is_asked.set()
        assert self.may_answer.wait(60)
        if self.is_away:
            raise AuditUnavailable("away")
        if event.subject in self.refused:
            raise AuditRefused("no such form")
        self.kept.setdefault((envelope or self.new_envelope()).event_id, event)

    def of(self, kind: EventType) -> list[AuditEvent]:
        return [event for event in self.kept.values() if event.type == kind]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    made = Log()
    monkeypatch.setattr(records, "AuditClient", lambda *_: made)
    return made


@pytest.fixture
def kept(tmp_path: Path, log: Log) -> Records:
    return Records(Settings(home=tmp_path))


def test_an_end_that_is_under_way_is_not_sent_again_as_late(kept: Records, log: Log) -> None:
    """The service looks once a second for ends to make up for, also while one waits for the log's answer."""

    async def run() -> None:
        await kept.started(OWNER, CLUSTER, CALLER, 2, [])
        log.asked = 0
        log.is_asked.clear()
        log.may_answer.clear()
        stopping = asyncio.create_task(kept.stopped(OWNER, CLUSTER, "asked"))
        assert await asyncio.to_thread(log.is_asked.wait, 60)
        await kept.settle()
        log.may_answer.set()
        await stopping
        await kept.settle()

    asyncio.run(run())
    (event,) = log.of(EventType.CLUSTER_STOPPED)
    assert log.asked == 1
    assert event.data == {"reason": "asked"}


def test_an_end_that_the_log_could_not_take_is_made_up_for_once(kept: Records, log: Log, tmp_path: Path) -> None:
    async def run() -> None:
        await kept.started(OWNER, CLUSTER, CALLER, 2, [])
        log.is_away = True
        await kept.stopped(OWNER, CLUSTER, "asked")
        await kept.settle()
        log.is_away = False
        await kept.settle()
        await kept.settle()

    asyncio.run(run())
    (event,) = log.of(EventType.CLUSTER_STOPPED)
    assert event.data["late"] is True and event.data["reason"] == "asked"
    assert Records(Settings(home=tmp_path)).left_over() == {}


def test_an_end_the_log_refuses_for_good_holds_up_no_other(kept: Records, log: Log, tmp_path: Path) -> None:
    other = "b" * 32

    async def run() -> None:
        for cluster in (CLUSTER, other):
            await kept.started(OWNER, cluster, CALLER, 2, [])
        log.is_away = True
        for cluster in (CLUSTER, other):
            await kept.stopped(OWNER, cluster, "asked")
        log.is_away, log.refused = False, {CLUSTER}
        await kept.settle()

    asyncio.run(run())
    (notice,), (end,) = log.of(EventType.RECORD_SET_ASIDE), log.of(EventType.CLUSTER_STOPPED)
    assert (notice.data["kind"], end.subject) == (EventType.CLUSTER_STOPPED, other)
    assert Records(Settings(home=tmp_path)).left_over() == {}


def test_a_cluster_that_cannot_be_noted_is_refused_on_record(kept: Records, log: Log) -> None:
    """A full disk, here a folder that is gone: nobody would know of the cluster after a restart."""
    shutil.rmtree(kept._folder)
    with pytest.raises(RecordingFailedError, match="disk"):
        asyncio.run(kept.started(OWNER, CLUSTER, CALLER, 2, []))
    (event,) = log.kept.values()
    assert (event.type, event.decision, event.data) == (EventType.CLUSTER_REFUSED, "deny", {"rule": "not-noted"})


def test_refusals_that_wait_for_the_log_take_no_threads_from_others(kept: Records, log: Log) -> None:
    async def run() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        log.may_answer.clear()
        refusals = [asyncio.create_task(kept.refused(DOOR, "a-rule", "A sentence.")) for _ in range(10)]
        assert await asyncio.wait_for(asyncio.to_thread(log.is_asked.wait, 60), 60)
        log.may_answer.set()
        await asyncio.gather(*refusals)

    asyncio.run(run())
    assert len(log.of(EventType.CLUSTER_REFUSED)) == 10


def test_a_note_that_cannot_be_removed_keeps_no_cluster_alive(kept: Records, log: Log) -> None:
    async def run() -> None:
        await kept.started(OWNER, CLUSTER, CALLER, 2, [])
        note: Any = kept._path(CLUSTER)
        note.unlink()
        note.mkdir()
        await kept.stopped(OWNER, CLUSTER, "asked")

    asyncio.run(run())
    assert len(log.of(EventType.CLUSTER_STOPPED)) == 1
