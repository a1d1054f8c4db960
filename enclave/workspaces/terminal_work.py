"""Programs in terminals that use the processor: a silent long run keeps its workspace, as a computing kernel does.

The host looks from outside, so nothing inside has to be believed but that the server calls a sandbox a terminal (and
whoever lies about that could as well let a kernel compute). Looking costs a walk over the machine's processes, so it is
done twice a minute and only where there are terminals. A shell that waits, an editor, ``top`` are below the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from enclave.metering.readings import ProcessTimes

LOOK_SECONDS = 30.0
SHARE = 0.05
"""Of one processor, on average since the last look."""
_FILE = "at-work"


class TerminalWork:
    """``look`` is called often and does something seldom."""

    def __init__(self, host: Path, used_ns: Callable[[int], Callable[[], int]] | None = None) -> None:
        """``host``: the host's own folder; ``used_ns``: process id → what it and all below it have used so far."""
        self._file = host / _FILE
        self._used_ns = used_ns or (lambda pid: ProcessTimes(pid).cpu_ns)
        self._known: dict[int, tuple[Callable[[], int], int]] = {}
        self._looked_at: float | None = None

    def look(self, now: float, terminals: Iterable[int]) -> None:
        """``terminals``: a process of the host for each that runs, above everything in it."""
        if self._looked_at is not None and now - self._looked_at < LOOK_SECONDS:
            return
        passed = now - self._looked_at if self._looked_at is not None else 0.0
        self._looked_at = now
        fresh: dict[int, tuple[Callable[[], int], int]] = {}
        used = 0
        for pid in terminals:
            ask, before = self._known.get(pid) or (self._used_ns(pid), 0)
            total = ask()
            used += total - before if pid in self._known else 0
            fresh[pid] = (ask, total)
        self._known = fresh
        if used > SHARE * passed * 1e9 > 0:
            with suppress(OSError):  # the folder is going: so does the workspace
                self._file.touch(mode=0o600)


def last_worked(host: Path) -> datetime | None:
    """When a terminal's program was last seen at work; None: never."""
    try:
        return datetime.fromtimestamp((host / _FILE).stat().st_mtime, UTC)
    except OSError:
        return None
