"""Looks at one workspace from time to time and writes down what it used; a thread of the workspace's host.

A workspace whose use cannot be written goes on: what it used is kept and written at the next look. Between two looks
memory counts as the mean of both. ``settle`` does the last look for a host that was killed: its group is still there.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path

from enclave.domain.ids import ProjectId, WorkspaceId
from enclave.domain.usage import Computed
from enclave.metering.ledger import Ledger, LedgerUnreadableError, find_ledger, today
from enclave.metering.readings import Reading, group_cpu_ns

LOOK_SECONDS = 10.0


class UsageWatch(threading.Thread):
    """``end`` stops it with a look; it may be called again. ``counts_open``: also the time that passes, which is a
    workspace's."""

    def __init__(
        self,
        ledger: Ledger,
        read: Callable[[], Reading],
        *,
        seconds: float = LOOK_SECONDS,
        counts_open: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
        day: Callable[[], date] = today,
    ) -> None:
        super().__init__(name="usage-watch", daemon=True)
        self._ledger, self._read, self._seconds, self._counts_open = ledger, read, seconds, counts_open
        self._monotonic, self._day = monotonic, day
        self._ended = threading.Event()
        self._at = monotonic()
        self._memory = 0
        self._byte_seconds = self._open_seconds = 0.0
        self._peak = 0
        self._complained = False

    def run(self) -> None:
        """Look, rest."""
        while not self._ended.wait(self._seconds):
            self.look()

    def look(self) -> None:
        """Once. Raises nothing: a workspace does not end because its use cannot be written."""
        try:
            reading = self._read()
            self._note(reading)
            whole = Computed(0, int(self._byte_seconds), self._peak, int(self._open_seconds))
            self._ledger.add(self._day(), reading.cpu_ns, whole)
        except (OSError, ValueError, LedgerUnreadableError) as error:
            if not self._complained:
                print(f"What this workspace uses cannot be written down: {error}", file=sys.stderr)  # noqa: T201
            self._complained = True
            return
        self._byte_seconds -= whole.memory_byte_seconds
        self._open_seconds -= whole.seconds
        self._peak = 0
        self._complained = False

    def end(self) -> None:
        """Before the sandboxes end, and again before the control group is removed: each time with a look."""
        self._ended.set()
        if self.is_alive():
            self.join()
        self.look()

    def _note(self, reading: Reading) -> None:
        now = self._monotonic()
        passed = now - self._at
        self._byte_seconds += (self._memory + reading.memory_bytes) / 2 * passed
        self._open_seconds += passed if self._counts_open else 0.0
        self._peak = max(self._peak, reading.memory_bytes)
        self._at, self._memory = now, reading.memory_bytes


def settle(folder: Path, project: ProjectId, workspace: WorkspaceId, groups: Iterable[Path]) -> None:
    """Count what an ended workspace's groups say and its host did not write. Nothing to do is no error.

    Raises OSError and LedgerUnreadableError.
    """
    ledger = find_ledger(folder, project, workspace)
    used = group_cpu_ns(groups)
    if ledger is not None and used is not None:
        ledger.add(today(), used, Computed())
