"""What the log records about itself: the types of those records, and who stands in them as writer and actor. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from audit.event import AuditEvent, DataValue

OWN_WRITER = "audit"
OWN_ACTOR = "system:audit"


class OwnEvent(StrEnum):
    """Types of the records that the daemon writes without anybody sending them."""

    STARTED = "audit:started"
    STOPPED = "audit:stopped"
    HEARTBEAT = "audit:heartbeat"
    READ = "audit:read"
    REDACTED = "audit:redacted"
    PRUNED = "audit:pruned"
    LOG_FULL = "audit:log-full"
    LOG_SPACE = "audit:log-space"
    CLOCK_JUMPED = "audit:clock-jumped"
    WITNESS_CONFIGURED = "witness:configured"
    WITNESS_LOST = "witness:lost"
    WITNESS_BACK = "witness:back"
    ANCHOR_RECEIVED = "anchor:received"


def own_event(
    event_type: OwnEvent,
    *,
    actor: str = OWN_ACTOR,
    subject: str | None = None,
    counts: Mapping[str, int] | None = None,
    data: Mapping[str, DataValue] | None = None,
) -> AuditEvent:
    """A record by the daemon itself; ``actor`` is a person only where the daemon acts for one (``audit:read``)."""
    return AuditEvent(event_type.value, actor, subject=subject, counts=counts or {}, data=data or {})
