"""``enclave node``: a compute node. Starts workers at home's word, keeps them apart, and leads their streams.

Nothing is stored: a node that has not heard home for ``LEASE_SECONDS`` ends all it has, and so does one that stops or
is killed (the parts' processes see their channel closed, their sandboxes end with them). What home's poll does not name
is ended. Commands come from the name in ``node_home`` alone. Exit code 2 with a sentence when it cannot start.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import structlog

from enclave import descriptors
from enclave.before_start import warn_of_unknown_variables
from enclave.clusters.relay import Streams as Pair
from enclave.compute_nodes.image import image_of
from enclave.compute_nodes.listener import Listener, Names
from enclave.compute_nodes.machines import Node, read_node
from enclave.compute_nodes.parts import Parts
from enclave.compute_nodes.refusals import Refusal, Refusals
from enclave.compute_nodes.requests import read_kept, read_start
from enclave.compute_nodes.streams import Streams
from enclave.compute_nodes.wire import LONGEST_COMMAND, LONGEST_HEADER, write_frame
from enclave.logs import configure
from enclave.sandbox import SandboxError
from enclave.settings import Settings, get_settings
from enclave.tls_files import TlsError
from enclave.workspaces.islands import read_cluster, read_member
from enclave.workspaces.kernels import RefusedRequest

_log = structlog.get_logger()
LEASE_SECONDS = 20.0
_LOOK_SECONDS = 1.0


class NodeError(Exception):
    """The node cannot start; the sentence says why."""


class NodeServer:
    """One node; ``run`` until cancelled."""

    def __init__(self, settings: Settings, node: Node, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._node, self._clock = settings, node, clock
        self._refusals = Refusals()
        self._streams = Streams(node.identity.client, self._refusals)
        self._parts = Parts(settings, node, self._streams)
        self._listener = Listener(node.identity.server, self._refusals, self._longest, self._answer)
        self._heard_at, self._obeying = clock(), 0
        self._actions: dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
            "hello": self._hello,
            "start": self._start,
            "poll": self._poll,
            "stop": self._stop,
        }

    async def run(self) -> None:
        """Raises OSError when it cannot listen."""
        self._listener.open(self._node.address)
        _log.info("node-ready", workers=self._node.workers)
        try:
            while True:
                await asyncio.sleep(_LOOK_SECONDS)
                await self.look()
        finally:
            await self._listener.close()
            await self._parts.end_all()

    async def look(self) -> None:
        """Home that is away too long might have been replaced: nothing of it goes on here."""
        if self._parts.count and not self._obeying and self._clock() - self._heard_at > LEASE_SECONDS:
            _log.warning("home-away")
            await self._parts.end_all()

    def _longest(self, names: Names) -> int:
        """Home commands; the other machines of clusters here open streams."""
        if self._node.home in names:
            return LONGEST_COMMAND
        return LONGEST_HEADER if self._streams.knows(names) else 0

    async def _answer(self, names: Names, header: dict[str, Any], there: Pair) -> None:
        if "do" not in header:
            await self._streams.lead_in(names, header, there)
        elif self._node.home not in names:
            self._refusals.add(Refusal.NOT_HOME)
        else:
            self._obeying += 1
            try:
                write_frame(there[1], json.dumps(await self._obey(header)).encode())
            finally:
                self._obeying -= 1
                if header["do"] != "hello":  # enclave doctor says it; the clusters' service polls
                    self._heard_at = self._clock()
            await there[1].drain()
            there[1].close()
            await there[1].wait_closed()

    async def _obey(self, asked: dict[str, Any]) -> dict[str, Any]:
        action = self._actions.get(str(asked.get("do")))
        try:
            if action is None:
                raise RefusedRequest(f"Expected a request to {', '.join(self._actions)}, found another. Update both.")
            return await action(asked)
        except (RefusedRequest, SandboxError, OSError) as error:
            return {"problem": str(error)}

    async def _hello(self, _: dict[str, Any]) -> dict[str, Any]:
        """Changes nothing."""
        return {"workers": self._node.workers, "image": image_of(self._settings)}

    async def _start(self, asked: dict[str, Any]) -> dict[str, Any]:
        await self._parts.start(read_start(asked, self._node.home))
        return {}

    async def _poll(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._refusals.note(asked.get("boot"), asked.get("recorded"))
        kept = await self._parts.keep_only(read_kept(asked))
        return {**await self._hello(asked), **self._refusals.said(), **asdict(kept)}

    async def _stop(self, asked: dict[str, Any]) -> dict[str, Any]:
        member = read_member(asked) if asked.get("member") is not None else None
        return {"used": await self._parts.stop(read_cluster(asked), member)}


def take_folder(folder: Path) -> IO[bytes]:
    """This node's folder, empty, for as long as the answer is open. Raises NodeError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.lstat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o170077 != 0o040000:
        raise NodeError("Expected node_folder as a folder of root alone (mode 0700), found another. Remove it.")
    if _file_system(folder) not in ("tmpfs", "ramfs"):
        raise NodeError("Expected node_folder in memory (tmpfs), found it on a disk. Use /dev/shm/enclave-node.")
    lock = (folder / ".lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise NodeError("Expected no other node in node_folder, found one. Stop it, or name another folder.") from None
    shutil.rmtree(folder / "run", ignore_errors=True)
    return lock


def _file_system(folder: Path) -> str:
    """Type of what is mounted where ``folder`` is (proc(5), mountinfo)."""
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    rows = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return next((row[row.index("-") + 1] for row in rows if row[2] == wanted), "")


def check_machine(settings: Settings) -> None:
    """What a node needs beside its settings. Raises NodeError."""
    if os.geteuid() != 0:
        raise NodeError("Expected root, who alone can make and join network namespaces, found another account.")
    if settings.engine != "bubblewrap" or shutil.which("bwrap") is None or shutil.which("nsenter") is None:
        raise NodeError("Expected the engine bubblewrap with nsenter, found otherwise. apt-get install bubblewrap.")
    if not image_of(settings):
        raise NodeError("Expected the workspace image, found none. Build it: make setup.")


async def _serve(settings: Settings, node: Node) -> None:
    running = asyncio.ensure_future(NodeServer(settings, node).run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    await asyncio.gather(running, return_exceptions=False)


def main() -> int:
    """0 after a clean stop, 2 when it cannot start."""
    configure("node")
    descriptors.raise_limit()
    settings = get_settings()
    warn_of_unknown_variables()
    try:
        check_machine(settings)
        node = read_node(settings)
        with take_folder(node.folder):
            asyncio.run(_serve(settings, node))
    except asyncio.CancelledError:
        return 0
    except (TlsError, NodeError, OSError) as error:
        _log.error("node-cannot-start", reason=str(error))
        return 2
    return 0
