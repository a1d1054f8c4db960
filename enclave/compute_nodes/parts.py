"""All parts of clusters on this node: each a process (``part_process``) with an island, and the streams into it.

Contract: at most ``workers`` members in all; a part is made with its first worker; ``stop`` and ``end_all`` return when
nothing of what they ended is left, and nothing of a cluster is started before. One question per part at a time; a part
that did not answer one is asked no other and ended, and no part keeps home waiting for the others (``keep_only``).
Raises RefusedRequest and SandboxError with sentences. Non-goal: who may ask (``serve``).
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from enclave.compute_nodes.machines import Node
from enclave.compute_nodes.part_plan import group_of, places_of, plan_part
from enclave.compute_nodes.part_process import LARGEST
from enclave.compute_nodes.requests import Start
from enclave.compute_nodes.streams import Part, Streams
from enclave.metering.readings import Meter
from enclave.sandbox import SandboxError
from enclave.settings import Settings
from enclave.workspaces import cgroups
from enclave.workspaces.islands import FOLDER
from enclave.workspaces.kernels import RefusedRequest
from enclave.workspaces.launch import ImageMissingError, Places

_log = structlog.get_logger()
_ANSWER_SECONDS, _END_SECONDS, _LOOK_SECONDS = 45.0, 30.0, 0.05
_TURN_SECONDS = 20.0
"""A start that had to wait longer is refused: home may have given it up, and its address to another worker."""
_PATIENCE_SECONDS = 4.0
"""Less than home waits for the answer to a poll."""
Codes = dict[str, int | None]
Used = tuple[int, int]
"""Of a part: nanoseconds of processor time since it began, and bytes of memory now."""


@dataclass
class _Running:
    number: int
    places: Places
    process: subprocess.Popen[bytes]
    channel: socket.socket
    meter: Meter
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    members: set[str] = field(default_factory=set)
    used: Used = (0, 0)

    async def read_used(self) -> Used:
        with suppress(OSError):  # its groups go just now
            found = await asyncio.to_thread(self.meter.read)
            self.used = found.cpu_ns, found.memory_bytes
        return self.used

    async def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Raises RefusedRequest, OSError when it has ended or has to."""
        async with self.lock:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    answer = await _exchange(self.channel, json.dumps(question).encode())
            except BaseException:
                self.hang_up()  # what it answers later would be taken for the answer to the next question
                raise
        if "problem" in answer:
            raise RefusedRequest(str(answer["problem"]))
        return answer

    def hang_up(self) -> None:
        """Who waits for an answer is told, and the part ends."""
        with suppress(OSError):
            self.channel.shutdown(socket.SHUT_RDWR)


@dataclass
class _Ending:
    number: int
    task: asyncio.Task[Used]


@dataclass(frozen=True)
class Kept:
    """What is there after home's word."""

    clusters: dict[str, Codes]
    """Exit codes of all members, None: it runs, or is not known to have ended."""
    busy: list[str]
    """Clusters that need longer to do what was said than home waits."""
    used: dict[str, Used]
    """Of every part that there is."""


