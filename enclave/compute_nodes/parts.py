"""All parts of clusters on this node: each a process (``part_process``) with an island, and the streams into it.

Contract: at most ``workers`` members in all; a part is made with its first worker and gone with its last question from
home; ``end_all`` and ``keep_only`` return when nothing of what they ended is left. One question per part at a time.
Raises RefusedRequest and SandboxError with sentences. Non-goal: who may ask (``serve``).
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
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
from enclave.sandbox import SandboxError
from enclave.settings import Settings
from enclave.workspaces import cgroups
from enclave.workspaces.islands import FOLDER
from enclave.workspaces.kernels import RefusedRequest
from enclave.workspaces.launch import ImageMissingError, Places

_log = structlog.get_logger()
_ANSWER_SECONDS, _END_SECONDS = 45.0, 30.0
Codes = dict[str, int | None]


@dataclass
class _Running:
    number: int
    places: Places
    process: subprocess.Popen[bytes]
    channel: socket.socket
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    members: set[str] = field(default_factory=set)

    async def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Raises RefusedRequest, OSError when it has ended."""
        async with self.lock:
            answer = await asyncio.to_thread(_exchange, self.channel, json.dumps(question).encode())
        if "problem" in answer:
            raise RefusedRequest(str(answer["problem"]))
        return answer


class Parts:
    """Used in one event loop."""

    def __init__(self, settings: Settings, node: Node, streams: Streams) -> None:
        self._settings, self._node, self._streams = settings, node, streams
        self._running: dict[str, _Running] = {}
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
        async with self._opening:
            if self.workers >= self._node.workers:
                raise RefusedRequest(f"{self._node.workers} workers run already on this node. Stop one first.")
            part = self._running.get(start.cluster) or await self._open(start)
            if start.member in part.members:
                raise RefusedRequest("Expected a new worker, found one of this name. Stop it first.")
            part.members.add(start.member)
        try:
            part.places.write_token(start.token)
            await part.ask(start.island)
        except BaseException:
            part.members.discard(start.member)
            if not part.members:
                await self.stop(start.cluster)
            raise

    async def stop(self, cluster: str, member: str | None = None) -> None:
        """End a worker, or the part; nothing of it is left when this returns, and no error when there is none."""
        part = self._running.get(cluster)
        if part is None:
            return
        if member is not None:
            await part.ask({"do": "stop", "cluster": cluster, "member": member})
            part.members.discard(member)
            return
        del self._running[cluster]
        await self._end(cluster, part)

    async def keep_only(self, kept: Mapping[str, tuple[frozenset[str], str]]) -> dict[str, Codes]:
        """End what home does not name, give the rest its token; exit codes of all members, None: it runs."""
        for cluster in self._running.keys() - kept.keys():
            await self.stop(cluster)
        found = {}
        for cluster, (members, token) in kept.items():
            if (part := self._running.get(cluster)) is None:
                continue
            try:
                for member in part.members - members:
                    await self.stop(cluster, member)
                await asyncio.to_thread(part.places.write_token, token)
                found[cluster] = (await part.ask({"do": "poll"}))["clusters"].get(cluster, {})
            except (OSError, RefusedRequest):
                _log.warning("part-ended", cluster=cluster)
                await self.stop(cluster)
        return found

    async def end_all(self) -> None:
        """End every part."""
        await asyncio.gather(*(self.stop(cluster) for cluster in list(self._running)))

    async def _open(self, start: Start) -> _Running:
        taken = {part.number for part in self._running.values()}
        number = next(n for n in range(len(taken) + 1) if n not in taken)
        try:
            plan = plan_part(self._settings, self._node, start, number)
        except ImageMissingError as error:
            raise SandboxError(str(error)) from error
        places = places_of(self._node, start)
        places.create()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_ANSWER_SECONDS)
        with theirs:
            command = [sys.executable, "-m", "enclave.compute_nodes.part_process", str(theirs.fileno())]
            process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), start_new_session=True)
        part = self._running[start.cluster] = _Running(number, places, process, ours)
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

    async def _end(self, cluster: str, part: _Running) -> None:
        await self._streams.close(cluster)
        with suppress(OSError):
            part.channel.shutdown(socket.SHUT_RDWR)  # who waits for an answer is told, and the part ends
        async with part.lock:
            part.channel.close()
        await asyncio.to_thread(_bury, part, cluster)


def _bury(part: _Running, cluster: str) -> None:
    """It ends by itself when its channel is closed; what it cannot end any more is ended here."""
    try:
        part.process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        part.process.kill()
        part.process.wait(_END_SECONDS)
    shutil.rmtree(part.places.folder, ignore_errors=True)
    cgroups.remove(group_of(cluster))


def _exchange(channel: socket.socket, question: bytes) -> dict[str, Any]:
    channel.sendall(question)
    packet = channel.recv(LARGEST)
    if not packet:
        raise ConnectionResetError("Expected an answer of a part's process, found its end.")
    answer = json.loads(packet)
    return answer if isinstance(answer, dict) else {}
