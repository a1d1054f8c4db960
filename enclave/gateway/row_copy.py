"""Copies what a rule leaves of one table into a file of its own: ``python -m enclave.gateway.row_copy``.

Contract: a worker starts it inside its own sandbox with a ``CopyOrder`` as JSON at its input. It ends with 0 when the
file holds the whole copy, and with anything else when the file is to be thrown away. It works with one thread, behind
everything else (nice), and within a memory limit of its own, so that the person's queries neither wait for it nor fail
with it. Nothing that a person wrote is run here.

The order does not come as arguments: a rule's condition may hold values, and everybody on the machine can read those.
Non-goal: the quota of the file; the worker looks at its size and ends this process (``row_copies``).
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

SEALED = "sealed"
"""Under this name the extract is attached, here as in a worker with rules."""
_TARGET = "visible"
_BEHIND_OTHERS = 10


@dataclass(frozen=True)
class CopyOrder:
    """``select`` reads from ``sealed``; ``table`` and ``target`` are the copy's name and file."""

    extract: str
    target: str
    table: str
    select: str
    memory_mb: int

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()


def copy(order: CopyOrder) -> None:
    """Make the file. Raises duckdb.Error."""
    config: dict[str, Any] = {
        "threads": 1,
        "memory_limit": f"{order.memory_mb}MiB",
        "temp_directory": "",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
    }
    with duckdb.connect(":memory:", config=config) as connection:
        connection.execute(f"ATTACH {_text(order.extract)} AS {SEALED} (READ_ONLY)")
        connection.execute(f"ATTACH {_text(order.target)} AS {_TARGET}")
        name = '"' + order.table.replace('"', '""') + '"'
        connection.execute(f"CREATE TABLE {_TARGET}.main.{name} AS {order.select}")
        connection.execute(f"DETACH {_TARGET}")  # everything is in the file itself after this


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def main() -> int:
    """Exit code: 0 when the copy is whole."""
    os.nice(_BEHIND_OTHERS)
    order = CopyOrder(**json.load(sys.stdin))
    try:
        copy(order)
    except duckdb.Error:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
