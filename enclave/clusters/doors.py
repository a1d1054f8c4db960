"""A door per running workspace: ``run/ws/<workspace>/in/dask.sock``, seen inside as ``/run/enclave/dask.sock``.

The first byte says what a client speaks: a TLS handshake goes on to dask-gateway's proxy, when it asks for a cluster of
this workspace; everything else is HTTP for the server, which learns the door with the connection (``entrances``).
Contract: a door is open exactly while ``workspace.json`` says that the workspace runs (the gateway's front writes and
removes it); at most ``MOST`` TLS connections per door; who says nothing for ``HELLO_SECONDS`` is cut off. The folder is
root's, and nothing on the way is followed if it is a link.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog

from enclave.clusters.entrances import Entrances, WorkspaceEntrance
from enclave.clusters.hello import HANDSHAKE, HEADER, find_cluster, record_length
from enclave.clusters.islands import accept
from enclave.clusters.relay import join
from enclave.domain.ids import PersonId, ProjectId, WorkspaceId
from enclave.gateway.admission import Door
from enclave.gateway.doors import WORKSPACE_ID
from enclave.listening import listen_in
from enclave.settings import Settings

_log = structlog.get_logger()
MOST = 64
HELLO_SECONDS = 10.0
_NAME = "dask.sock"
_LONGEST_RECORD = HEADER + 16_384 + 256


@dataclass
class _Open:
    door: Door
    listening: socket.socket
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    led: int = 0

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class Doors:
    """``owner_of`` names the workspace of a cluster; ``proxy`` is the TLS port's address."""

    def __init__(
        self,
        settings: Settings,
        entrances: Entrances,
        owner_of: Callable[[str], str | None],
        proxy: Callable[[], tuple[str, int]],
    ) -> None:
        self._workspaces = settings.run_dir / "ws"
        self._entrances, self._owner_of, self._proxy = entrances, owner_of, proxy
        self._open: dict[WorkspaceId, _Open] = {}

    async def follow(self) -> set[str]:
        """Open and close doors as workspaces begin and end; whose are open now. Call about once a second."""
        wanted = {door.workspace: door for door in self._running() if door.workspace is not None}
        closed = {name for name, found in self._open.items() if wanted.get(name) != found.door}
        for name in closed:
            await self._close(self._open.pop(name))
        for name in wanted.keys() - self._open.keys():
            try:
                self._listen(name, wanted[name])
            except OSError as error:
                _log.error("door-not-opened", workspace=name, kind=type(error).__name__)
        return {str(name) for name in self._open}

    async def close(self) -> None:
        """Close them all."""
        while self._open:
            await self._close(self._open.popitem()[1])

    def _running(self) -> list[Door]:
        found = []
        for file in sorted(self._workspaces.glob("*/workspace.json")):
            name = file.parent.name
            try:
                content = json.loads(file.read_bytes())
                project, person = ProjectId(content["project"]), PersonId(content["person"])
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if WORKSPACE_ID.fullmatch(name):
                found.append(Door(project, file.parent / "in" / _NAME, WorkspaceId(name), person))
        return found

    def _listen(self, name: WorkspaceId, door: Door) -> None:
        listening = listen_in(self._workspaces / name / "in", _NAME, mode=0o666)
        opened = self._open[name] = _Open(door, listening)

        async def greet(connection: socket.socket) -> None:
            if opened.led >= MOST:
                connection.close()
            else:
                opened.spawn(self._greet(opened, connection))

        opened.spawn(accept(listening, greet))
        _log.info("door-opened", workspace=name)

    async def _close(self, opened: _Open) -> None:
        for task in list(opened.tasks):
            task.cancel()
        await asyncio.gather(*opened.tasks, return_exceptions=True)
        opened.listening.close()
        if opened.door.socket_path is not None:
            opened.door.socket_path.unlink(missing_ok=True)
        self._entrances.close(WorkspaceEntrance(opened.door))
        _log.info("door-closed", workspace=opened.door.workspace)

    async def _greet(self, opened: _Open, connection: socket.socket) -> None:
        opened.led += 1
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                first = await _peek(connection)
                hello = await _read_record(connection) if first == HANDSHAKE else b""
            if first is None:
                connection.close()
            elif not hello:
                await self._entrances.hand_over(connection, WorkspaceEntrance(opened.door))
            elif self._owner_of(find_cluster(hello) or "") != opened.door.workspace:
                connection.close()
            else:
                await self._lead(connection, hello)
        except (OSError, TimeoutError):
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise
        finally:
            opened.led -= 1

    async def _lead(self, connection: socket.socket, hello: bytes) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._proxy())
            far_writer.write(hello)
            await join(reader, writer, far_reader, far_writer)
        finally:
            writer.transport.abort()


async def _peek(connection: socket.socket) -> int | None:
    """The first byte, which stays to be read; None: there is none."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(connection, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(connection)
    seen = connection.recv(1, socket.MSG_PEEK)
    return seen[0] if seen else None


async def _read_record(connection: socket.socket) -> bytes:
    """The first TLS record. Raises OSError for one that is too long or ends early."""
    loop = asyncio.get_running_loop()
    found, wanted = b"", HEADER
    while len(found) < wanted:
        chunk = await loop.sock_recv(connection, wanted - len(found))
        if not chunk:
            raise ConnectionError("Expected a whole TLS record, found its beginning.")
        found += chunk
        if len(found) == HEADER and (wanted := record_length(found)) > _LONGEST_RECORD:
            raise ConnectionError("Expected a TLS record of at most 16 KiB, found a longer one.")
    return found
