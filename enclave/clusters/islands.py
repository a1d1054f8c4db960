"""Islands as this service sees them: questions to a workspace's host, and the ways into one cluster's island.

The host starts and ends what runs in an island; here are only sockets. ``Island.address`` is a port on this machine's
loopback that leads to the island's scheduler and nowhere else: the proxy speaks TCP only. Contract: a host that is not
there is a ``HostAwayError``; what it will not do is a ``HostRefusedError`` with its sentence. Non-goal: records.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enclave.clusters.relay import Way
from enclave.clusters.sockets import connect_stream, exchange_packets
from enclave.listening import listen_in

_LARGEST = 1 << 18
_ANSWER_SECONDS = 45.0
_API, _SCHEDULER, _CONTROL = "api.sock", "scheduler.sock", "control.sock"
_ALL = (_API, _SCHEDULER, _CONTROL, "in.sock", "out.sock")


class HostAwayError(Exception):
    """The workspace's host does not answer: it has ended, or is about to."""


class HostRefusedError(Exception):
    """The host will not do it; its sentence."""


class HostSocket:
    """One workspace's host; a connection per question."""

    def __init__(self, host_folder: Path) -> None:
        self._folder = host_folder

    async def start(self, question: dict[str, Any]) -> None:
        """Start the scheduler or a worker: cluster, member, command, env, files. Raises HostAwayError,
        HostRefusedError."""
        await self._ask({**question, "do": "start"})

    async def stop(self, cluster: str, member: str | None = None) -> None:
        """End a worker, or the whole cluster with its island; nothing is left when it returns. Raises as above."""
        await self._ask({"do": "stop", "cluster": cluster, **({"member": member} if member else {})})

    async def poll(self) -> dict[str, dict[str, int | None]]:
        """Exit code of every member of every cluster, None: it runs. Raises as above."""
        found = (await self._ask({"do": "poll"})).get("clusters")
        return found if isinstance(found, dict) else {}

    async def has_packages(self) -> bool:
        """Do this workspace's kernels have packages that the image does not have? Raises as above."""
        return (await self._ask({"do": "poll"})).get("packages") is not False

    async def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                path, asked = self._folder / "clusters.sock", json.dumps(question).encode()
                answer = json.loads(await exchange_packets(path, asked, _LARGEST))
        except (OSError, ValueError) as error:
            raise HostAwayError("The workspace's host does not answer. Restart the workspace.") from error
        if not isinstance(answer, dict):
            raise HostAwayError("Expected an object from the workspace's host, found something else. Restart it.")
        if "problem" in answer:
            raise HostRefusedError(str(answer["problem"]))
        return answer


@dataclass
class Island:
    """The ways into one cluster; ``open`` before use, ``close`` when the cluster is over."""

    folder: Path
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _listening: socket.socket | None = None

    async def open(self, answer: Callable[[socket.socket], Awaitable[None]]) -> None:
        """Listen for its scheduler (``answer`` takes each connection) and for the proxy. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        listening = self._listening = listen_in(self.folder, _API, mode=0o666)
        task = asyncio.create_task(accept(listening, answer))
        self._tasks.add(task)
        way = Way(lambda: connect_stream(self.folder / _SCHEDULER))
        self._server = await asyncio.start_server(way.lead, "127.0.0.1", 0)

    @property
    def address(self) -> str:
        """Where the proxy finds the scheduler."""
        if self._server is None:
            raise RuntimeError("Expected an open island, found a closed one.")
        return f"tls://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def control(self) -> Path:
        """Where the scheduler's own HTTP API is met."""
        return self.folder / _CONTROL

    async def close(self) -> None:
        """No way in any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listening is not None:
            self._listening.close()
        if self._server is not None:
            self._server.close()
        for name in _ALL:
            (self.folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()


async def accept(listening: socket.socket, answer: Callable[[socket.socket], Awaitable[None]]) -> None:
    """Take connections until cancelled; ``answer`` must not block and must not raise."""
    loop = asyncio.get_running_loop()
    listening.setblocking(False)
    while True:
        try:
            connection, _ = await loop.sock_accept(listening)
        except OSError:
            await asyncio.sleep(0.1)  # out of descriptors: others end meanwhile
            continue
        connection.setblocking(False)
        await answer(connection)
        await asyncio.sleep(0)  # one that waits already is accepted at once: others would never get their turn
