"""Notes that the machine's kernel has killed processes of a workspace that held more memory than its permit gives.

Only a control group's limit does that (``enclave.workspaces.cgroups``); where there is none, a process that asks for
too much is refused memory and ends, or not, by itself. In version 1 a container of Docker's takes its number along.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from enclave.workspaces import cgroups
from enclave.workspaces.limit_notes import Ended, Limit, LimitNotes


class MemoryKills:
    """``groups``: the workspace's, which may come and go."""

    def __init__(self, groups: Callable[[], list[Path]], notes: LimitNotes) -> None:
        self._groups, self._notes = groups, notes
        self._known = 0

    def look(self) -> None:
        """Note what has happened since the last look."""
        groups = self._groups()
        killed = cgroups.memory_kills(groups)
        if killed > self._known:
            found, allowed = cgroups.memory_peak(groups)
            self._notes.note(Limit.MEMORY, Ended.PROCESSES, found, allowed, killed - self._known)
        self._known = max(killed, self._known)
