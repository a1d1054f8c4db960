"""The only way out of the sandbox that fetches packages: a proxy that leads to the mirror and nowhere else.

The sandbox has no network, only this proxy's socket (``enclave.packages.inside`` carries pip's connections to it). What
pip asks for is hostile: an index names files anywhere, a server redirects anywhere. Contract: a connection is made to a
place of the ``Mirror`` alone, at the addresses that were found and judged before; whatever else is asked for is
refused, and told to ``refused`` before the answer goes back. TLS passes through unopened (``CONNECT``, RFC 9110 9.3.6);
plain http is there for a mirror on loopback, one request per connection. Non-goal: to look at what is fetched.
"""

from __future__ import annotations

import re
import select
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from enclave.listening import listen_in
from enclave.packages.mirror import Mirror, Place, normal_host

SOCKET = "way-out.sock"
Refused = Callable[[str], None]
"""What was asked for, as ``host:port`` in printable letters; called from the proxy's threads, one at a time."""

_MOST_CONNECTIONS = 32
_LARGEST_HEAD = 16_384
_SECONDS = 60.0
_ASKED = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,255}", re.ASCII)
_CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_AWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class _Refusal(Exception):
    """This place may not be asked."""


class WayOut:
    """``with WayOut(folder, mirror, refused):`` – it listens in ``folder`` meanwhile."""

    def __init__(self, folder: Path, mirror: Mirror, refused: Refused) -> None:
        self._folder, self._mirror, self._refused = folder, mirror, refused
        self._room = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._told = threading.Lock()
        self._ending, self._end = socket.socketpair()
        self._listener: socket.socket | None = None
        self._thread = threading.Thread(target=self._accept, name="way-out", daemon=True)
        self._serving: list[threading.Thread] = []

    def __enter__(self) -> WayOut:
        self._listener = listen_in(self._folder, SOCKET)
        (self._folder / SOCKET).chmod(0o666)  # the folder above keeps everybody else out
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end.close()
        self._thread.join(_SECONDS)
        for thread in self._serving:
            thread.join(_SECONDS)
        self._ending.close()
        if self._listener is not None:
            self._listener.close()
        (self._folder / SOCKET).unlink(missing_ok=True)

    def _accept(self) -> None:
        listener = self._listener
        while listener is not None:
            if self._ending in select.select([listener, self._ending], [], [])[0]:
                return
            connection = listener.accept()[0]
            if not self._room.acquire(blocking=False):
                connection.close()
                continue
            self._serving = [thread for thread in self._serving if thread.is_alive()]
            thread = threading.Thread(target=self._serve, args=(connection,), name="way-out-one", daemon=True)
            self._serving.append(thread)
            thread.start()

    def _serve(self, asking: socket.socket) -> None:
        """One connection of the sandbox."""
        try:
            with asking, suppress(OSError):
                asking.settimeout(_SECONDS)
                self._answer(asking)
        finally:
            self._room.release()

    def _answer(self, asking: socket.socket) -> None:
        head, rest = _read_head(asking)
        try:
            place, first = self._judge(head)
        except _Refusal as refusal:
            with self._told:
                self._refused(str(refusal))
            asking.sendall(_FORBIDDEN)
            return
        with ExitStack() as closing:
            try:
                server = closing.enter_context(_connect(place))
            except OSError:
                asking.sendall(_AWAY)
                return
            if first is None:
                asking.sendall(_CONNECTED)
            server.sendall((first or b"") + rest)
            _carry(asking, server, self._ending)

    def _judge(self, head: bytes) -> tuple[Place, bytes | None]:
        """Where to, and what to say there first; None: nothing, it is a tunnel. Raises _Refusal."""
        method, target = (*head.split(b"\r\n", 1)[0].decode("ascii", "replace").split(" "), "", "")[:2]
        is_tunnel = method == "CONNECT"
        try:
            parts = urlsplit(f"//{target}" if is_tunnel else target)
            host, port = normal_host(parts.hostname or ""), parts.port
        except ValueError:
            raise _Refusal("something that is no address") from None
        port = port or (443 if is_tunnel else 80)
        place = self._mirror.find(host, port)
        if place is None or parts.username or not (is_tunnel or (place.is_plain and parts.scheme == "http")):
            asked = f"{host}:{port}"
            raise _Refusal(asked if host and _ASKED.fullmatch(asked) else "something that is no address")
        if is_tunnel:
            return place, None
        if method not in ("GET", "HEAD"):
            raise _Refusal(f"{host}:{port}")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return place, _plain_request(method, path, head)


def _plain_request(method: str, path: str, head: bytes) -> bytes:
    """For the server itself (RFC 9112 3.2.1), and the last one on its connection."""
    fields = head.split(b"\r\n")[1:]
    kept = [one for one in fields if one and not one.lower().startswith((b"connection:", b"proxy-", b"keep-alive:"))]
    return b"\r\n".join([f"{method} {path} HTTP/1.1".encode(), *kept, b"Connection: close", b"", b""])


def _read_head(asking: socket.socket) -> tuple[bytes, bytes]:
    """A request's head, and what came behind it. Raises OSError when there is none."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = asking.recv(4096)
        if not chunk or len(received) > _LARGEST_HEAD:
            raise OSError("expected the head of a request")
        received += chunk
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


def _connect(place: Place) -> socket.socket:
    """To the addresses that were found before, one after the other; no name is looked up. Raises OSError."""
    problem: OSError | None = None
    for address in place.addresses:
        try:
            return socket.create_connection((address, place.port), _SECONDS)
        except OSError as error:
            problem = error
    raise problem or OSError("no address")


def _carry(one: socket.socket, other: socket.socket, ending: socket.socket) -> None:
    """Bytes both ways until both have ended, nobody says anything for a minute, or the fetch is over."""
    towards = {one: other, other: one}
    while towards:
        ready = select.select([*towards, ending], [], [], _SECONDS)[0]
        if not ready or ending in ready:
            return
        for reading in ready:
            chunk = reading.recv(65_536)
            writing = one if reading is other else other
            if chunk:
                writing.sendall(chunk)
            else:
                del towards[reading]
                with suppress(OSError):
                    writing.shutdown(socket.SHUT_WR)
