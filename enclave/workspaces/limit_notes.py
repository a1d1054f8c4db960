"""What a workspace's host ends or stops because a limit was reached, written down before it is done, for the hub.

The host holds no secret and speaks to nobody, so it leaves a small file per note in its own folder, which no sandbox
sees; the hub records it in the audit log with person and project (``enclave.workspaces.limit_records``). The same thing
within a minute is one note with a number: who makes a limit be reached all the time fills neither disk nor log.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from enclave.files import write_atomically

FOLDER = "limits"
"""Beside the host's state file."""
APART_SECONDS = 60.0


class Limit(StrEnum):
    """Which one; its unit."""

    FILES = "files"
    """Names in the home."""
    DISK = "disk"
    """Bytes of the home."""
    SHARED = "shared-folder"
    """Bytes of the shared folder, where it is measured."""
    MEMORY = "memory"
    """Bytes of all processes together, where there is a control group."""
    HOURS = "hours"
    """Seconds since the workspace began."""
    IDLE = "idle"
    """Seconds without anybody at work."""


class Ended(StrEnum):
    """What came to an end for it."""

    KERNELS = "kernels"
    WRITING = "writing"
    PROCESSES = "processes"
    """Killed by the kernel of the machine: those that held most."""
    WORKSPACE = "workspace"


@dataclass(frozen=True)
class LimitNote:
    """``found`` and ``allowed`` in the limit's unit; ``times``: so often since the last note."""

    limit: Limit
    ended: Ended
    found: int
    allowed: int
    at: str
    times: int = 1

    def to_json(self) -> bytes:
        """As it is stored."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, content: bytes) -> LimitNote:
        """Raises ValueError, KeyError or TypeError for anything else."""
        given = json.loads(content)
        numbers = {name: int(given[name]) for name in ("found", "allowed", "times")}
        return cls(Limit(given["limit"]), Ended(given["ended"]), at=str(given["at"]), **numbers)


class LimitNotes:
    """Writes them, for the host's own thread and its watches'. What a note is about happens whether or not it could be
    written; one that could not is in the server's log, and is tried again a minute later."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder, clock
        self._lock = threading.Lock()
        self._tried_at: dict[tuple[Limit, Ended], float] = {}
        self._held: dict[tuple[Limit, Ended], LimitNote] = {}
        self._number = 0

    def note(self, limit: Limit, ended: Ended, found: int, allowed: int, times: int = 1) -> None:
        """Before it takes effect."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        with self._lock:
            held = self._held.get((limit, ended))
            most, so_far = (max(found, held.found), held.times) if held else (found, 0)
            self._held[limit, ended] = LimitNote(limit, ended, most, allowed, at, so_far + times)
            self._write_due(self._clock())

    def look(self) -> None:
        """From time to time: what was held back is written once its minute is over."""
        with self._lock:
            self._write_due(self._clock())

    def flush(self) -> None:
        """At the end: what was held back."""
        with self._lock:
            self._tried_at.clear()
            self._write_due(self._clock())

    def _write_due(self, now: float) -> None:
        for key, note in tuple(self._held.items()):
            if now - self._tried_at.get(key, -APART_SECONDS) < APART_SECONDS:
                continue
            self._tried_at[key] = now
            if self._write(note):
                del self._held[key]

    def _write(self, note: LimitNote) -> bool:
        self._number += 1
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            write_atomically(self._folder / f"{self._number:06d}.json", note.to_json(), mode=0o600)
        except OSError as error:
            print(f"limit {note.limit} ({note.ended}) could not be noted: {error}", file=sys.stderr)  # noqa: T201
            return False
        return True


def read_notes(folder: Path) -> list[tuple[Path, LimitNote]]:
    """In their order; files that are no notes are left alone."""
    found = []
    for file in sorted(folder.glob("[0-9]*.json")):
        try:
            found.append((file, LimitNote.from_json(file.read_bytes())))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found
