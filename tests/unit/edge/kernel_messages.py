"""Kernel messages as Jupyter Server writes them, byte for byte (its ``connection/base.py``)."""

from __future__ import annotations

import json
import struct
from typing import Any

FORMS = ("text", "old-binary", "v1-binary")
V1 = "v1.kernel.websocket.jupyter.org"


def message(kind: str, content: dict[str, Any], parent: str = "request-1") -> dict[str, Any]:
    header = {"msg_id": "m", "msg_type": kind, "username": "", "session": "s", "date": "d", "version": "5.3"}
    return {
        "header": header,
        "msg_id": "m",
        "msg_type": kind,
        "parent_header": {"msg_id": parent, "msg_type": "execute_request"},
        "metadata": {},
        "content": content,
        "channel": "iopub",
    }


def frame(given: dict[str, Any], form: str, buffers: tuple[bytes, ...] = ()) -> str | bytes:
    if form == "text":
        return json.dumps({**given, "buffers": []})
    if form == "old-binary":
        parts = [json.dumps(given).encode(), *buffers]
        offsets = [4 * (len(parts) + 1)]
        for part in parts[:-1]:
            offsets.append(offsets[-1] + len(part))
        return struct.pack("!" + "I" * (len(parts) + 1), len(parts), *offsets) + b"".join(parts)
    texts = [json.dumps(given[name]).encode() for name in ("header", "parent_header", "metadata", "content")]
    parts = [b"iopub", *texts, *buffers]
    offsets = [8 * (len(parts) + 2)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return b"".join(number.to_bytes(8, "little") for number in (len(offsets), *offsets)) + b"".join(parts)


def protocol_of(form: str) -> str | None:
    return V1 if form == "v1-binary" else None
