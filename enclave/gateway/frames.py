"""Frames on the private sockets between front, worker and parser: one kind byte, four length bytes, the content.

Contract: ``send_frame`` writes a whole frame; ``receive_frame`` returns one whole frame, None at a clean end, and calls
``while_waiting`` about every 100 ms until something arrives (it may raise to give up). Length is big-endian. One open
descriptor may travel with the header (``handover``); receivers that do not ask for it never hold it.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable

QUERY, SCHEMA, BATCH, ERROR, DONE, PARSE, TREE, SHARED = b"Q", b"S", b"B", b"E", b"D", b"P", b"T", b"M"
READ = b"R"
"""What the query has read so far, as JSON; before the first row that leaves before the end."""
_HEADER = struct.Struct("!cI")
MAXIMUM_FRAME = 64 << 20
"""Bytes. A batch is at most 8 MiB; a parser's tree of a long statement can reach a few tens of MiB."""
_SMALL = 64 << 10
_TICK_MS = 100


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
    return kind, receive_exactly(peer, length, while_waiting)


def receive_frame_from(
    peer: socket.socket, while_waiting: Callable[[], None] | None = None
) -> tuple[bytes, int, int | None] | None:
    """Only the header: kind, length of the content that follows, and the descriptor that came along, now ours."""
    if while_waiting is not None:
        _wait(peer, while_waiting)
    try:
        start, descriptors, _, _ = socket.recv_fds(peer, _HEADER.size, 1)
    except ConnectionError:
        return None
    descriptor = descriptors[0] if descriptors else None
    try:
        for surplus in descriptors[1:]:
            os.close(surplus)
        if not start:
            return None
        rest = receive_exactly(peer, _HEADER.size - len(start), while_waiting)
        kind, length = _unpacked(start + rest)
    except BaseException:
        if descriptor is not None:
            os.close(descriptor)
        raise
    return kind, length, descriptor


def receive_exactly(peer: socket.socket, length: int, while_waiting: Callable[[], None] | None) -> bytearray:
    """``length`` bytes. Raises BrokenFrameError when the other side ends before."""
    content = _receive(peer, length, while_waiting)
    if content is None:
        raise BrokenFrameError("expected the content of a frame, found the end")
    return content


def _unpacked(header: bytes | bytearray) -> tuple[bytes, int]:
    kind, length = _HEADER.unpack(header)
    if length > MAXIMUM_FRAME:
        raise BrokenFrameError(f"expected a frame of at most {MAXIMUM_FRAME} bytes, found {length}")
    return kind, length


def _wait(peer: socket.socket, while_waiting: Callable[[], None]) -> None:
    poll = select.poll()
    poll.register(peer, select.POLLIN)
    while not poll.poll(_TICK_MS):
        while_waiting()


def _receive(peer: socket.socket, length: int, while_waiting: Callable[[], None] | None) -> bytearray | None:
    content = bytearray(length)
    view, filled = memoryview(content), 0
    while filled < length:
        if while_waiting is not None:
            _wait(peer, while_waiting)
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
