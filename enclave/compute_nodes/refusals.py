"""What this machine refused of others, counted until home's audit log has it.

A node has no audit log: it counts, and home records when it polls. Home counts what its own port refused in the same
way, so that nobody can fill the log from outside. ``boot`` tells one life of a process from the next, so that what home
says it has recorded is taken off the right counts. Contract: a fixed set of rules, no word of the peer's own.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import structlog

_log = structlog.get_logger()


class Refusal(StrEnum):
    """Stored strings: ``data.rule`` of ``cluster:refused``."""

    CERTIFICATE = "machine-certificate"
    UNKNOWN_MACHINE = "unknown-machine"
    NOT_HOME = "command-not-from-home"
    HEADER = "malformed-header"
    UNKNOWN_CLUSTER = "unknown-cluster"
    FOREIGN_MACHINE = "machine-not-in-cluster"
    ADDRESS = "unknown-address"
    TOO_MANY = "too-many-streams"


class Refusals:
    """One per process. All counts go up only, so that a message said twice or lost changes nothing."""

    def __init__(self) -> None:
        self.boot = secrets.token_hex(8)
        self._counts: Counter[str] = Counter()
        self._recorded: Counter[str] = Counter()

    def add(self, rule: Refusal) -> None:
        """One more."""
        count = self._counts[rule.value] = self._counts[rule.value] + 1
        if count & (count - 1) == 0:  # 1, 2, 4 …: nobody fills the disk from outside
            _log.warning("machine-refused", rule=rule.value, times=count)

    def said(self) -> dict[str, Any]:
        """For home: all so far, and how many of them are on record."""
        return {"boot": self.boot, "refused": dict(self._counts), "recorded": dict(self._recorded)}

    def note(self, boot: object, recorded: object) -> None:
        """So many are on record, of this life of the process."""
        if boot == self.boot:
            self._recorded |= Counter(believed(recorded))


def believed(counts: object) -> dict[str, int]:
    """Counts as another machine says them: known rules, whole numbers."""
    if not isinstance(counts, Mapping):
        return {}
    known = {rule.value for rule in Refusal}
    return {rule: n for rule, n in counts.items() if rule in known and type(n) is int and 0 < n < 1 << 40}
