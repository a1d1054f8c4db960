"""Connect to a unix socket without ever following a link on the way (a link in a workspace's reach must lead nowhere).

Each folder of the path is opened with ``O_NOFOLLOW`` relative to the one before, the last part must be a socket, and
the connection goes to exactly that inode through ``/proc/self/fd``. Measured: with a proxy that follows links, a
researcher's ``ln -s /var/run/docker.sock`` made the proxy talk to the Docker daemon.
"""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import aiohttp
from aiohttp.client_exceptions import ClientConnectorError, UnixClientConnectorError
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace


class SocketRefusedError(OSError):
    """The path leads over a link or does not end at a socket."""


def open_socket(path: Path) -> int:
    """An ``O_PATH`` descriptor of the socket at ``path``; the caller closes it.

    Raises SocketRefusedError when a part is a link or the end is no socket, FileNotFoundError when it is not there.
    """
    if not path.is_absolute():
        raise SocketRefusedError(f"Expected an absolute path of a socket, found {path}.")
    folder = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        for part in path.parts[1:-1]:
            below = _open_part(part, folder, os.O_DIRECTORY)
            os.close(folder)
            folder = below
        end = _open_part(path.name, folder, 0)
    finally:
        os.close(folder)
    if not stat.S_ISSOCK(os.fstat(end).st_mode):
        os.close(end)
        raise SocketRefusedError(f"Expected a socket at {path.name}, found something else.")
    return end


def _open_part(part: str, folder: int, kind: int) -> int:
    if part in ("", ".", ".."):
        raise SocketRefusedError("Expected a plain path of a socket, found a step upwards in it.")
    try:
        return os.open(part, os.O_PATH | os.O_NOFOLLOW | kind, dir_fd=folder)
    except NotADirectoryError as error:
        raise SocketRefusedError(f"Expected a folder at {part}, found a link or a file.") from error


class CheckedUnixConnector(aiohttp.BaseConnector):
    """A connector for one socket path, checked anew at each connection; connections are not reused."""

    def __init__(self, path: Path) -> None:
        super().__init__(force_close=True, limit=0)
        self._socket_path = path

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        try:
            descriptor = open_socket(self._socket_path)
            try:
                async with asyncio.timeout(timeout.sock_connect or 10):
                    _, protocol = await self._loop.create_unix_connection(
                        lambda: ResponseHandler(self._loop), f"/proc/self/fd/{descriptor}"
                    )
            finally:
                os.close(descriptor)
        except OSError as error:
            raise UnixClientConnectorError(str(self._socket_path), req.connection_key, error) from error
        return protocol


class Upstreams:
    """One client session per socket path; close it when the server ends."""

    def __init__(self) -> None:
        self._sessions: dict[Path, aiohttp.ClientSession] = {}

    def session(self, path: Path) -> aiohttp.ClientSession:
        """The session for a socket; made at first use inside the running loop."""
        if path not in self._sessions:
            self._sessions[path] = aiohttp.ClientSession(
                connector=CheckedUnixConnector(path),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
                skip_auto_headers={"User-Agent", "Accept", "Accept-Encoding", "Content-Type"},
            )
        return self._sessions[path]

    async def forget(self, path: Path) -> None:
        """Close the session of a socket that is no more routed to."""
        session = self._sessions.pop(path, None)
        if session is not None:
            await session.close()

    async def close(self) -> None:
        """Close all."""
        for path in list(self._sessions):
            await self.forget(path)


UNREACHABLE = (ClientConnectorError, aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
