"""Frames on the private sockets between front, worker and parser: one kind byte, four length bytes, the content.

Contract: ``send_frame`` writes a whole frame; ``receive_frame`` returns one whole frame, None at a clean end, and calls
``while_waiting`` about every 100 ms until something arrives (it may raise to give up). Length is big-endian.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable

QUERY, SCHEMA, BATCH, ERROR, DONE, PARSE, TREE = b"Q", b"S", b"B", b"E", b"D", b"P", b"T"
_HEADER = struct.Struct("!cI")
MAXIMUM_FRAME = 64 << 20
"""Bytes. A batch is at most 8 MiB; a parser's tree of a long statement can reach a few tens of MiB."""
_TICK_MS = 100


class BrokenFrameError(ConnectionError):
    """The other process ended in the middle of a frame, or sent something that is none."""


def send_frame(peer: socket.socket, kind: bytes, content: bytes | memoryview) -> None:
    """Write one frame; blocks while the other side reads slowly. Raises OSError when it is gone."""
    peer.sendall(_HEADER.pack(kind, len(content)))
    peer.sendall(content)


def receive_frame(
    peer: socket.socket, while_waiting: Callable[[], None] | None = None
) -> tuple[bytes, bytearray] | None:
    """Next frame, or None when the other side closed between frames. Raises BrokenFrameError."""
    header = _receive(peer, _HEADER.size, while_waiting)
    if header is None:
        return None
    kind, length = _HEADER.unpack(header)
    if length > MAXIMUM_FRAME:
        raise BrokenFrameError(f"expected a frame of at most {MAXIMUM_FRAME} bytes, found {length}")
    content = _receive(peer, length, while_waiting)
    if content is None:
        raise BrokenFrameError("expected the content of a frame, found the end")
    return kind, content


def _receive(peer: socket.socket, length: int, while_waiting: Callable[[], None] | None) -> bytearray | None:
    content = bytearray(length)
    view, filled = memoryview(content), 0
    poll = select.poll()
    poll.register(peer, select.POLLIN)
    while filled < length:
        if while_waiting is not None and not poll.poll(_TICK_MS):
            while_waiting()
            continue
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
