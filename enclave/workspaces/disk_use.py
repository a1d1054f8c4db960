"""What one measurement of a home after the other means. Pure; ``enclave.workspaces.quota`` measures and acts.

The limit of a process's files stops who keeps to it. Who starts a new process every few milliseconds, each before the
last one is reached, goes on writing, and so does who maps a sparse file and fills its holes. No process can be kept
from that, so, as with files (ADR 29), who writes ends: the kernels, and the workspace when it is not them.
"""

from __future__ import annotations

from enum import StrEnum

_LEAST_ALLOWANCE = 64 << 20
_PART_ALLOWED = 20


class DiskState(StrEnum):
    """What the workspace's host acts on."""

    FINE = "fine"
    FULL = "full"
    """Nobody may write."""
    DEFIED = "defied"
    """It grows all the same: no kernel may run."""
    RUNAWAY = "runaway"
    """Even then: the workspace has to end."""


class DiskUse:
    """``most``: bytes."""

    def __init__(self, most: int) -> None:
        self.most, self.last = most, 0
        self.state = DiskState.FINE
        self._least: int | None = None
        """Since the state's measures took hold; None: not measured since."""

    def take(self, used: int) -> DiskState:
        """The state after a measurement."""
        self.last = used
        if used <= self.most:
            self.state, self._least = DiskState.FINE, None
        elif self.state is DiskState.FINE:
            self.state = DiskState.FULL
        elif self._least is None:  # what was written before everybody was reached
            self._least = used
        else:
            self._least = min(self._least, used)
            if used > self._least + max(_LEAST_ALLOWANCE, self.most // _PART_ALLOWED):
                self.state = DiskState.DEFIED if self.state is DiskState.FULL else DiskState.RUNAWAY
                self._least = None
        return self.state
