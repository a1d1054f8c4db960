"""Audit first, then commit (DESIGN.md, invariant 8).

``record`` writes one event and returns when it is durable. ``audited_change`` is the only way the portal changes a row:
the transaction commits after its records are durable; if the audit daemon is away nothing changes; a refusal inside it
is recorded, and a commit that fails after its record leaves an ``action:failed`` record of its own. SATRE 1.5.06.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from django.conf import settings
from django.db import transaction

from audit.client import AuditClient, AuditUnavailable
from audit.event import AuditEvent, Receipt
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.portal.models import User

WRITER = "portal"
SYSTEM_ACTOR = "system:portal"
_clients: dict[Path, AuditClient] = {}
_lock = threading.Lock()


def audit_client() -> AuditClient:
    """This process's connection to the audit daemon (one per socket path, made at first use)."""
    socket = settings.ENCLAVE.audit_socket
    with _lock:
        if socket not in _clients:
            _clients[socket] = AuditClient(socket, WRITER)
        return _clients[socket]


def record(
    event_type: EventType,
    actor: User | str | None,
    *,
    project: str | None = None,
    workspace: str | None = None,
    subject: str | None = None,
    decision: Literal["allow", "deny"] | None = None,
    policies: tuple[str, ...] = (),
    request_id: str | None = None,
    counts: dict[str, int] | None = None,
    data: dict[str, str | int | bool | list[str]] | None = None,
    payload: dict[str, Any] | None = None,
) -> Receipt:
    """Write one record; returns when it is durable. ``actor`` None is the portal itself. Raises AuditUnavailable."""
    name = actor.person_id if isinstance(actor, User) else actor or SYSTEM_ACTOR
    event = AuditEvent(
        type=event_type.value,
        actor=name,
        project=project,
        workspace=workspace,
        subject=subject,
        decision=decision,
        policies=policies,
        request_id=request_id,
        counts=counts or {},
        data=data or {},
        payload=payload,
    )
    return audit_client().record(event)


@dataclass
class AuditedChange:
    """A change under way: records are written through it, before the commit."""

    actor: User | str | None
    project: str | None
    receipts: list[tuple[EventType, Receipt]] = field(default_factory=list)

    def record(self, event_type: EventType, **fields: Any) -> Receipt:
        """``record`` with this change's actor and project."""
        fields.setdefault("project", self.project)
        receipt = record(event_type, self.actor, **fields)
        self.receipts.append((event_type, receipt))
        return receipt


@contextmanager
def audited_change(
    actor: User | str | None,
    *,
    project: str | None = None,
    subject: str | None = None,
    refusal: EventType = EventType.ACTION_REFUSED,
) -> Iterator[AuditedChange]:
    """One transaction. Raises what the body raises, after recording it: ``RefusedError`` as ``refusal``, anything
    else after a record has been written as ``action:failed``."""
    change = AuditedChange(actor, project)
    try:
        with transaction.atomic():
            yield change
    except RefusedError as refused:
        record(
            refusal,
            change.actor,
            project=change.project,
            subject=subject,
            decision="deny",
            data={"reasons": list(refused.reasons)},
        )
        raise
    except AuditUnavailable:
        raise
    except BaseException:
        for event_type, receipt in change.receipts:
            record(
                EventType.ACTION_FAILED,
                change.actor,
                project=change.project,
                subject=subject,
                data={"event": event_type.value, "index": receipt.index},
            )
        raise
