"""All workers of the front: one per person and project, so that nobody's query can touch another person's.

Started on demand, replaced when dead, stopped after ten idle minutes or when their person may no longer ask, limited
in number. A project's workers share a uid (they read the same extract) and its parser; nothing else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from enclave.domain.ids import PersonId, ProjectId
from enclave.gateway.checked_extracts import CheckedExtracts
from enclave.gateway.parser import StatementParser
from enclave.gateway.person_worker import MAXIMUM_STREAMS, PersonWorker, WorkerKey, WorkerPlace
from enclave.gateway.worker_folders import remove_folder
from enclave.gateway.worker_process import FIRST_UID, WorkerLimits
from enclave.gateway.worker_standing import WorkerStanding
from enclave.gateway.worker_stream import QueryFailedError

__all__ = ["MAXIMUM_STREAMS", "PersonWorker", "WorkerPool"]
_log = structlog.get_logger()
IDLE_SECONDS = 600.0
MAXIMUM_WORKERS = 32
MAXIMUM_WORKERS_PER_PROJECT = 12
_SPARED_SECONDS = 5.0
"""A worker used so recently does not have to make room for another."""


@dataclass
class _Shared:
    """What the people of one project share."""

    uid: int
    parser: StatementParser
    used_at: float


class WorkerPool:
    """``worker(project, person)`` and ``parser(project)``. Thread-safe."""

    def __init__(
        self,
        run_dir: Path,
        projects_dir: Path,
        on_restart: Callable[[ProjectId], None],
        limits: WorkerLimits | None = None,
        maximum: int = MAXIMUM_WORKERS,
        maximum_per_project: int = MAXIMUM_WORKERS_PER_PROJECT,
        *,
        uid_of: Callable[[ProjectId], int] | None = None,
    ) -> None:
        """``uid_of``: the uid of a project's workers; None: counted here, for a single front."""
        self._folder, self._projects_dir, self._on_restart = run_dir / "gw", projects_dir, on_restart
        self._limits = limits or WorkerLimits()
        self._maximum, self._maximum_per_project = maximum, maximum_per_project
        self._uid_of = uid_of
        self._checked = CheckedExtracts()
        self._lock = threading.Lock()
        self._shared: dict[ProjectId, _Shared] = {}
        self._workers: dict[WorkerKey, PersonWorker] = {}

    def remove_left_over(self) -> None:
        """What a front that was killed left of its workers: sockets, spilled rows, copies of the rows a person may see.

        Call while the front's name is held, before anybody is served.
        """
        remove_folder(self._folder)

    def parser(self, project: ProjectId) -> StatementParser:
        """The project's parser."""
        with self._lock:
            return self._of_project(project).parser

    def worker(self, project: ProjectId, person: PersonId) -> PersonWorker:
        """That person's worker in that project; it starts when it is first asked for something."""
        with self._lock:
            key = (project, person)
            if key not in self._workers:
                place = WorkerPlace(
                    key,
                    self._folder / project / person / "w.sock",
                    self._projects_dir / project / "scratch" / person,
                    self._of_project(project).uid,
                    self._limits,
                )
                self._workers[key] = PersonWorker(place, self._checked, self._admit, self._on_restart)
            return self._workers[key]

    def stop_idle(self) -> None:
        """Call about once a second."""
        now = time.monotonic()
        for worker in self._all():
            worker.stop_if_idle(now, IDLE_SECONDS)
        with self._lock:
            idle = [shared for shared in self._shared.values() if now - shared.used_at > IDLE_SECONDS]
        for shared in idle:
            shared.parser.close()

    def follow(self, standing: WorkerStanding) -> None:
        """Stop the workers of people and projects that may no longer ask, and those that nothing runs in and that were
        started for another extract or under other rules; call about once a second."""
        for worker in self._all():
            if not worker.is_started:
                continue
            if not standing.may_ask(*worker.key):
                _log.info("worker-stopped-no-access", project=worker.key[0], person=worker.key[1])
                worker.stop()
                continue
            source = standing.find_source(*worker.key)
            if source is not None:
                worker.stop_unless_for(source)

    def count(self) -> int:
        """Workers that run or start."""
        return sum(worker.is_started for worker in self._all())

    def close(self) -> None:
        """End every process."""
        for worker in self._all():
            worker.stop()
        with self._lock:
            shared = list(self._shared.values())
        for found in shared:
            found.parser.close()

    def _of_project(self, project: ProjectId) -> _Shared:
        now = time.monotonic()
        if project not in self._shared:
            uid = self._uid_of(project) if self._uid_of else FIRST_UID + len(self._shared)
            self._shared[project] = _Shared(uid, StatementParser(uid), now)
        self._shared[project].used_at = now
        return self._shared[project]

    def _admit(self, worker: PersonWorker) -> None:
        """Make room for one more worker, or raise QueryFailedError. Marks the worker as started.

        Nobody else waits for the worker that ends to make room: the lock is for looking and marking alone.
        """
        while True:
            with self._lock:
                in_the_way, how_many = self._in_the_way(worker)
                if not in_the_way:
                    worker.is_started = True
                    return
            if not _stop_longest_idle(in_the_way):
                raise QueryFailedError("cap", f"{how_many} at this moment, as many as may. Try again in a few minutes.")

    def _in_the_way(self, worker: PersonWorker) -> tuple[list[PersonWorker], str]:
        """The workers of which one would have to end first, and why; none when there is room. Under the lock."""
        started = [found for found in self._workers.values() if found.is_started and found is not worker]
        of_project = [found for found in started if found.key[0] == worker.key[0]]
        if len(of_project) >= self._maximum_per_project:
            return of_project, f"{self._maximum_per_project} people are querying this project"
        if len(started) >= self._maximum:
            return started, f"{self._maximum} people are querying here"
        return [], ""

    def _all(self) -> list[PersonWorker]:
        with self._lock:
            return list(self._workers.values())


def _stop_longest_idle(workers: list[PersonWorker]) -> bool:
    now = time.monotonic()
    by_use = sorted(workers, key=lambda found: found.used_at)
    return any(worker.stop_if_idle(now, _SPARED_SECONDS) for worker in by_use)
