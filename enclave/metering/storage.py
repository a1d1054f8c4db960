"""What a project stores, by kind and day: ``metering/<project>/storage.json``, written by the metering process alone.

Between two measurements the first one's bytes count, also while nobody measured: what lies on a disk lies there whether
or not the enclave runs. So nothing has to be made up for after a stop, however long it was. Days are UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from enclave.domain.ids import ProjectId
from enclave.domain.usage import StorageKind
from enclave.files import write_atomically
from enclave.gateway.shared_files import locked
from enclave.metering.ledger import LedgerUnreadableError
from enclave.settings import Settings
from enclave.workspaces.launch import OUTBOX
from enclave.workspaces.quota import used_bytes

Bytes = Mapping[StorageKind, int]


@dataclass(frozen=True)
class StoredUsage:
    """``at``: when ``now`` was measured; ``days``: byte-seconds."""

    at: datetime | None
    now: Bytes
    days: Mapping[date, Bytes]


NOTHING = StoredUsage(None, {}, {})


def measure(settings: Settings, project: ProjectId, vault_bytes: int) -> dict[StorageKind, int]:
    """What lies on the disk now. Raises OSError."""
    homes = settings.workspaces_dir / project
    space = settings.projects_dir / project
    outboxes = sum(_size(home / OUTBOX) for home in _folders(homes))
    return {
        StorageKind.HOME: max(0, sum(_size(home) for home in _folders(homes)) - outboxes),
        StorageKind.OUTBOX: outboxes,
        StorageKind.SHARED: _size(settings.shared_dir / project),  # its mount is another file system: not counted twice
        StorageKind.SCRATCH: _size(space / "scratch"),
        StorageKind.EXTRACTS: _size(space / "extracts"),
        StorageKind.PACKAGES: _size(space / "packages"),
        StorageKind.VAULT: vault_bytes,
        StorageKind.SHOWN: _size(settings.shown_dir / project),
    }


def _folders(above: Path) -> list[Path]:
    return [path for path in above.iterdir() if path.is_dir() and not path.is_symlink()] if above.is_dir() else []


def _size(folder: Path) -> int:
    """A link in the place of an outbox is counted as what it is, not what it leads to (``du`` does not follow)."""
    return used_bytes(folder) if folder.is_symlink() or folder.exists() else 0


def add_measurement(known: StoredUsage, found: Bytes, at: datetime) -> StoredUsage:
    """The bytes known so far count until ``at``; from then on ``found``. Pure."""
    days = {day: dict(stored) for day, stored in known.days.items()}
    since = known.at or at
    while since < at:
        midnight = datetime.combine(since.date() + timedelta(days=1), datetime.min.time(), UTC)
        until = min(midnight, at)
        today = days.setdefault(since.date(), {})
        for kind, stored in known.now.items():
            today[kind] = today.get(kind, 0) + round(stored * (until - since).total_seconds())
        since = until
    return StoredUsage(max(since, at), found, days)


class StorageLedger:
    """The file of one project."""

    def __init__(self, folder: Path, project: ProjectId) -> None:
        """``folder``: ``settings.metering_dir``."""
        self._path = folder / project / "storage.json"

    def read(self) -> StoredUsage:
        """``NOTHING`` before the first measurement. Raises OSError and LedgerUnreadableError."""
        try:
            return _parse(self._path.read_bytes())
        except FileNotFoundError:
            return NOTHING

    def add(self, found: Bytes, at: datetime) -> None:
        """Write down one measurement. Raises OSError and LedgerUnreadableError."""
        with locked(self._path.with_suffix(".lock")):
            usage = add_measurement(self.read(), found, at)
            write_atomically(self._path, _content(usage), mode=0o600)


def _content(usage: StoredUsage) -> bytes:
    days = {day.isoformat(): dict(stored) for day, stored in usage.days.items()}
    at = usage.at.isoformat() if usage.at else None
    return json.dumps({"at": at, "now": dict(usage.now), "days": days}).encode()


def _parse(content: bytes) -> StoredUsage:
    try:
        found: dict[str, Any] = json.loads(content)
        days = {date.fromisoformat(day): _kinds(stored) for day, stored in found["days"].items()}
        at = datetime.fromisoformat(found["at"]).astimezone(UTC) if found["at"] else None
        return StoredUsage(at, _kinds(found["now"]), days)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LedgerUnreadableError(
            "Expected what a project stores by day, found other content. Put the file back from a backup, or remove it."
        ) from error


def _kinds(stored: dict[str, int]) -> dict[StorageKind, int]:
    return {StorageKind(kind): int(size) for kind, size in stored.items()}
