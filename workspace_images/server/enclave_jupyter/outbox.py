"""The outbox for the panel: which files lie there, and what the disclosure checks said about them as they are now.

The panel looks every few seconds; the checks are asked only when a name, size or time of a file has changed, because
each check is recorded and costs the portal time. While files change, the answer is the last one, marked ``stale``.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from enclave_client.errors import EnclaveError

LISTED_FILES = 500
QUIET_SECONDS = 1.0
RETRY_SECONDS = 10.0
_Stamp = tuple[tuple[str, int, int], ...]


class OutboxFindings:
    """One per workspace server; thread-safe. ``call`` is ``enclave_client.session.call_action``."""

    def __init__(
        self, folder: Path, call: Callable[[str, dict[str, Any]], Any], clock: Callable[[], float] = time.time
    ) -> None:
        self._folder, self._call, self._clock = folder, call, clock
        self._lock = threading.Lock()
        self._known: tuple[_Stamp, str] | None = None
        self._answer: dict[str, Any] = {}
        self._failed_at = 0.0
        self._failure = ""

    def look(self, language: str, *, again: bool = False) -> dict[str, Any]:
        """``{"files": […], "returned": […], "stale": bool}``. Raises EnclaveError with the gateway's sentence."""
        with self._lock:
            now, stamp = self._clock(), stamp_of(self._folder)
            if self._known == (stamp, language) and not again:
                return {**self._answer, "stale": False}
            newest = max((changed for _, _, changed in stamp), default=0)
            if self._answer and 0 <= now - newest / 1e9 < QUIET_SECONDS:
                return {**self._answer, "stale": True}
            if self._failure and now - self._failed_at < RETRY_SECONDS and not again:
                raise EnclaveError(self._failure)
            return self._ask(stamp, language, now)

    def _ask(self, stamp: _Stamp, language: str, now: float) -> dict[str, Any]:
        try:
            found = self._call("enclave.check_outbox", {"language": language if language == "fr" else "en"})
        except EnclaveError as error:
            self._failed_at, self._failure = now, str(error)
            raise
        told = found if isinstance(found, dict) else {}
        self._answer = {"files": told.get("files", []), "returned": told.get("returned", [])}
        self._known, self._failure = (stamp, language), ""
        return {**self._answer, "stale": False}


def stamp_of(folder: Path) -> _Stamp:
    """Name, size and time of change (ns) of each file, at most ``LISTED_FILES``; empty when there is no folder."""
    found: list[tuple[str, int, int]] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if len(found) >= LISTED_FILES:
                return tuple(found)
            file = Path(parent, name)
            try:
                status = file.lstat()
            except OSError:
                continue
            found.append((str(file.relative_to(folder)), status.st_size, status.st_ctime_ns))
    return tuple(found)
