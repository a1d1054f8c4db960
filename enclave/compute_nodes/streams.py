"""Streams between the parts of a cluster on different machines, the same code at home and on a node.

Out: what a part's relay (``enclave.clusters.relay``) leads to ``out.sock`` says which address of its cluster it wants;
it gets one TLS connection to that part's machine. In: a connection of another machine names cluster and address; it is
led to the part's ``in.sock``. Workers on nodes ask the gateway in the same way: what connects to the part's
``gateway.sock`` is led home, to the socket of the workspace that the cluster belongs to. Dask's own TLS runs inside.
Contract: an address is one of the cluster's own, fixed at its start; a stream comes from a machine that is in the
cluster; at most ``MOST`` each way and part, and half of this process's descriptors in all, so that it can always be
spoken to; ``RATE`` new ones a second lead out of a part. Non-goal: starting anything.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections import Counter, deque
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from dask_gateway_server.utils import RateLimiter

from enclave import descriptors
from enclave.clusters.islands import accept
from enclave.clusters.relay import ADDRESS, Address, Between, read_address
from enclave.clusters.relay import Streams as Pair
from enclave.clusters.sockets import connect_stream
from enclave.compute_nodes.listener import Names
from enclave.compute_nodes.machines import Machine
from enclave.compute_nodes.refusals import Refusal, Refusals
from enclave.compute_nodes.wire import CHUNK, carry, connect_tls, write_frame
from enclave.listening import listen_in

_log = structlog.get_logger()
MOST = 512
RATE, BURST = 50, 100
GATEWAY: Address = (0, 0)
"""In the place of an address: the gateway of the cluster's workspace."""
IN, OUT = "in.sock", "out.sock"
_REMEMBERED = 64


@dataclass(frozen=True)
class Part:
    """What of one cluster is on this machine, and where the rest is."""

    cluster: str
    between: Between
    machines: Mapping[int, Machine]
    """The other parts."""
    folder: Path
    """With ``in.sock`` and ``out.sock``."""
    gateway: Path
    """At home the workspace's own socket, to lead to; on a node the one to listen at."""


@dataclass
class _Open:
    part: Part
    listening: list[socket.socket] = field(default_factory=list)
    tasks: dict[asyncio.Task[Any], str] = field(default_factory=dict)
    """Each with the machine it leads to or from."""
    counts: Counter[str] = field(default_factory=Counter)
    pace: RateLimiter = field(default_factory=lambda: RateLimiter(RATE, BURST))

    said: str = ""

    def say(self, kind: str) -> None:
        """Why a stream could not be led, once in a row: it is the researcher's code that asks."""
        if kind != self.said:
            self.said = kind
            _log.info("stream-not-led", cluster=self.part.cluster, kind=kind)

    def spawn(self, machine: str, work: Coroutine[Any, Any, None]) -> None:
        self.keep(machine, asyncio.create_task(work))

    def keep(self, machine: str, task: asyncio.Task[Any]) -> None:
        self.tasks[task] = machine
        task.add_done_callback(lambda ended: self.tasks.pop(ended, None))

    def cancel(self) -> list[asyncio.Task[Any]]:
        """Wait for these before ``close``: the loop looks at the sockets until they have ended."""
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        return tasks

    def close(self) -> None:
        for listening in self.listening:
            listening.close()


