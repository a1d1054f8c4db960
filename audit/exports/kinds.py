"""What each type of record means to an outsider: one table that every format translates from. Pure.

A type that is not in the table (a newer writer) is exported as an operation whose result is read from the record, never
dropped. The test of this file holds the table against ``enclave.domain.events`` and the log's own events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from audit.exports.message import mapping_of


class Activity(StrEnum):
    """The sort of thing that happened, in words that SIEMs and health audit repositories both have."""

    QUERY = "query"
    READ = "read"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    EXPORT = "export"
    DECISION = "decision"
    LOGIN = "login"
    TOKEN = "token"  # noqa: S105
    ACCOUNT = "account"
    LIFECYCLE = "lifecycle"
    LOG_READ = "log-read"
    ALERT = "alert"


class Severity(IntEnum):
    """In rising order; each format has its own numbers for them."""

    INFO = 1
    NOTICE = 2
    WARNING = 3
    ERROR = 4
    CRITICAL = 5


class Result(StrEnum):
    """How it ended, as the record says."""

    DONE = "done"
    DENIED = "denied"
    FAILED = "failed"


@dataclass(frozen=True)
class Kind:
    """``step`` tells apart what belongs to one activity (start and stop, create and disable)."""

    activity: Activity
    result: Result = Result.DONE
    severity: Severity = Severity.INFO
    step: str = ""


_A, _R, _S = Activity, Result, Severity
_DENIED = Kind(_A.DECISION, _R.DENIED, _S.WARNING)

KINDS: Mapping[str, Kind] = {
    "system:started": Kind(_A.LIFECYCLE, step="start"),
    "system:stopped": Kind(_A.LIFECYCLE, severity=_S.NOTICE, step="stop"),
    "process:restarted": Kind(_A.LIFECYCLE, severity=_S.WARNING, step="restart"),
    "record:set-aside": Kind(_A.LIFECYCLE, _R.FAILED, _S.ERROR, "set aside"),
    "login:succeeded": Kind(_A.LOGIN),
    "login:refused": Kind(_A.LOGIN, _R.DENIED, _S.WARNING),
    "person:created": Kind(_A.ACCOUNT, severity=_S.NOTICE, step="create"),
    "person:revoked": Kind(_A.ACCOUNT, severity=_S.NOTICE, step="disable"),
    "person:restored": Kind(_A.ACCOUNT, severity=_S.NOTICE, step="enable"),
    "person:credentials-changed": Kind(_A.ACCOUNT, severity=_S.NOTICE, step="credentials"),
    "person:reset-ordered": Kind(_A.ACCOUNT, severity=_S.NOTICE, step="reset ordered"),
    "person:reset-confirmed": Kind(_A.ACCOUNT, severity=_S.WARNING, step="reset"),
    "person:reset-refused": _DENIED,
    "person:role-ordered": Kind(_A.ACCOUNT, severity=_S.NOTICE, step="role ordered"),
    "person:role-added": Kind(_A.ACCOUNT, severity=_S.WARNING, step="role added"),
    "person:role-refused": _DENIED,
    "person:role-removed": Kind(_A.ACCOUNT, severity=_S.NOTICE, step="role removed"),
    "person:access-reviewed": Kind(_A.ACCOUNT, step="access reviewed"),
    "dataset:registered": Kind(_A.CREATE),
    "token:issued": Kind(_A.TOKEN),
    "token:refused": Kind(_A.TOKEN, _R.DENIED, _S.WARNING),
    "application:submitted": Kind(_A.CREATE),
    "application:refused": _DENIED,
    "application:approved": Kind(_A.DECISION, severity=_S.NOTICE),
    "application:rejected": Kind(_A.DECISION, _R.DENIED, _S.NOTICE),
    "project:provisioned": Kind(_A.UPDATE),
    "project:activated": Kind(_A.UPDATE, severity=_S.NOTICE),
    "project:failed": Kind(_A.UPDATE, _R.FAILED, _S.ERROR),
    "project:closed": Kind(_A.UPDATE, severity=_S.NOTICE),
    "extract:started": Kind(_A.CREATE, step="begin"),
    "extract:built": Kind(_A.CREATE, severity=_S.NOTICE),
    "extract:refused": _DENIED,
    "extract:destroyed": Kind(_A.DELETE, severity=_S.NOTICE),
    "workspace:started": Kind(_A.CREATE),
    "workspace:stopped": Kind(_A.DELETE),
    "workspace:refused": _DENIED,
    "workspace:limit-reached": Kind(_A.UPDATE, severity=_S.NOTICE, step="limit"),
    "workspace:exposure-warned": Kind(_A.READ, severity=_S.NOTICE, step="much shown"),
    "workspace:exposure-slowed": Kind(_A.READ, severity=_S.WARNING, step="slowed down"),
    "workspace:exposure-stopped": Kind(_A.DECISION, _R.DENIED, _S.WARNING, "stopped"),
    "cluster:started": Kind(_A.CREATE),
    "cluster:stopped": Kind(_A.DELETE),
    "cluster:refused": _DENIED,
    "query:intent": Kind(_A.QUERY, step="intent"),
    "query:outcome": Kind(_A.QUERY, step="outcome"),
    "query:refused": Kind(_A.QUERY, _R.DENIED, _S.WARNING, "refused"),
    "output-request:submitted": Kind(_A.CREATE),
    "output-request:refused": _DENIED,
    "output-request:approved": Kind(_A.DECISION, severity=_S.NOTICE),
    "output-request:rejected": Kind(_A.DECISION, _R.DENIED, _S.NOTICE),
    "output-request:returned": Kind(_A.DECISION, _R.DENIED, _S.NOTICE, "sent back"),
    "output-request:remarked": Kind(_A.UPDATE, step="remark"),
    "output-request:withdrawn": Kind(_A.UPDATE),
    "output-request:released": Kind(_A.EXPORT, severity=_S.NOTICE),
    "output-request:downloaded": Kind(_A.EXPORT, severity=_S.NOTICE),
    "output-request:viewed": Kind(_A.READ),
    "output-request:checked": Kind(_A.READ),
    "screen:shown": Kind(_A.READ),
    "home:destroyed": Kind(_A.DELETE, severity=_S.NOTICE),
    "scratch:destroyed": Kind(_A.DELETE, severity=_S.NOTICE),
    "shared-folder:created": Kind(_A.CREATE),
    "shared-folder:full": Kind(_A.UPDATE, severity=_S.NOTICE, step="full"),
    "shared-folder:destroyed": Kind(_A.DELETE, severity=_S.NOTICE),
    "shown-archive:key-set": Kind(_A.UPDATE, severity=_S.NOTICE, step="key"),
    "shown-archive:listed": Kind(_A.READ, step="list"),
    "shown-archive:read": Kind(_A.READ, severity=_S.NOTICE),
    "shown-archive:refused": _DENIED,
    "shown-archive:destroyed": Kind(_A.DELETE, severity=_S.NOTICE),
    "package-request:submitted": Kind(_A.CREATE),
    "package-request:refused": _DENIED,
    "package-request:approved": Kind(_A.DECISION, severity=_S.NOTICE),
    "package-request:rejected": Kind(_A.DECISION, _R.DENIED, _S.NOTICE),
    "package-request:withdrawn": Kind(_A.UPDATE),
    "package-request:retried": Kind(_A.UPDATE, step="retry"),
    "package-request:delivered": Kind(_A.UPDATE, severity=_S.NOTICE, step="deliver"),
    "package-request:failed": Kind(_A.UPDATE, _R.FAILED, _S.ERROR),
    "package-request:removed": Kind(_A.DELETE, severity=_S.NOTICE),
    "package-fetch:refused": _DENIED,
    "usage:viewed": Kind(_A.READ),
    "selftest:started": Kind(_A.LIFECYCLE, step="self-test begins"),
    "selftest:finished": Kind(_A.LIFECYCLE, severity=_S.NOTICE, step="self-test ended"),
    "action:refused": _DENIED,
    "action:failed": Kind(_A.UPDATE, _R.FAILED, _S.ERROR),
    "canary:scheduled": Kind(_A.CREATE),
    "alert:raised": Kind(_A.ALERT, severity=_S.WARNING, step="raise"),
    "alert:muted": Kind(_A.ALERT, severity=_S.NOTICE, step="mute"),
    "alert:unmuted": Kind(_A.ALERT, severity=_S.NOTICE, step="unmute"),
    "audit:started": Kind(_A.LIFECYCLE, step="start"),
    "audit:stopped": Kind(_A.LIFECYCLE, severity=_S.NOTICE, step="stop"),
    "audit:heartbeat": Kind(_A.LIFECYCLE, step="running"),
    "audit:read": Kind(_A.LOG_READ),
    "audit:redacted": Kind(_A.DELETE, severity=_S.NOTICE),
    "audit:pruned": Kind(_A.DELETE, severity=_S.NOTICE),
    "audit:log-full": Kind(_A.LIFECYCLE, _R.FAILED, _S.CRITICAL, "log full"),
    "audit:log-space": Kind(_A.LIFECYCLE, severity=_S.NOTICE, step="log has space again"),
    "audit:clock-jumped": Kind(_A.LIFECYCLE, _R.FAILED, _S.ERROR, "clock jumped back"),
    "witness:configured": Kind(_A.UPDATE, severity=_S.NOTICE),
    "witness:lost": Kind(_A.LIFECYCLE, _R.FAILED, _S.ERROR, "witness lost"),
    "witness:back": Kind(_A.LIFECYCLE, severity=_S.NOTICE, step="witness back"),
    "anchor:received": Kind(_A.LIFECYCLE, step="time stamp received"),
}

_UNKNOWN = Kind(_A.UPDATE, severity=_S.NOTICE)
_ALERT_SEVERITIES = {"info": _S.INFO, "low": _S.NOTICE, "medium": _S.WARNING, "high": _S.ERROR, "critical": _S.CRITICAL}


def kind_of(leaf: Mapping[str, Any]) -> Kind:
    """The table's row, corrected by what this record itself says about its result and severity."""
    listed = KINDS.get(str(leaf.get("type")), _UNKNOWN)
    data = mapping_of(leaf, "data")
    severity, result = listed.severity, listed.result
    if listed.activity is Activity.ALERT and listed.step == "raise":
        severity = _ALERT_SEVERITIES.get(str(data.get("severity")), severity)
    if result is Result.DONE and leaf.get("decision") == "deny":
        result, severity = Result.DENIED, max(severity, Severity.WARNING)
    elif result is Result.DONE and listed.step == "outcome" and data.get("status", "ok") != "ok":
        result, severity = Result.FAILED, max(severity, Severity.WARNING)
    return Kind(listed.activity, result, severity, listed.step)


def sentence(leaf: Mapping[str, Any]) -> str:
    """The record in a few words, made of identifiers only."""
    parts = [str(leaf.get("type")), f"by {leaf.get('actor')}"]
    parts += [f"{name} {leaf[name]}" for name in ("subject", "project", "workspace") if leaf.get(name)]
    return " ".join((*parts, f"({kind_of(leaf).result})"))
