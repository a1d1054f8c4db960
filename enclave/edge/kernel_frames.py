"""Kernel messages as WebSocket frames, in the three forms Jupyter Server writes them. Pure.

Text frames are JSON; binary ones are ``v1.kernel.websocket.jupyter.org`` (64-bit little-endian offsets: channel,
header, parent header, metadata, content, buffers) or, without a subprotocol, the older form (32-bit big-endian
offsets: JSON, buffers); see ``jupyter_server/services/kernels/connection/base.py``. Frames are read strictly: gaps,
overlaps or anything but JSON objects give None, so that the browser cannot read a frame differently.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import orjson

V1_PROTOCOL = "v1.kernel.websocket.jupyter.org"
_MOST_PARTS = 4096
_JSON_PARTS = ("header", "parent_header", "metadata", "content")

Data = str | bytes


class Form(Enum):
    """How a frame is written."""

    TEXT = "text"
    OLD_BINARY = "old-binary"
    V1_BINARY = "v1-binary"


@dataclass(frozen=True)
class KernelMessage:
    """One message. ``fields`` are the JSON objects header, parent_header, metadata, content, and channel."""

    form: Form
    fields: dict[str, Any]
    buffers: tuple[bytes, ...] = field(default=())

    @property
    def msg_type(self) -> str:
        """``header.msg_type``, which is what JupyterLab goes by; empty when it is no text."""
        found = self.fields["header"].get("msg_type")
        return found if isinstance(found, str) else ""

    @property
    def parent_id(self) -> str:
        """Id of the request this answers; empty when there is none."""
        found = self.fields["parent_header"].get("msg_id")
        return found if isinstance(found, str) else ""

    @property
    def content(self) -> dict[str, Any]:
        """The content object."""
        content: dict[str, Any] = self.fields["content"]
        return content

    def with_content(self, content: dict[str, Any]) -> KernelMessage:
        """The same message with another content."""
        return replace(self, fields={**self.fields, "content": content})


def parse_frame(data: Data, protocol: str | None) -> KernelMessage | None:
    """The message in a frame of a channel that speaks ``protocol`` (None: no subprotocol); None when it is not one."""
    try:
        if isinstance(data, str):
            return _message(Form.TEXT, orjson.loads(data), ())
        if protocol == V1_PROTOCOL:
            return _parse_v1(data)
        parts = _cut(data, ">I")
        return _message(Form.OLD_BINARY, orjson.loads(parts[0]), tuple(parts[1:]))
    except (ValueError, struct.error, IndexError, UnicodeError):
        return None


def _parse_v1(data: bytes) -> KernelMessage | None:
    parts = _cut(data, "<Q")
    texts = {name: orjson.loads(part) for name, part in zip(_JSON_PARTS, parts[1:5], strict=True)}
    return _message(Form.V1_BINARY, {**texts, "channel": parts[0].decode()}, tuple(parts[5:]))


def _cut(data: bytes, unit: str) -> list[bytes]:
    """The parts between consecutive offsets. Raises ValueError, struct.error when they do not cover the frame."""
    width = struct.calcsize(unit)
    (count,) = struct.unpack_from(unit, data)
    if not 1 <= count <= _MOST_PARTS:
        raise ValueError("expected a plausible number of parts")
    offsets = list(struct.unpack_from(f"{unit[0]}{count}{unit[1]}", data, width))
    # The old form leaves the end of the last part to the frame's end, the new one writes it down.
    ends = offsets[1:] if unit == "<Q" else [*offsets[1:], len(data)]
    starts = offsets[: len(ends)]
    if starts[0] != width * (count + 1) or ends[-1] != len(data):
        raise ValueError("expected parts that fill the frame")
    if any(start > end for start, end in zip(starts, ends, strict=True)):
        raise ValueError("expected parts in order")
    return [data[start:end] for start, end in zip(starts, ends, strict=True)]


def _message(form: Form, fields: Any, buffers: tuple[bytes, ...]) -> KernelMessage | None:
    if not isinstance(fields, dict) or not all(isinstance(fields.get(name), dict) for name in _JSON_PARTS):
        return None
    return KernelMessage(form, fields, buffers)


def encode_frame(message: KernelMessage) -> Data:
    """The frame again, in the form it came in."""
    if message.form is Form.TEXT:
        return orjson.dumps(message.fields).decode()
    if message.form is Form.V1_BINARY:
        channel = str(message.fields.get("channel", "")).encode()
        parts = [channel, *(orjson.dumps(message.fields[name]) for name in _JSON_PARTS), *message.buffers]
        return _join(parts, "<Q")
    return _join([orjson.dumps(message.fields), *message.buffers], ">I")


def _join(parts: list[bytes], unit: str) -> bytes:
    width = struct.calcsize(unit)
    count = len(parts) + (unit == "<Q")
    offsets = [width * (count + 1)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return struct.pack(f"{unit[0]}{count + 1}{unit[1]}", count, *offsets[:count]) + b"".join(parts)


def sentence_message(answered: KernelMessage, text: str) -> KernelMessage:
    """A line on the error stream of the cell that ``answered`` belongs to, in the edge's own words."""
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": "stream",
        "username": "enclave-edge",
        "session": "enclave-edge",
        "date": datetime.now(UTC).isoformat(),
        "version": "5.3",
    }
    fields = {
        "header": header,
        "msg_id": header["msg_id"],
        "msg_type": "stream",
        "parent_header": answered.fields["parent_header"],
        "metadata": {},
        "content": {"name": "stderr", "text": text + "\n"},
        "channel": "iopub",
        "buffers": [],
    }
    return KernelMessage(answered.form, fields)
