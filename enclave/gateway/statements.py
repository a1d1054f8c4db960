"""Statements a client has prepared, behind random handles: the handle says nothing, and opens only at the same socket
for the same person. Old and surplus handles are forgotten; a client that comes back prepares again.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa

from enclave.domain.ids import PersonId

LIFETIME_SECONDS = 3600.0
MAXIMUM_HANDLES = 512


@dataclass(frozen=True)
class Prepared:
    """One statement that passed the gate when it was prepared; the gate looks again before it runs."""

    person: PersonId
    sql: str
    prepared_at: float
    parameters: pa.RecordBatch | None = None
    noted: Mapping[str, str | int] = field(default_factory=dict)
    """What the record of its run says besides: which part of how many, handed out by which request."""
    is_ours: bool = False
    """The gateway put the text together around a statement that has passed the gate by itself."""


class StatementStore:
    """One per socket. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[bytes, Prepared] = OrderedDict()

    def add(self, person: PersonId, sql: str) -> bytes:
        """A new handle."""
        handle = secrets.token_bytes(16)
        with self._lock:
            self._held[handle] = Prepared(person, sql, time.monotonic())
            while len(self._held) > MAXIMUM_HANDLES:
                self._held.popitem(last=False)
        return handle

    def find(self, handle: bytes, person: PersonId) -> Prepared | None:
        """The statement, or None when the handle is unknown, too old, or another person's."""
        with self._lock:
            found = self._held.get(handle)
        if found is None or found.person != person or time.monotonic() - found.prepared_at > LIFETIME_SECONDS:
            return None
        return found

    def bind(self, handle: bytes, parameters: pa.RecordBatch) -> None:
        """Keep the values for the next run."""
        with self._lock:
            if handle in self._held:
                self._held[handle] = replace(self._held[handle], parameters=parameters)

    def forget(self, handle: bytes, person: PersonId) -> None:
        """Close a handle; closing one that is not there is fine."""
        with self._lock:
            if handle in self._held and self._held[handle].person == person:
                del self._held[handle]
