"""Compute nodes as home sees them: questions, a poll every few seconds, and who is away (ADR 32).

A poll names all that may go on there, so that a node ends what an earlier home left; it brings fresh tokens, and takes
back what has ended and what was refused. One question per node at a time: a poll never overtakes a start. A node that
does not answer twice is *away*: nothing is started on it and its streams are cut. ``on_lost`` is told once, as it is of
one that has started anew. The audit log is not waited for between two polls: one that hangs ends no lease.
Contract: a node that is not there, or whose answer is none, is a ``HostAwayError``, what it will not do a
``HostRefusedError``, like a workspace's host.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog

from enclave.clusters.islands import HostAwayError, HostRefusedError
from enclave.compute_nodes.machines import Machine
from enclave.compute_nodes.refusals import believed
from enclave.compute_nodes.wire import LONGEST_COMMAND, connect_tls, read_frame, write_frame
from enclave.metering.readings import Reading
from enclave.workspaces.islands import MOST_SLOTS

_log = structlog.get_logger()
POLL_SECONDS = 2.0
_ANSWER_SECONDS, _POLL_SECONDS = 45.0, 8.0
_MISSED = 2
Question = dict[str, Any]
Record = Callable[[str, str, int], Awaitable[bool]]


async def ask(machine: Machine, client: ssl.SSLContext, question: Question, seconds: float) -> Question:
    """One question to a node. Raises HostAwayError, HostRefusedError."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await connect_tls(machine, client)
            try:
                write_frame(writer, json.dumps(question).encode())
                await writer.drain()
                answer = json.loads(await read_frame(reader, LONGEST_COMMAND))
            finally:
                writer.transport.abort()
    except (OSError, ValueError, RecursionError) as error:
        raise HostAwayError(f"The compute node {machine.name} does not answer. Look at its log.") from error
    if not isinstance(answer, dict):
        raise HostAwayError(f"The compute node {machine.name} answers something else. Update it.")
    if "problem" in answer:
        raise HostRefusedError(str(answer["problem"]))
    return answer


@dataclass(frozen=True)
class Polled:
    """A node's answer to a poll, as far as it may be believed."""

    boot: str
    image: str
    workers: int
    members: dict[str, dict[str, int | None]]
    busy: frozenset[str]
    """Clusters of which something may be left that was to end."""
    refused: dict[str, int]
    recorded: dict[str, int]
    used: dict[str, Reading]

    @classmethod
    def read(cls, answer: Question) -> Polled:
        """Raises HostAwayError: what cannot be read is no answer."""
        match answer:
            case {
                "boot": str(boot),
                "image": str(image),
                "workers": int(most),
                "clusters": dict(clusters),
                "busy": list(busy),
            } if all(map(_is_name, busy)) and all(isinstance(members, dict) for members in clusters.values()):
                counts = believed(answer.get("refused")), believed(answer.get("recorded"))
                used = _used_by_cluster(answer.get("used"))
                return cls(boot, image, min(most, MOST_SLOTS), clusters, frozenset(busy), *counts, used)
        raise HostAwayError("Expected a compute node's answer to a poll, found something else. Update it.")


def _used_by_cluster(given: object) -> dict[str, Reading]:
    read = {name: read_used(one) for name, one in given.items()} if isinstance(given, dict) else {}
    return {name: used for name, used in read.items() if used is not None}


def read_used(given: object) -> Reading | None:
    """What a node says a part has used; None for what cannot be that."""
    if not isinstance(given, list) or len(given) != 2 or not all(type(n) is int and 0 <= n < 1 << 62 for n in given):
        return None
    return Reading(*given)


def _is_name(given: object) -> bool:
    return isinstance(given, str)


