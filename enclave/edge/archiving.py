"""Keeping what is shown, where the permit orders it: sealed and appended before it goes on to the browser.

Contract: ``keep`` returns when the archive has it; when it cannot, ArchiveError, and the caller shows nothing. Each
line that was kept is owed a commitment by the log (``Account.kept``), whichever day it came to lie in. What the permit
says cannot be read: an archive that was ordered before goes on. Non-goals: reading (the edge holds no key that
could), and a kernel's plain ``status``, listings and static files.
"""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, date, datetime
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from enclave.domain.ids import ProjectId
from enclave.edge.account import Account
from enclave.edge.budgets import Budgets
from enclave.shown.lines import Head
from enclave.shown.sealing import Place, SealError, Shown, fingerprint, read_public_key, seal
from enclave.shown.writer import ArchiveFile

log = structlog.get_logger()

_IN_A_THREAD = 64_000


class ArchiveError(Exception):
    """It was ordered and could not be kept."""


class ShownArchive:
    """One per edge; used on its event loop, ``commit`` in a thread."""

    def __init__(self, folder: Path, key_file: Path, budgets: Budgets) -> None:
        self._folder, self._key_file, self._budgets = folder, key_file, budgets
        self._files: dict[Place, ArchiveFile] = {}
        self._lock = threading.Lock()
        """No file is closed for good while somebody is about to append to it."""
        self._key: tuple[tuple[int, int], X25519PublicKey] | None = None
        self._last_problem = ""

    def days(self, project: str) -> int | None:
        """For how long what is shown is kept; None: it is not. 0: it is, but the permit cannot be read just now."""
        terms = self._budgets.terms(ProjectId(project))
        if terms.is_known:
            return terms.archive_days
        return 0 if (self._folder / project).exists() else None

    async def keep(self, account: Account, shown: Shown) -> None:
        """Archive it if the permit orders so. Raises ArchiveError."""
        if self.days(account.project) is None:
            return
        place = Place(account.project, account.username, account.today().isoformat())
        try:
            key = self._public_key()
            if len(shown.content) < _IN_A_THREAD:
                box = seal(shown, place, key)
            else:
                box = await asyncio.to_thread(seal, shown, place, key)
            with self._lock:
                self._file(place).append(datetime.now(UTC).isoformat(timespec="milliseconds"), fingerprint(key), box)
            account.kept(date.fromisoformat(place.day))
        except (OSError, SealError) as error:
            self._tell(account.project, error)
            raise ArchiveError from error

    def commit(self, account: Account, day: str) -> Head | None:
        """The head of a day's archive once it is on the disk; None when there is no archive. Raises OSError."""
        place = Place(account.project, account.username, day)
        with self._lock:
            if place not in self._files and not place.path(self._folder).exists():
                return None
            file = self._file(place)
        return file.commit()

    def close_before(self, today: date) -> None:
        """Give back the descriptors of past days; a late line or commitment opens its file again. Raises OSError."""
        with self._lock:
            for place in [place for place in self._files if place.day < today.isoformat()]:
                self._files.pop(place).close()

    def _file(self, place: Place) -> ArchiveFile:
        return self._files.setdefault(place, ArchiveFile(place.path(self._folder)))

    def _public_key(self) -> X25519PublicKey:
        """Read anew when the file changes. Raises OSError, SealError."""
        status = self._key_file.stat()
        stamp = (status.st_ino, status.st_mtime_ns)
        if self._key is None or self._key[0] != stamp:
            self._key = (stamp, read_public_key(self._key_file))
        return self._key[1]

    def _tell(self, project: str, error: Exception) -> None:
        """Once per kind of problem, not once per message."""
        problem = f"{project}: {type(error).__name__}"
        if problem != self._last_problem:
            self._last_problem = problem
            log.error("shown-archive:not-kept", project=project, error=str(error))
