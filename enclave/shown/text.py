"""An archived message as words for a terminal: text as it is, pictures by type and size. Pure.

Control characters are written out: a researcher chose these bytes, and an auditor's terminal must not obey them.
"""

from __future__ import annotations

import json
from typing import Any

from enclave.edge.displayed import MIME_TYPE
from enclave.edge.kernel_frames import V1_PROTOCOL, KernelMessage, parse_frame
from enclave.edge.terminal_frames import read_shown, without_escapes
from enclave.shown.sealing import Shown


def as_text(shown: Shown) -> str:
    """Never fails: what has no known form, or is nested past all reading, is named by its size."""
    if shown.kind == "terminal" and (text := read_shown(shown.content)) is not None:
        return _visible(without_escapes(text))
    try:
        lines = _of_message(shown.content) if shown.kind == "message" else _of_file(shown.content)
    except (ValueError, RecursionError):
        lines = None
    return f"<{len(shown.content)} bytes>" if lines is None else _visible("\n".join(lines))


def _of_message(content: str | bytes) -> list[str] | None:
    message = _message(content)
    return None if message is None else _lines(message)


def _of_file(content: str | bytes) -> list[str] | None:
    model = json.loads(content)
    return [f"[opened] {model.get('path', '')}", *_content(model.get("content"))] if isinstance(model, dict) else None


def _message(content: str | bytes) -> KernelMessage | None:
    for protocol in (None,) if isinstance(content, str) else (V1_PROTOCOL, None):
        if (found := parse_frame(content, protocol)) is not None:
            return found
    return None


def _lines(message: KernelMessage) -> list[str]:
    content = message.content
    if message.msg_type == "stream":
        return [str(content.get("text", ""))]
    if message.msg_type == "error":
        return [f"{content.get('ename')}: {content.get('evalue')}"]
    return [f"[{message.msg_type}]", *_content(content)]


def _content(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [line for inner in value for line in _content(inner)]
    if not isinstance(value, dict):
        return [] if value is None else [json.dumps(value)]
    if any(MIME_TYPE.match(key) for key in value):
        return [line for key, inner in value.items() for line in _of_type(key, inner)]
    return [line for inner in value.values() for line in _content(inner)]


def _of_type(key: str, value: Any) -> list[str]:
    text = (
        "".join(map(str, value)) if isinstance(value, list) else value if isinstance(value, str) else json.dumps(value)
    )
    return [text] if key in ("text/plain", "text/markdown", "text/latex") else [f"<{key}, {len(text)} characters>"]


def _visible(text: str) -> str:
    return "".join(c if c in "\n\t" or c.isprintable() else f"\\x{ord(c):02x}" for c in text)
