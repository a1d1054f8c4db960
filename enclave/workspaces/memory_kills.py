"""Notes that the machine's kernel has killed processes of a workspace that held more memory than its permit gives.

Only a control group's limit does that (``enclave.workspaces.cgroups``); where there is none, a process that asks for
too much is refused memory and ends, or not, by itself. In version 1 a container of Docker's takes along what happened
in it since the last look.
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
        self._known: dict[Path, int] = {}

    def look(self) -> None:
        """Note what has happened since the last look."""
        groups = self._groups()
        killed = cgroups.memory_kills(groups)
        fresh = sum(max(0, number - self._known.get(group, 0)) for group, number in killed.items())
        self._known |= killed
        if fresh:
            found, allowed = cgroups.memory_peak(groups)
            self._notes.note(Limit.MEMORY, Ended.PROCESSES, found, allowed, fresh)