class Node:
    """One node. ``is_usable``: it answers, with the same image."""

    def __init__(self, machine: Machine, part: int, client: ssl.SSLContext, image: str) -> None:
        self.machine, self.part = machine, part
        self.is_usable = False
        self.has_restarted = False
        """Between two polls: what it had is gone."""
        self.workers = 0
        self.members: dict[str, dict[str, int | None]] = {}
        self.busy: frozenset[str] = frozenset()
        self.used: dict[str, Reading] = {}
        self._client, self._image = client, image
        self._lock = asyncio.Lock()
        self._missed = 0
        self._boot = ""
        self._refused: dict[str, int] = {}
        self._recorded: Counter[str] = Counter()

    async def start(self, question: Question) -> None:
        """Start a worker. Raises HostAwayError, HostRefusedError."""
        async with self._lock:
            await ask(self.machine, self._client, question, _ANSWER_SECONDS)
            self.members.setdefault(question["cluster"], {})[question["member"]] = None

    async def stop(self, cluster: str, member: str | None = None) -> Reading | None:
        """End a worker or the part; nothing is left of it when this returns. What the part has used, if it was there.

        Raises as above.
        """
        async with self._lock:
            question = {"do": "stop", "cluster": cluster, **({"member": member} if member else {})}
            answer = await ask(self.machine, self._client, question, _ANSWER_SECONDS)
            if member is None:
                self.members.pop(cluster, None)
            else:
                self.members.get(cluster, {}).pop(member, None)
        return read_used(answer.get("used"))

    async def poll(self, kept: Callable[[], dict[str, Question]]) -> bool:
        """True when it answered; ``kept`` is asked when it is its turn. Never raises."""
        async with self._lock:
            question = {"do": "poll", "clusters": kept(), "boot": self._boot, "recorded": self._recorded}
            try:
                answer = await ask(self.machine, self._client, question, _POLL_SECONDS)
                self._take(Polled.read(answer))
            except (HostAwayError, HostRefusedError) as error:
                self._missed += 1
                _log.warning("node-not-polled", node=self.machine.name, reason=str(error))
                return False
        return True

    async def record_refused(self, record: Record) -> None:
        """What it refused and is not on record; ``record`` says whether it is now. Meanwhile it may be polled."""
        boot = self._boot
        for rule, times in self._refused.items():
            new = times - self._recorded[rule]
            if new > 0 and await record(self.machine.name, rule, new) and self._boot == boot:
                self._recorded |= Counter({rule: times})

    @property
    def has_gone(self) -> bool:
        """With this poll: it answered before, whether it could be used or not."""
        return self._missed == _MISSED

    def _take(self, polled: Polled) -> None:
        self.has_restarted = bool(self._boot) and self._boot != polled.boot
        if self._boot != polled.boot:
            self._recorded.clear()
        self._recorded |= Counter(polled.recorded)  # there may be more since it was asked
        self._boot, self._refused = polled.boot, polled.refused
        self.members, self.busy, self.workers, self.used = polled.members, polled.busy, polled.workers, polled.used
        if self._missed or self.has_restarted or not self.is_usable:
            _log.info("node-answers", node=self.machine.name)
        self._missed = 0
        self.is_usable = polled.image == self._image
        if not self.is_usable:
            _log.warning("node-has-another-image", node=self.machine.name)


class Nodes:
    """All of them. ``kept``: by node, what may go on there; ``record``: how often a node refused by which rule,
    True when that is on record."""

    def __init__(
        self,
        nodes: list[Node],
        kept: Callable[[Node], dict[str, Question]],
        record: Record,
        on_lost: Callable[[Node], None],
        on_polled: Callable[[Node], None],
    ) -> None:
        self.nodes = {node.part: node for node in nodes}
        self._kept, self._record, self._on_lost, self._on_polled = kept, record, on_lost, on_polled
        self._tasks: list[asyncio.Task[None]] = []
        self._recording: dict[int, asyncio.Task[None]] = {}

    def follow(self) -> None:
        """Poll until ``close``."""
        self._tasks = [asyncio.create_task(self._follow(node)) for node in self.nodes.values()]

    async def close(self) -> None:
        """No more polls: within its lease each node ends what it has."""
        tasks = (*self._tasks, *self._recording.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look(self, node: Node) -> None:
        """One poll and what follows from it."""
        if await node.poll(lambda: self._kept(node)):
            if node.has_restarted:
                self._on_lost(node)
            self._on_polled(node)
            if node.part not in self._recording:
                task = self._recording[node.part] = asyncio.create_task(node.record_refused(self._record))
                task.add_done_callback(lambda _: self._recording.pop(node.part))
        elif node.has_gone:
            node.is_usable = False
            self._on_lost(node)

    async def _follow(self, node: Node) -> None:
        while True:
            try:
                await self.look(node)
            except Exception as error:
                _log.error("node-housekeeping-failed", node=node.machine.name, kind=type(error).__name__)
            await asyncio.sleep(POLL_SECONDS)
