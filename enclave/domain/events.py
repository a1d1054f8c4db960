"""Every kind of record the enclave writes to the audit log, in one table (``"noun:verb"``).

EHDS art. 73(1)(e): identifiable logs of access and activities. A refusal is an event of its own, so that no decision
is silent. ``docs/reference/events.md`` is generated from this enum.
"""

from __future__ import annotations

from enum import StrEnum


class EventType(StrEnum):
    """Stored strings; the value is what the log carries."""

    SYSTEM_STARTED = "system:started"
    SYSTEM_STOPPED = "system:stopped"
    PROCESS_RESTARTED = "process:restarted"
    LOGIN_SUCCEEDED = "login:succeeded"
    LOGIN_REFUSED = "login:refused"
    PERSON_CREATED = "person:created"
    PERSON_REVOKED = "person:revoked"
    PERSON_RESTORED = "person:restored"
    PERSON_CREDENTIALS_CHANGED = "person:credentials-changed"
    DATASET_REGISTERED = "dataset:registered"
    TOKEN_ISSUED = "token:issued"  # noqa: S105
    TOKEN_REFUSED = "token:refused"  # noqa: S105
    APPLICATION_SUBMITTED = "application:submitted"
    APPLICATION_REFUSED = "application:refused"
    APPLICATION_APPROVED = "application:approved"
    APPLICATION_REJECTED = "application:rejected"
    PROJECT_PROVISIONED = "project:provisioned"
    PROJECT_ACTIVATED = "project:activated"
    PROJECT_FAILED = "project:failed"
    PROJECT_CLOSED = "project:closed"
    EXTRACT_STARTED = "extract:started"
    EXTRACT_BUILT = "extract:built"
    EXTRACT_REFUSED = "extract:refused"
    WORKSPACE_STARTED = "workspace:started"
    WORKSPACE_STOPPED = "workspace:stopped"
    WORKSPACE_REFUSED = "workspace:refused"
    WORKSPACE_EXPOSURE_WARNED = "workspace:exposure-warned"
    WORKSPACE_EXPOSURE_SLOWED = "workspace:exposure-slowed"
    WORKSPACE_EXPOSURE_STOPPED = "workspace:exposure-stopped"
    SCREEN_SHOWN = "screen:shown"
    QUERY_INTENT = "query:intent"
    QUERY_OUTCOME = "query:outcome"
    QUERY_REFUSED = "query:refused"
    OUTPUT_REQUEST_CHECKED = "output-request:checked"
    OUTPUT_REQUEST_SUBMITTED = "output-request:submitted"
    OUTPUT_REQUEST_REFUSED = "output-request:refused"
    OUTPUT_REQUEST_APPROVED = "output-request:approved"
    OUTPUT_REQUEST_REJECTED = "output-request:rejected"
    OUTPUT_REQUEST_WITHDRAWN = "output-request:withdrawn"
    OUTPUT_REQUEST_RELEASED = "output-request:released"
    OUTPUT_REQUEST_DOWNLOADED = "output-request:downloaded"
    OUTPUT_REQUEST_VIEWED = "output-request:viewed"
    AUDIT_READ = "audit:read"
    CANARY_SCHEDULED = "canary:scheduled"
    SELFTEST_STARTED = "selftest:started"
    SELFTEST_FINISHED = "selftest:finished"
    ALERT_RAISED = "alert:raised"
    ALERT_MUTED = "alert:muted"
    ALERT_UNMUTED = "alert:unmuted"
    ACTION_REFUSED = "action:refused"
    ACTION_FAILED = "action:failed"
