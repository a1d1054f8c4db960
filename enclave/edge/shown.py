"""What of a workspace's answers reaches the browser, cleaned: kernel messages and contents answers.

Large values are cleaned in a thread, so that one person's output does not hold up the others. A frame that cannot be
read does not go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson

from enclave.edge.displayed import clean_contents, clean_tree
from enclave.edge.kernel_frames import Data, KernelMessage, encode_frame, parse_frame

_IN_A_THREAD = 8_000


class UnreadableAnswerError(Exception):
    """An answer that had to be JSON was something else."""


async def clean_message(message: KernelMessage, data: Data) -> Data:
    """The frame that goes on; ``data`` is the one ``message`` was read from. Raises UnreadableAnswerError."""
    if not _may_hold_markup(data):
        return data
    try:
        return _cleaned(message) if len(data) < _IN_A_THREAD else await asyncio.to_thread(_cleaned, message)
    except (RecursionError, ValueError, TypeError) as error:
        raise UnreadableAnswerError from error


async def clean_frame(data: Data, protocol: str | None) -> Sequence[Data]:
    """What goes on to the browser in place of a kernel's frame."""
    message = parse_frame(data, protocol)
    if message is None:
        return ()
    try:
        return (await clean_message(message, data),)
    except UnreadableAnswerError:
        return ()


def _may_hold_markup(data: Data) -> bool:
    """A MIME type needs a slash, written plainly or as an escape."""
    if isinstance(data, str):
        return "/" in data or "\\" in data
    return b"/" in data or b"\\" in data


def _cleaned(message: KernelMessage) -> Data:
    return encode_frame(message.with_content(clean_tree(message.content)))


async def clean_contents_answer(body: bytes) -> bytes:
    """The JSON body of a contents answer, cleaned. Raises UnreadableAnswerError."""
    return await asyncio.to_thread(_cleaned_contents, body)


def _cleaned_contents(body: bytes) -> bytes:
    try:
        return orjson.dumps(clean_contents(orjson.loads(body)))
    except (ValueError, RecursionError, TypeError) as error:
        raise UnreadableAnswerError from error
