"""What home and nodes refused of other machines, in the audit log: ``cluster:refused`` with the machine as its subject.

Refusals are counted where they happen (``enclave.compute_nodes.refusals``); this writes how many there were since the
last record. Contract: at most ``MOST`` records an hour of one machine, so that nobody fills the log from outside; what
is not recorded now is in the next one's count.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from audit.client import AuditClient, AuditUnavailable
from audit.event import AuditEvent
from enclave.domain.events import EventType
from enclave.settings import Settings

_log = structlog.get_logger()
MOST, _HOUR = 60, 3600.0


class MachineRecords:
    """One per service; used in its event loop. A log that hangs is waited for on a thread of its own, not on those that
    others wait for."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = AuditClient(settings.audit_socket, "clusters")
        self._clock = clock
        self._recorded: dict[str, deque[float]] = {}
        self._thread = ThreadPoolExecutor(1, "machine-refusals")

    async def refused(self, machine: str, rule: str, times: int) -> bool:
        """False: not now, count on. Never raises."""
        recorded, now = self._recorded.setdefault(machine, deque(maxlen=MOST)), self._clock()
        if len(recorded) == MOST and now - recorded[0] < _HOUR:
            return False
        event = AuditEvent(
            type=EventType.CLUSTER_REFUSED,
            actor="unknown",
            subject=machine,
            decision="deny",
            counts={"times": times},
            data={"rule": rule, "at": "machines"},
        )
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._client.record, event)
        except AuditUnavailable:
            _log.error("not-recorded-yet", event_type=str(event.type))
            return False
        recorded.append(now)
        return True