class Parts:
    """Used in one event loop."""

    def __init__(self, settings: Settings, node: Node, streams: Streams) -> None:
        self._settings, self._node, self._streams = settings, node, streams
        self._running: dict[str, _Running] = {}
        self._ending: dict[str, _Ending] = {}
        self._keeping: dict[str, asyncio.Task[Codes | None]] = {}
        self._opening = asyncio.Lock()

    @property
    def count(self) -> int:
        """Of parts."""
        return len(self._running)

    @property
    def workers(self) -> int:
        """Running, or on their way."""
        return sum(len(part.members) for part in self._running.values())

    async def start(self, start: Start) -> None:
        """Start one worker. Raises RefusedRequest, SandboxError, OSError."""
        await self._take_turn(start.cluster)
        try:
            if self.workers >= self._node.workers:
                raise RefusedRequest(f"{self._node.workers} workers run already on this node. Stop one first.")
            part = self._running.get(start.cluster) or await self._open(start)
            if start.member in part.members:
                raise RefusedRequest("Expected a new worker, found one of this name. Stop it first.")
            part.members.add(start.member)
        finally:
            self._opening.release()
        try:
            part.places.write_token(start.token)
            await part.ask(start.island)
        except BaseException:
            part.members.discard(start.member)
            if not part.members and self._running.get(start.cluster) is part:
                await self.stop(start.cluster)
            raise

    async def _take_turn(self, cluster: str) -> None:
        """Parts are opened one at a time, each when nothing is left of its cluster's last one."""
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await self._opening.acquire()
                while cluster in self._ending:
                    self._opening.release()
                    await self._ended(cluster)
                    await self._opening.acquire()
        except TimeoutError as error:
            raise RefusedRequest("Expected a node with time for a start, found it busy. Try again.") from error

    async def stop(self, cluster: str, member: str | None = None) -> Used | None:
        """End a worker, or the part; nothing of it is left when this returns, and no error when there is none.

        What a part has used that ended, as far as it is known.
        """
        part = self._running.get(cluster)
        if part is not None and member is not None:
            await part.ask({"do": "stop", "cluster": cluster, "member": member})
            part.members.discard(member)
            return None
        if part is not None:
            del self._running[cluster]
            self._ending[cluster] = _Ending(part.number, asyncio.create_task(self._see_off(cluster, part)))
        return await self._ended(cluster)

    async def _see_off(self, cluster: str, part: _Running) -> Used:
        try:
            return await self._end(cluster, part)
        finally:
            del self._ending[cluster]

    async def _ended(self, cluster: str) -> Used | None:
        ending = self._ending.get(cluster)
        return None if ending is None else await asyncio.shield(ending.task)

    async def keep_only(self, kept: Mapping[str, tuple[frozenset[str], str]]) -> Kept:
        """End what home does not name, give the rest its token."""
        busy = list(self._keeping)  # since an earlier poll, whose names they go by
        for cluster in sorted({*self._running, *self._ending}.difference(busy)):
            task = self._keeping[cluster] = asyncio.create_task(self._keep(cluster, kept.get(cluster)))
            task.add_done_callback(lambda _, cluster=cluster: self._keeping.pop(cluster))  # type: ignore[misc]
        asked = dict(self._keeping)
        await self._be_patient(asked)
        codes = {cluster: codes for cluster, task in asked.items() if task.done() and (codes := task.result())}
        busy += [cluster for cluster, task in asked.items() if not task.done() and cluster not in busy]
        unknown = {cluster: dict.fromkeys(part.members) for cluster, part in self._running.items() if cluster in busy}
        used = {cluster: await part.read_used() for cluster, part in list(self._running.items())}
        return Kept({**unknown, **codes}, busy, used)

    async def _be_patient(self, asked: Mapping[str, asyncio.Task[Any]]) -> None:
        if asked:
            await asyncio.wait(asked.values(), timeout=_PATIENCE_SECONDS)

    async def _keep(self, cluster: str, kept: tuple[frozenset[str], str] | None) -> Codes | None:
        part = self._running.get(cluster)
        if part is None or kept is None:
            await self.stop(cluster)
            return None
        members, token = kept
        try:
            for member in part.members - members:
                await self.stop(cluster, member)
            await asyncio.to_thread(part.places.write_token, token)
            found: Codes = (await part.ask({"do": "poll"}))["clusters"].get(cluster, {})
        except (OSError, RefusedRequest):
            _log.warning("part-ended", cluster=cluster)
            await self.stop(cluster)
            return None
        return found

    async def end_all(self) -> None:
        """End every part."""
        await asyncio.gather(*(self.stop(cluster) for cluster in {*self._running, *self._ending}))

    def _free_number(self) -> int:
        taken = {part.number for part in self._running.values()} | {one.number for one in self._ending.values()}
        return next(n for n in range(len(taken) + 1) if n not in taken)

    async def _open(self, start: Start) -> _Running:
        number = self._free_number()
        places = places_of(self._node, start)
        try:
            plan = plan_part(self._settings, self._node, start, number, places)
        except ImageMissingError as error:
            raise SandboxError(str(error)) from error
        places.create()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            command = [sys.executable, "-m", "enclave.compute_nodes.part_process", str(theirs.fileno())]
            process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), start_new_session=True)
        meter = Meter(lambda: cgroups.groups_of(group_of(start.cluster)), process.pid)
        part = self._running[start.cluster] = _Running(number, places, process, ours, meter)
        try:
            await part.ask(json.loads(plan.to_json()))
            self._streams.open(self._part(start, places))
        except BaseException:
            await self.stop(start.cluster)
            raise
        return part

    def _part(self, start: Start, places: Places) -> Part:
        folder = places.host / FOLDER / start.cluster
        for path, mode in ((folder.parent, 0o700), (folder, 0o755)):
            path.mkdir(exist_ok=True)
            path.chmod(mode)
        return Part(start.cluster, start.between, start.machines, folder, places.inside / "gateway.sock")

    async def _end(self, cluster: str, part: _Running) -> Used:
        used = await part.read_used()
        await self._streams.close(cluster)
        part.hang_up()
        async with part.lock:
            part.channel.close()
        late_at = time.monotonic() + _END_SECONDS
        while part.process.poll() is None:  # it ends by itself; what it cannot end any more is ended here
            if time.monotonic() > late_at:
                part.process.kill()
            await asyncio.sleep(_LOOK_SECONDS)
        await asyncio.to_thread(_clear_away, part, cluster)
        return used


def _clear_away(part: _Running, cluster: str) -> None:
    shutil.rmtree(part.places.folder, ignore_errors=True)
    cgroups.remove(group_of(cluster))


async def _exchange(channel: socket.socket, question: bytes) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(channel, question)
    packet = await loop.sock_recv(channel, LARGEST)
    if not packet:
        raise ConnectionResetError("Expected an answer of a part's process, found its end.")
    answer = json.loads(packet)
    return answer if isinstance(answer, dict) else {}
