"""What the clusters' service writes to the audit log, and the file per cluster that makes sure of its last record.

``started`` returns only when the record is durable and raises otherwise: no record, no cluster. The end of a cluster is
recorded before it is carried out; a log that is away does not keep a cluster alive: its record is made when the log
answers again (``settle``), or by the next start of this service, which finds the file. EHDS art. 73(1)(e).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from audit.client import AuditClient, AuditUnavailable
from audit.event import AuditEvent, Envelope, timestamp
from enclave.domain.events import EventType
from enclave.files import write_atomically
from enclave.gateway.admission import Caller, CallRefusedError, Door
from enclave.gateway.late_records import LateRecords
from enclave.gateway.set_aside import CANNOT_BE_SENT
from enclave.settings import Settings

_log = structlog.get_logger()
_UNKNOWN = "unknown"
_REFUSING_THREADS = 2
"""Of their own: whoever asks again and again to be refused while the log is away keeps nobody else waiting, neither
for a record nor for a workspace's host."""
AWAY = "The audit log does not answer, so no cluster is started. Try again soon; if it stays, tell the administrator."

NOT_NOTED = (
    "The enclave cannot write down that a cluster starts, so none is started. Tell the administrator: is the disk full?"
)


class RecordingFailedError(Exception):
    """Nothing may start: the record is not durable. The sentence is for the reader."""


@dataclass(frozen=True)
class Owner:
    """Whose a cluster is."""

    person: str
    project: str
    workspace: str


@dataclass
class _End:
    """A cluster's end that is not on record yet. ``is_under_way``: somebody waits for the log's answer just now."""

    event: AuditEvent
    envelope: Envelope
    happened_at: str
    is_under_way: bool = False

    def said_late(self) -> AuditEvent:
        return replace(self.event, data={**self.event.data, "late": True, "happened_at": self.happened_at})


class Records:
    """One per service; used in its event loop, the log's answer is waited for on a thread."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.clusters_dir
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._client = AuditClient(settings.audit_socket, "clusters")
        self._late = LateRecords(settings.usage_dir / "late-clusters", self._client)
        self._ends: dict[str, _End] = {}
        self._refusing = ThreadPoolExecutor(_REFUSING_THREADS, "refusals")

    async def started(
        self, owner: Owner, cluster: str, caller: Caller, most_workers: int, machines: Sequence[str] = ("home",)
    ) -> None:
        """cluster:started, durable; ``machines``: where its workers may run. Raises RecordingFailedError."""
        await self._keep_owner(owner, cluster, caller)
        event = AuditEvent(
            type=EventType.CLUSTER_STARTED,
            actor=owner.person,
            project=owner.project,
            workspace=owner.workspace,
            subject=cluster,
            decision="allow",
            policies=caller.policies,
            counts={"most_workers": most_workers},
            data={"token": caller.claims.token_id, "machines": list(machines)},
        )
        try:
            await asyncio.to_thread(self._client.record, event)
        except AuditUnavailable as error:
            _log.error("start-not-recorded", cluster=cluster)
            self._keep_end(owner, cluster, "not-recorded")  # the start may be in the log all the same
            raise RecordingFailedError(AWAY) from error

    async def _keep_owner(self, owner: Owner, cluster: str, caller: Caller) -> None:
        """The file by which the next start of this service knows of it. Without it there is no cluster, on record."""
        try:
            write_atomically(self._path(cluster), json.dumps(asdict(owner)).encode(), mode=0o600)
        except OSError as error:
            _log.error("cluster-not-noted", cluster=cluster, kind=type(error).__name__)
            event = AuditEvent(
                type=EventType.CLUSTER_REFUSED,
                actor=owner.person,
                project=owner.project,
                workspace=owner.workspace,
                decision="deny",
                policies=caller.policies,
                data={"rule": "not-noted"},
                payload={"reason": NOT_NOTED},
            )
            await self._record_refusal(event)
            raise RecordingFailedError(NOT_NOTED) from error

    async def stopped(self, owner: Owner, cluster: str, reason: str) -> None:
        """cluster:stopped, once; durable unless the log is away. Never raises."""
        if cluster in self._ends or not self._path(cluster).exists():
            return
        self._keep_end(owner, cluster, reason)
        await self._settle(cluster)

    async def settle(self) -> None:
        """Record the ends that the log could not take yet. Never raises."""
        for cluster in list(self._ends):
            if not await self._settle(cluster, late=True):
                return

    def _keep_end(self, owner: Owner, cluster: str, reason: str) -> None:
        event = AuditEvent(
            type=EventType.CLUSTER_STOPPED,
            actor=owner.person,
            project=owner.project,
            workspace=owner.workspace,
            subject=cluster,
            data={"reason": reason},
        )
        self._ends[cluster] = _End(event, self._client.new_envelope(), timestamp(datetime.now(UTC)))

    async def _settle(self, cluster: str, *, late: bool = False) -> bool:
        """False: the log is away. What is under way already, or on record meanwhile, is left to who does it; an end
        that the log refuses for good is set aside.
        """
        end = self._ends.get(cluster)
        if end is None or end.is_under_way:
            return True
        end.is_under_way = True
        try:
            event = end.said_late() if late else end.event
            await asyncio.to_thread(self._late.make, event, end.envelope)
        except (AuditUnavailable, OSError):
            _log.error("not-recorded-yet", event_type=str(end.event.type))
            return False
        finally:
            end.is_under_way = False
        del self._ends[cluster]
        try:
            self._path(cluster).unlink(missing_ok=True)
        except OSError as error:
            _log.error("cluster-file-not-removed", cluster=cluster, kind=type(error).__name__)
        return True

    async def refused(self, door: Door, rule: str, sentence: str, caller: Caller | None = None) -> None:
        """cluster:refused. Never raises: it is refused either way."""
        event = AuditEvent(
            type=EventType.CLUSTER_REFUSED,
            actor=caller.claims.person if caller else _UNKNOWN,
            project=door.project,
            workspace=door.workspace,
            decision="deny",
            policies=caller.policies if caller else (),
            data={"rule": rule},
            payload={"reason": sentence},
        )
        await self._record_refusal(event)

    async def call_refused(self, door: Door, error: CallRefusedError) -> None:
        """token:refused when the token is at fault, else cluster:refused. Never raises."""
        event = AuditEvent(
            type=EventType.TOKEN_REFUSED if error.about_token else EventType.CLUSTER_REFUSED,
            actor=error.claims.person if error.claims else _UNKNOWN,
            project=door.project,
            workspace=door.workspace,
            decision="deny",
            policies=error.policies,
            data={"rule": error.rule, "at": "clusters"},
            payload={"reason": error.sentence},
        )
        await self._record_refusal(event)

    def left_over(self) -> dict[str, Owner]:
        """Clusters of an earlier run of this service whose end is not recorded."""
        found = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                found[path.stem] = Owner(**json.loads(path.read_bytes()))
            except (OSError, ValueError, TypeError) as error:
                _log.error("cluster-file-unreadable", kind=type(error).__name__)
        return found

    async def _record_refusal(self, event: AuditEvent) -> None:
        await asyncio.get_running_loop().run_in_executor(self._refusing, self._record_or_keep, event)

    def _record_or_keep(self, event: AuditEvent) -> None:
        envelope = self._client.new_envelope()
        try:
            self._client.record(event, envelope=envelope)
        except (AuditUnavailable, *CANNOT_BE_SENT):
            _log.error("not-recorded-yet", event_type=str(event.type))
            self._late.keep(event, envelope)

    def _path(self, cluster: str) -> Path:
        return self._folder / f"{cluster}.json"
