"""What one workspace has used, by day, in a file of its own: ``metering/<project>/workspaces/<month>/<id>.json``.

The month is the one in which the workspace began. The file also says up to which reading of the counter it has counted,
so that whoever goes on (the host at its next look; the hub, when a host was killed) adds the difference and nothing
twice. Written under its lock and in place: its text never gets shorter, so a killed writer leaves the old or the new
one. Use between two looks that spans midnight counts for the later day. Days are UTC. SATRE 2.2.15.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from enclave.domain.ids import PersonId, ProjectId, WorkspaceId
from enclave.domain.usage import Computed, Month
from enclave.files import write_atomically
from enclave.gateway.shared_files import locked


class LedgerUnreadableError(Exception):
    """The file holds something else; it is left as it is, and its workspace's use is not known."""


@dataclass(frozen=True)
class WorkspaceUsage:
    """The content of one file."""

    person: PersonId
    counted_cpu_ns: int
    days: dict[date, Computed]


@dataclass(frozen=True)
class Ledger:
    """The file of one workspace."""

    path: Path

    def open(self, person: PersonId) -> None:
        """Begin with nothing used. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(self.path, _content(WorkspaceUsage(person, 0, {})), mode=0o600)

    def add(self, day: date, cpu_ns: int, more: Computed) -> None:
        """``cpu_ns``: the counter as read now; of ``more`` all but the processor time.

        Raises OSError and LedgerUnreadableError.
        """
        with locked(self.path) as file:
            known = _parse(file.read())
            fresh = Computed(
                max(0, cpu_ns - known.counted_cpu_ns), more.memory_byte_seconds, more.memory_peak_bytes, more.seconds
            )
            days = {**known.days, day: known.days.get(day, Computed()) + fresh}
            counted = max(cpu_ns, known.counted_cpu_ns)
            file.write(_content(WorkspaceUsage(known.person, counted, days)))

    def read(self) -> WorkspaceUsage:
        """Raises OSError and LedgerUnreadableError."""
        return _parse(self.path.read_bytes())


def today() -> date:
    """In UTC."""
    return datetime.now(UTC).date()


def place_ledger(folder: Path, project: ProjectId, workspace: WorkspaceId, began: date) -> Ledger:
    """Where the use of a workspace that begins now goes; ``folder``: ``settings.metering_dir``."""
    return Ledger(folder / project / "workspaces" / str(Month.of(began)) / f"{workspace}.json")


def begin_ledger(folder: Path, project: ProjectId, workspace: WorkspaceId, person: PersonId) -> Path:
    """The file of a workspace that begins now, with nothing used. Raises OSError."""
    ledger = place_ledger(folder, project, workspace, today())
    ledger.open(person)
    return ledger.path


def find_ledger(folder: Path, project: ProjectId, workspace: WorkspaceId) -> Ledger | None:
    """The ledger of a workspace that began some time ago."""
    found = next((folder / project / "workspaces").glob(f"*/{workspace}.json"), None)
    return Ledger(found) if found else None


def ledgers(folder: Path, project: ProjectId, month: Month) -> Iterator[Ledger]:
    """All that may hold days of ``month``: a workspace is open for up to 720 hours, which may span all of February."""
    for began in (month.before.before, month.before, month):
        for path in sorted((folder / project / "workspaces" / str(began)).glob("*.json")):
            yield Ledger(path)


def _content(usage: WorkspaceUsage) -> bytes:
    days = {day.isoformat(): asdict(used) for day, used in usage.days.items()}
    content = {"person": usage.person, "counted_cpu_ns": usage.counted_cpu_ns, "days": days}
    return json.dumps(content).encode()


def _parse(content: bytes) -> WorkspaceUsage:
    try:
        found: dict[str, Any] = json.loads(content)
        days = {date.fromisoformat(day): Computed(**used) for day, used in found["days"].items()}
        return WorkspaceUsage(PersonId(found["person"]), int(found["counted_cpu_ns"]), days)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LedgerUnreadableError(
            "Expected a workspace's use by day, found other content. Put the file back from a backup, or remove it."
        ) from error
