"""Messages between client and daemon: u32 big-endian length, then one JSON object in UTF-8."""

from __future__ import annotations

import json
import struct
from typing import Any

import orjson

MAX_MESSAGE_BYTES = 4 * 2**20
_LENGTH = struct.Struct(">I")
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class WireError(ValueError):
    """The other side does not speak this protocol."""


def encode_message(message: dict[str, Any]) -> bytes:
    """One message's bytes; raise :class:`WireError` beyond :data:`MAX_MESSAGE_BYTES`."""
    return frame_body(encode_body(message))


def encode_body(message: dict[str, Any]) -> bytes:
    """The JSON of a message, without its length."""
    try:
        return orjson.dumps(message)
    except TypeError:
        # text with a lone surrogate (SQL may hold anything): written as an escape, which UTF-8 cannot
        return _encode(message).encode()


def frame_body(body: bytes) -> bytes:
    """Put the length before a message's JSON; raise :class:`WireError` beyond :data:`MAX_MESSAGE_BYTES`."""
    if len(body) > MAX_MESSAGE_BYTES:
        raise WireError(f"A message may take {MAX_MESSAGE_BYTES} bytes, found {len(body)}.")
    return _LENGTH.pack(len(body)) + body


def take_messages(buffer: bytearray) -> list[dict[str, Any]]:
    """Remove every complete message from the front of ``buffer``; raise :class:`WireError`."""
    messages: list[dict[str, Any]] = []
    at, have = 0, len(buffer)
    while have - at >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(buffer, at)
        if length > MAX_MESSAGE_BYTES:
            raise WireError(f"A message may take {MAX_MESSAGE_BYTES} bytes, found {length} announced.")
        end = at + _LENGTH.size + length
        if end > have:
            break
        messages.append(decode_body(bytes(buffer[at + _LENGTH.size : end])))
        at = end
    del buffer[:at]
    return messages


def decode_body(body: bytes) -> dict[str, Any]:
    """Read one message without its length."""
    try:
        message = orjson.loads(body)
    except ValueError:
        message = _decode_slowly(body)
    if not isinstance(message, dict):
        raise WireError("Expected a JSON object.")
    return message


def _decode_slowly(body: bytes) -> Any:
    """What orjson refuses and JSON allows: escapes of lone surrogates."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireError("Expected a JSON object.") from error
