"""How long a workspace has left, in ``/run/enclave/limits.json`` for whatever shows it to the researcher.

``ends_at``: when its hours are over; ``idle_minutes``: the permit's; ``idle_ends_at``: when it ends unless somebody
uses it or a kernel computes (null: not counted yet). Times are UTC, ISO 8601. The file informs; hub and host enforce.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from enclave.files import write_atomically


def write_limits(inside: Path, ends_at: float, idle_minutes: float, last_activity: datetime | None) -> None:
    """Write the file when its content has changed. Raises OSError."""
    idle_ends = last_activity + timedelta(minutes=idle_minutes) if last_activity and idle_minutes else None
    content = {
        "ends_at": _words(datetime.fromtimestamp(ends_at, UTC)),
        "idle_minutes": idle_minutes,
        "idle_ends_at": _words(idle_ends) if idle_ends else None,
    }
    file = inside / "limits.json"
    encoded = json.dumps(content).encode()
    if not file.exists() or file.read_bytes() != encoded:
        write_atomically(file, encoded, mode=0o644)


def has_idled(last_seen: datetime | None, idle_minutes: float, now: datetime) -> bool:
    """Has nobody used a workspace for longer than the permit's ``idle_minutes``? (0: it never idles.)"""
    return bool(idle_minutes) and last_seen is not None and now - last_seen > timedelta(minutes=idle_minutes)


def _words(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
