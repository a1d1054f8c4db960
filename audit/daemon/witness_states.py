"""Which witnesses are configured, lost and back: recorded in the log once per change, across restarts.

The log's core takes records in one thread only, so this hands them over through ``record`` and never waits.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from audit.durable import make_directories, write_atomic
from audit.event import AuditEvent
from audit.own_events import OwnEvent, own_event
from audit.policy import PolicyWitness, printable

Record = Callable[[AuditEvent, Callable[[], None]], None]
"""Hands an event to the core; the second argument is called (in the core's thread) once the record is durable."""

_log = structlog.get_logger()


class WitnessStates:
    """Kept in ``state/witness/states``: {"configured": [[name, vkey]…], "lost": [name…]}."""

    def __init__(self, state_dir: Path, witnesses: Sequence[PolicyWitness], record: Record) -> None:
        self._path = state_dir / "witness" / "states"
        self._record = record
        self._lock = threading.Lock()
        self._configured, self._lost = self._load()
        self._wanted = [[printable(item.name), str(item.key)] for item in witnesses]

    def record_configured(self) -> None:
        """Record the witnesses when they are not those of the last start."""
        if self._wanted == self._configured:
            return
        last = len(self._wanted) - 1
        for place, (name, vkey) in enumerate(self._wanted):
            event = own_event(OwnEvent.WITNESS_CONFIGURED, data={"name": name, "vkey": vkey})
            self._record(event, self._keep_configured if place == last else _nothing)
        if not self._wanted:
            self._keep_configured()

    def note(self, witness: PolicyWitness, failure: str | None) -> None:
        """Tell how asking a witness went; ``failure`` is a sentence or None."""
        name = printable(witness.name)
        with self._lock:
            if (failure is not None) == (name in self._lost):
                return
            if failure is None:
                self._lost.discard(name)
            else:
                self._lost.add(name)
        kind = OwnEvent.WITNESS_BACK if failure is None else OwnEvent.WITNESS_LOST
        _log.warning(kind.value, witness=name, reason=failure or "")
        self._record(own_event(kind, data={"name": name}), self._keep)

    def _keep_configured(self) -> None:
        self._configured = self._wanted
        self._keep()

    def _keep(self) -> None:
        with self._lock:
            names = {name for name, _ in self._wanted}
            fields = {"configured": self._configured, "lost": sorted(self._lost & names)}
        try:
            make_directories(self._path.parent, 0o700)
            write_atomic(self._path, json.dumps(fields, ensure_ascii=False).encode(), mode=0o600)
        except OSError as error:
            # at worst the next start records the same change again
            _log.error("witness-states-not-kept", reason=error.strerror)

    def _load(self) -> tuple[list[list[str]], set[str]]:
        try:
            kept = json.loads(self._path.read_bytes())
            return list(kept["configured"]), set(kept["lost"])
        except (OSError, ValueError, KeyError, TypeError):
            return [], set()


def _nothing() -> None:
    """Nothing to do before the last of the set is durable."""
