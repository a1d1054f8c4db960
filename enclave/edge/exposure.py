"""What counts as shown, and what follows from how much: pure rules over messages and numbers.

Bytes are those of the frame or body as the workspace sent it. Rows are a documented guess, meant for tables: the most
of ``<tr`` tags or lines in any representation of an output, lines of a stream, the longest list in a JSON output.
Messages that only drive the notebook count above ``OVERHEAD_PER_MESSAGE``; what stays below adds up to an overhead of
its own, which counts above ``OVERHEAD_PER_DAY``. So every byte is in one of two sums, and neither is without limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from enclave.edge.displayed import MIME_TYPE
from enclave.edge.kernel_frames import KernelMessage

OVERHEAD_PER_MESSAGE = 2048
OVERHEAD_PER_DAY = 64_000_000
"""JupyterLab's own scripts, listings, settings and status messages: a few opened tabs' worth."""

_DRIVING = frozenset(
    "status execute_input execute_reply kernel_info_reply shutdown_reply interrupt_reply comm_info_reply "
    "is_complete_reply complete_reply history_reply iopub_welcome debug_reply debug_event".split()
)


class ExposureState(StrEnum):
    """Where a person stands today."""

    OK = "ok"
    WARNED = "warned"
    SLOWED = "slowed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Budget:
    """What the data permit lets one person see in a day (UTC)."""

    bytes: int
    rows: int


@dataclass(frozen=True)
class Volume:
    """Shown bytes and rows, messages, and bytes of overhead."""

    bytes: int = 0
    rows: int = 0
    messages: int = 0
    overhead: int = 0

    def __add__(self, other: Volume) -> Volume:
        return Volume(
            self.bytes + other.bytes,
            self.rows + other.rows,
            self.messages + other.messages,
            self.overhead + other.overhead,
        )

    def __sub__(self, other: Volume) -> Volume:
        return self + Volume(-other.bytes, -other.rows, -other.messages, -other.overhead)

    @property
    def shown_bytes(self) -> int:
        """What is held against the budget."""
        return self.bytes + max(0, self.overhead - OVERHEAD_PER_DAY)


def decide_state(shown: Volume, budget: Budget) -> ExposureState:
    """Warned from 80 %, slowed above 100 %, stopped from 150 % of whichever budget is nearer to its end."""
    used = ((shown.shown_bytes, budget.bytes), (shown.rows, budget.rows))
    if any(2 * amount >= 3 * limit for amount, limit in used):
        return ExposureState.STOPPED
    if any(amount > limit for amount, limit in used):
        return ExposureState.SLOWED
    if any(5 * amount >= 4 * limit for amount, limit in used):
        return ExposureState.WARNED
    return ExposureState.OK


def measure_message(message: KernelMessage | None, size: int) -> Volume:
    """The volume of one frame of ``size`` bytes. None (nobody could read it) counts wholly."""
    if message is None:
        return Volume(size, 0, 1)
    if is_driving(message):
        overhead = min(size, OVERHEAD_PER_MESSAGE)
        shown = size - overhead
        return Volume(shown, count_rows(message.content) if shown else 0, 1, overhead)
    return Volume(size, count_rows(message.content), 1)


def is_driving(message: KernelMessage) -> bool:
    """A message that drives the notebook and shows little by itself."""
    return message.msg_type in _DRIVING


def is_plain_status(message: KernelMessage) -> bool:
    """Busy, idle or starting, and nothing beside it."""
    is_bare = not message.fields["metadata"] and not message.buffers
    states = ({"execution_state": state} for state in ("busy", "idle", "starting"))
    return message.msg_type == "status" and is_bare and message.content in states


def measure_contents(model: Any, size: int) -> Volume:
    """The volume of a contents answer: what is in a file counts as shown, a folder's listing as overhead."""
    content = model.get("content") if isinstance(model, dict) else None
    if content is None or (isinstance(content, list) and model.get("type") == "directory"):
        return Volume(overhead=size)
    rows = count_lines(content) if isinstance(content, str) else count_rows(content)
    return Volume(size, rows, 1)


def count_rows(value: Any) -> int:
    """Rows in a JSON value: of every bundle its richest representation, of every stream or error its lines."""
    if isinstance(value, list):
        return sum(count_rows(inner) for inner in value)
    if not isinstance(value, dict):
        return 0
    if any(MIME_TYPE.match(key) for key in value):
        return max(_rows_of_type(key, inner) for key, inner in value.items())
    own = sum(count_lines(_text(value[key])) for key in ("text", "traceback") if key in value)
    return own + sum(count_rows(inner) for inner in value.values() if isinstance(inner, dict | list))


def _rows_of_type(kind: str, value: Any) -> int:
    if kind.startswith("image/") and kind != "image/svg+xml":
        return 0
    if kind.endswith("json"):
        return _longest_list(value)
    text = _text(value)
    return max(count_lines(text), text.lower().count("<tr"))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(line for line in value if isinstance(line, str))
    return value if isinstance(value, str) else ""


def count_lines(text: str) -> int:
    """Lines with something in them; a carriage return begins one as well."""
    return sum(1 for line in text.splitlines() if line.strip())


def _longest_list(value: Any) -> int:
    if isinstance(value, list):
        return max([len(value), *(_longest_list(inner) for inner in value if isinstance(inner, dict | list))])
    if isinstance(value, dict):
        return max([1, *(_longest_list(inner) for inner in value.values() if isinstance(inner, dict | list))])
    return 1
