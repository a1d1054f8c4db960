"""The one TCP port of a machine among home and nodes: mutual TLS, then a first frame, and who it is that speaks.

Contract: what has no certificate of the authority, or none of the ``known`` names in it, is refused and counted before
anything it says is read; a first frame that is too long, too late or no JSON object as well. At most ``MOST_GREETED``
connections are on their way to that point, ``MOST_OF_ONE`` from one address, further ones are closed: who has one
address keeps nobody else out. ``answer`` gets everything else, with the names.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from enclave.clusters.islands import accept
from enclave.clusters.relay import Streams
from enclave.compute_nodes.machines import Machine
from enclave.compute_nodes.refusals import Refusal, Refusals
from enclave.compute_nodes.wire import CONNECT_SECONDS, WireError, accept_tls, names_of, read_frame

MOST_GREETED, MOST_OF_ONE = 512, 128
_BACKLOG = 128

Names = frozenset[str]
Answer = Callable[[Names, dict[str, Any], Streams], Awaitable[None]]


class Listener:
    """``longest``: how long the first frame of somebody with these names may be; 0: nobody we know."""

    def __init__(
        self, context: ssl.SSLContext, refusals: Refusals, longest: Callable[[Names], int], answer: Answer
    ) -> None:
        self._context, self._refusals, self._longest, self._answer = context, refusals, longest, answer
        self._tasks: set[asyncio.Task[None]] = set()
        self._greeted: Counter[str] = Counter()
        self._listening: socket.socket | None = None

    def open(self, address: Machine) -> None:
        """Raises OSError."""
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._listening = socket.create_server((address.host, address.port), family=family, backlog=_BACKLOG)
        self._listening.setblocking(False)
        self._spawn(accept(self._listening, self._take))

    async def close(self) -> None:
        """End everything that came in here."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listening is not None:
            self._listening.close()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, connection: socket.socket) -> None:
        try:
            peer = str(connection.getpeername()[0])
        except OSError:
            return connection.close()  # it has left already
        if self._greeted.total() >= MOST_GREETED or self._greeted[peer] >= MOST_OF_ONE:
            self._refusals.add(Refusal.TOO_MANY)
            return connection.close()
        self._greeted[peer] += 1
        return self._spawn(self._serve(connection, peer))

    async def _serve(self, connection: socket.socket, peer: str) -> None:
        greeted = None
        try:
            greeted = await self._greet(connection)
        finally:
            self._greeted -= Counter((peer,))
            if greeted is None:
                connection.close()
        if greeted is None:
            return
        names, header, streams = greeted
        try:
            await self._answer(names, header, streams)
        except OSError:
            pass  # it is gone
        finally:
            streams[1].transport.abort()

    async def _greet(self, connection: socket.socket) -> tuple[Names, dict[str, Any], Streams] | None:
        """None: refused, or gone."""
        try:
            streams = await accept_tls(connection, self._context)
        except OSError as error:
            if isinstance(error, ssl.SSLError):
                self._refusals.add(Refusal.CERTIFICATE)
            return None
        names, header = names_of(streams[1]), None
        try:
            header = await self._read_header(names, streams)
        finally:
            if header is None:
                streams[1].transport.abort()
        return None if header is None else (names, header, streams)

    async def _read_header(self, names: Names, streams: Streams) -> dict[str, Any] | None:
        longest = self._longest(names)
        if not longest:
            self._refusals.add(Refusal.UNKNOWN_MACHINE)
            return None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return _parsed(await read_frame(streams[0], longest))
        except WireError:
            self._refusals.add(Refusal.HEADER)
        except OSError:
            pass
        return None


def _parsed(frame: bytes) -> dict[str, Any]:
    try:
        found = json.loads(frame)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise WireError("Expected a JSON object, found something else.")
    return found
