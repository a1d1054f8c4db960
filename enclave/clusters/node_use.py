"""What clusters use on compute nodes, each in a ledger beside its workspace's: ``<workspace>-<cluster>.json``.

Nodes say with each poll, and at the end of a part, what its control group has used so far and holds now. They are
believed within bounds: processor time of at most ``MOST_CORES`` at once, memory up to the permit's on each machine.
Contract: a cluster goes on when its use cannot be written (``enclave.metering.watch``). Non-goal: what a part used
between the last poll and its end on a node that went away.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from enclave.clusters.records import Owner
from enclave.domain.ids import PersonId, ProjectId, WorkspaceId
from enclave.metering.ledger import Ledger, begin_ledger
from enclave.metering.readings import Reading
from enclave.metering.watch import UsageWatch

_log = structlog.get_logger()
MOST_CORES = 256


@dataclass
class _Part:
    said: Reading
    at: float


class NodeUse:
    """One cluster's."""

    def __init__(self, most_memory: int, clock: Callable[[], float] = time.monotonic) -> None:
        """``most_memory``: bytes on each machine."""
        self._most_memory, self._clock, self._began_at = most_memory, clock, clock()
        self._parts: dict[int, _Part] = {}
        self._cpu_ns = 0
        self._lock = threading.Lock()

    def note(self, part: int, said: Reading) -> None:
        """What a node says that its part has used since it began, and holds. Less than before: it is a new one."""
        now = self._clock()
        with self._lock:
            last = self._parts.get(part, _Part(Reading(0, 0), self._began_at))
            more = said.cpu_ns - last.said.cpu_ns if said.cpu_ns >= last.said.cpu_ns else said.cpu_ns
            self._cpu_ns += min(more, int((now - last.at) * MOST_CORES * 10**9))
            self._parts[part] = _Part(Reading(said.cpu_ns, min(said.memory_bytes, self._most_memory)), now)

    def has_ended(self, part: int) -> None:
        """The next one there begins with nothing."""
        with self._lock:
            if part in self._parts:
                self._parts[part] = _Part(Reading(0, 0), self._clock())

    def is_away(self, part: int) -> None:
        """Whether it goes on is not known; until then it holds nothing."""
        with self._lock:
            if (last := self._parts.get(part)) is not None:
                last.said = Reading(last.said.cpu_ns, 0)

    def read(self) -> Reading:
        """All parts together; for another thread."""
        with self._lock:
            return Reading(self._cpu_ns, sum(part.said.memory_bytes for part in self._parts.values()))


class NodeUses:
    """All clusters that may use nodes; ``folder``: ``settings.metering_dir``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, tuple[NodeUse, UsageWatch]] = {}

    def begin(self, cluster: str, owner: Owner, memory_mb: int) -> None:
        """Never raises."""
        use, name = NodeUse(memory_mb << 20), WorkspaceId(f"{owner.workspace}-{cluster}")
        try:
            path = begin_ledger(self._folder, ProjectId(owner.project), name, PersonId(owner.person))
        except OSError as error:
            _log.error("node-use-not-counted", cluster=cluster, kind=type(error).__name__)
            return
        watch = UsageWatch(Ledger(path), use.read, counts_open=False)
        self._running[cluster] = use, watch
        watch.start()

    def note(self, cluster: str, part: int, said: Reading | None) -> None:
        """At the end of a part; None: there was none."""
        if said is not None and cluster in self._running:
            self._running[cluster][0].note(part, said)

    def take_poll(self, part: int, used: Mapping[str, Reading]) -> None:
        """A node has named all parts that it has."""
        for cluster, (use, _) in self._running.items():
            if cluster in used:
                use.note(part, used[cluster])
            else:
                use.has_ended(part)

    def lose(self, part: int) -> None:
        """A node is away."""
        for use, _ in self._running.values():
            use.is_away(part)

    async def end(self, cluster: str) -> None:
        """With a last look; no error when there is none."""
        if (found := self._running.pop(cluster, None)) is not None:
            await asyncio.to_thread(found[1].end)
