"""What a workspace's host ends or stops because a limit was reached, written down before it is done, for the hub.

The host holds no secret and speaks to nobody, so it leaves a small file per note in its own folder, which no sandbox
sees; the hub records it in the audit log with person and project (``enclave.workspaces.limit_records``). The same thing
within a minute is one note with a number: who makes a limit be reached all the time fills neither disk nor log.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
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
    """Writes them. A note that cannot be written is in the server's log; what it is about happens all the same."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder, clock
        self._written_at: dict[tuple[Limit, Ended], float] = {}
        self._held: dict[tuple[Limit, Ended], LimitNote] = {}
        self._number = 0

    def note(self, limit: Limit, ended: Ended, found: int, allowed: int, times: int = 1) -> None:
        """Before it takes effect."""
        key, now = (limit, ended), self._clock()
        known = self._held.pop(key, None)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        note = LimitNote(limit, ended, found, allowed, at, times + (known.times if known else 0))
        if now - self._written_at.get(key, -APART_SECONDS) < APART_SECONDS:
            self._held[key] = replace(note, found=max(found, known.found if known else 0))
            return
        self._written_at[key] = now
        self._write(note)

    def flush(self) -> None:
        """At the end: what was held back."""
        for note in self._held.values():
            self._write(note)
        self._held.clear()

    def _write(self, note: LimitNote) -> None:
        self._number += 1
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            write_atomically(self._folder / f"{self._number:06d}.json", note.to_json(), mode=0o600)
        except OSError as error:
            print(f"limit {note.limit} ({note.ended}) could not be noted: {error}", file=sys.stderr)  # noqa: T201


def read_notes(folder: Path) -> list[tuple[Path, LimitNote]]:
    """In their order; files that are no notes are left alone."""
    found = []
    for file in sorted(folder.glob("[0-9]*.json")):
        try:
            found.append((file, LimitNote.from_json(file.read_bytes())))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found