class Streams:
    """All parts of this machine."""

    def __init__(self, client: ssl.SSLContext, refusals: Refusals) -> None:
        self._client, self._refusals = client, refusals
        self._parts: dict[str, _Open] = {}
        self._ended: deque[Part] = deque(maxlen=_REMEMBERED)
        self._most = descriptors.limit() // 4  # each has two

    def _has_room(self, opened: _Open, way: str) -> bool:
        return opened.counts[way] < MOST and sum(one.counts.total() for one in self._parts.values()) < self._most

    def knows(self, names: Names) -> bool:
        """Is it a machine of a cluster here?"""
        parts = (*(opened.part for opened in self._parts.values()), *self._ended)
        return any(machine.name in names for part in parts for machine in part.machines.values())

    def open(self, part: Part) -> None:
        """Lead streams for this part until ``close``. Raises OSError."""
        opened = self._parts[part.cluster] = _Open(part)
        try:
            self._listen(opened, part.folder / OUT, is_gateway=False)
            if part.between.part:
                self._listen(opened, part.gateway, is_gateway=True)
        except OSError:
            del self._parts[part.cluster]
            opened.cancel()
            opened.close()
            raise

    async def close(self, cluster: str) -> None:
        """End its streams; no error when there are none."""
        if (opened := self._parts.pop(cluster, None)) is not None:
            self._ended.append(opened.part)
            await asyncio.gather(*opened.cancel(), return_exceptions=True)
            opened.close()

    def drop(self, machine: str) -> None:
        """End all streams to and from a machine that is away: nobody may wait for it."""
        for opened in self._parts.values():
            for task, other in list(opened.tasks.items()):
                if other == machine:
                    task.cancel()

    async def lead_in(self, names: Names, header: dict[str, Any], there: Pair) -> None:
        """A stream that another machine opened, until it ends. Refused ones are counted."""
        opened = self._parts.get(str(header.get("cluster")))
        to = header.get("to")
        if opened is None and any(part.cluster == header.get("cluster") for part in self._ended):
            return None  # its end has not reached the other machine yet
        if opened is None:
            return self._refusals.add(Refusal.UNKNOWN_CLUSTER)
        sender = next((m.name for m in opened.part.machines.values() if m.name in names), None)
        if sender is None:
            return self._refusals.add(Refusal.FOREIGN_MACHINE)
        is_address = isinstance(to, list) and len(to) == 2 and all(type(number) is int for number in to)
        address = (to[0], to[1]) if isinstance(to, list) and is_address else None
        is_gateway = address == GATEWAY and opened.part.between.part == 0
        if address is None or not (is_gateway or address in opened.part.between.here()):
            return self._refusals.add(Refusal.ADDRESS)
        if not self._has_room(opened, IN):
            return self._refusals.add(Refusal.TOO_MANY)
        task = asyncio.current_task()
        if task is not None:
            opened.keep(sender, task)
        opened.counts[IN] += 1
        try:
            await self._lead_here(opened.part, None if is_gateway else address, there)
        finally:
            opened.counts[IN] -= 1
            if task is not None:
                opened.tasks.pop(task, None)
        return None

    async def _lead_here(self, part: Part, address: Address | None, there: Pair) -> None:
        """``address`` None: to the gateway."""
        here = await connect_stream(part.gateway if address is None else part.folder / IN)
        if address is not None:
            here[1].write(ADDRESS.pack(*address))
        await carry(here, there)

    def _listen(self, opened: _Open, path: Path, *, is_gateway: bool) -> None:
        listening = listen_in(path.parent, path.name, mode=0o666)
        opened.listening.append(listening)

        async def take(connection: socket.socket) -> None:
            if not self._has_room(opened, OUT):
                connection.close()
                return
            opened.counts[OUT] += 1
            opened.spawn("", self._lead_out(opened, connection, is_gateway=is_gateway))

        opened.spawn("", accept(listening, take))

    async def _lead_out(self, opened: _Open, connection: socket.socket, *, is_gateway: bool) -> None:
        writer: asyncio.StreamWriter | None = None
        try:
            reader, writer = await asyncio.open_connection(sock=connection, limit=CHUNK)
            between = opened.part.between
            address = GATEWAY if is_gateway else await read_address(reader, between.known() - between.here())
            machine = opened.part.machines[address[0]]
            if (task := asyncio.current_task()) is not None:
                opened.tasks[task] = machine.name
            await opened.pace.acquire()
            there = await connect_tls(machine, self._client)
            write_frame(there[1], json.dumps({"cluster": opened.part.cluster, "to": address}).encode())
            await carry((reader, writer), there)
        except OSError as error:
            opened.say(type(error).__name__)  # who connected finds it closed
        finally:
            opened.counts[OUT] -= 1
            if writer is not None:
                writer.transport.abort()
            else:
                connection.close()
