"""Frames on the private sockets between front, worker and parser: one kind byte, four length bytes, the content.

Contract: ``send_frame`` writes a whole frame; ``receive_frame`` returns one whole frame, None at a clean end, and calls
``while_waiting`` about every 100 ms until the frame is whole, however it drips in (it may raise to give up; ``until``
gives up at a time). Length is big-endian. One open
descriptor may travel with the header (``handover``); receivers that do not ask for it (``FrameReader``) never hold it.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator

QUERY, SCHEMA, BATCH, ERROR, DONE, PARSE, TREE = b"Q", b"S", b"B", b"E", b"D", b"P", b"T"
SHARED, LENT = b"M", b"L"
"""A batch in shared memory; LENT: the memory's descriptor comes with it."""
READ = b"R"
"""What the query has read so far, as JSON; before the first row that leaves before the end."""
_HEADER = struct.Struct("!cI")
MAXIMUM_FRAME = 64 << 20
"""Bytes. A batch is at most 8 MiB; a parser's tree of a long statement can reach a few tens of MiB."""
_SMALL = 64 << 10
_TICK_SECONDS = 0.1


class BrokenFrameError(ConnectionError):
    """The other process ended in the middle of a frame, or sent something that is none."""


def packed(kind: bytes, content: bytes | memoryview) -> bytes:
    """A whole frame as bytes."""
    return b"".join((_HEADER.pack(kind, len(content)), content))


def send_frame(peer: socket.socket, kind: bytes, content: bytes | memoryview, descriptor: int | None = None) -> None:
    """Write one frame; blocks while the other side reads slowly. Raises OSError when it is gone."""
    header = _HEADER.pack(kind, len(content))
    if descriptor is not None:
        socket.send_fds(peer, [header], [descriptor])
        peer.sendall(content)
    elif len(content) <= _SMALL:
        peer.sendall(packed(kind, content))
    else:
        peer.sendall(header)
        peer.sendall(content)


def receive_frame(
    peer: socket.socket, while_waiting: Callable[[], None] | None = None
) -> tuple[bytes, bytearray] | None:
    """Next frame, or None when the other side closed between frames. Raises BrokenFrameError."""
    header = _receive(peer, _HEADER.size, while_waiting)
    if header is None:
        return None
    kind, length = _unpacked(header)
    content = _receive(peer, length, while_waiting)
    if content is None:
        raise BrokenFrameError("expected the content of a frame, found the end")
    return kind, content


class FrameReader:
    """Whole frames out of what arrives, read as it comes: a small answer is one system call.

    Holds descriptors that came along until somebody takes them; ``close`` closes the rest.
    """

    def __init__(self, peer: socket.socket, most_descriptors: int) -> None:
        self._peer = peer
        self._most = most_descriptors
        self._held = bytearray()
        self._at = 0
        self._descriptors: deque[int] = deque()
        self.was_reset = False
        """The other side closed while bytes for it lay unread, or never took the connection (Linux, ``unix(7)``)."""

    def receive(self, while_waiting: Callable[[], None] | None = None) -> tuple[bytes, bytes] | None:
        """Next frame, or None when the other side closed between frames. Raises BrokenFrameError."""
        if not self._fill(_HEADER.size, while_waiting):
            return None
        kind, length = _unpacked(self._take(_HEADER.size))
        if not self._fill(length, while_waiting):
            raise BrokenFrameError("expected the content of a frame, found the end")
        return kind, self._take(length)

    def kinds_at_hand(self) -> Iterator[bytes]:
        """Kinds of the whole frames that have arrived already, in order; reads nothing."""
        at = self._at
        while at + _HEADER.size <= len(self._held):
            kind, length = _HEADER.unpack_from(self._held, at)
            at += _HEADER.size + length
            if at > len(self._held):
                return
            yield kind

    def take_descriptor(self) -> int | None:
        """The oldest that nobody has taken, now the caller's; None when there is none."""
        return self._descriptors.popleft() if self._descriptors else None

    def close(self) -> None:
        """Let go of the descriptors; harmless when called again."""
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def _take(self, length: int) -> bytes:
        found = bytes(memoryview(self._held)[self._at : self._at + length])
        self._at += length
        return found

    def _fill(self, length: int, while_waiting: Callable[[], None] | None) -> bool:
        """Have that much at hand; False at a clean end."""
        if self._at and len(self._held) - self._at < length:
            del self._held[: self._at]
            self._at = 0
        patience = _Patience(self._peer, while_waiting)
        while (missing := length - (len(self._held) - self._at)) > 0:
            patience.wait()
            try:
                content, descriptors, _, _ = socket.recv_fds(self._peer, max(missing, _SMALL), 1)
            except ConnectionError as error:
                content, descriptors = b"", []
                self.was_reset = isinstance(error, ConnectionResetError)
            self._descriptors += descriptors
            if len(self._descriptors) > self._most:
                raise BrokenFrameError(f"expected at most {self._most} descriptors at once, found more")
            if not content:
                if self._held:
                    raise BrokenFrameError(f"expected {missing} bytes more, found the end")
                return False
            self._held += content
        return True


def discard(peer: socket.socket, while_waiting: Callable[[], None]) -> None:
    """Read and forget what comes until the other side closes. Raises OSError, and what ``while_waiting`` raises."""
    patience = _Patience(peer, while_waiting)
    while True:
        patience.wait()
        if not peer.recv(_SMALL):
            return


def _unpacked(header: bytes | bytearray) -> tuple[bytes, int]:
    kind, length = _HEADER.unpack(header)
    if length > MAXIMUM_FRAME:
        raise BrokenFrameError(f"expected a frame of at most {MAXIMUM_FRAME} bytes, found {length}")
    return kind, length


def until(ends_at: float) -> Callable[[], None]:
    """For ``while_waiting``: raises TimeoutError once ``time.monotonic()`` is beyond that."""

    def check() -> None:
        if time.monotonic() > ends_at:
            raise TimeoutError

    return check


class _Patience:
    """Waiting for one frame."""

    def __init__(self, peer: socket.socket, while_waiting: Callable[[], None] | None) -> None:
        self._peer, self._ask = peer, while_waiting
        self._ask_at = 0.0

    def wait(self) -> None:
        """Until there is something to read."""
        if self._ask is None:
            return
        if not self._ask_at:
            self._ask_at = time.monotonic() + _TICK_SECONDS
        elif time.monotonic() > self._ask_at:  # the other process sends just enough for never being waited for
            self._asked()
        poll = select.poll()
        poll.register(self._peer, select.POLLIN)
        while not poll.poll(_TICK_SECONDS * 1000):
            self._asked()

    def _asked(self) -> None:
        if self._ask is not None:
            self._ask()
        self._ask_at = time.monotonic() + _TICK_SECONDS


def _receive(peer: socket.socket, length: int, while_waiting: Callable[[], None] | None) -> bytearray | None:
    content = bytearray(length)
    view, filled = memoryview(content), 0
    patience = _Patience(peer, while_waiting)
    while filled < length:
        patience.wait()
        try:
            count = peer.recv_into(view[filled:])
        except ConnectionError:
            count = 0
        if count == 0:
            if filled:
                raise BrokenFrameError(f"expected {length} bytes, found the end after {filled}")
            return None
        filled += count
    return content
