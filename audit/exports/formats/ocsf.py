"""OCSF 1.7.0 events. Pure.

Queries are Datastore Activity (6005), log-ins and tokens Authentication (3002), accounts Account Change (3001), alerts
Detection Finding (2004), starts, stops and the log's own state Application Lifecycle (6002), the rest API Activity
(6003). ``metadata.uid`` is the leaf hash (the same for a record sent twice), ``metadata.sequence`` the index and
``metadata.log_name`` the origin. What OCSF has no field for is below ``unmapped``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.exports.kinds import Activity, Kind, Result, Severity, kind_of, sentence
from audit.exports.message import (
    PRODUCT,
    Message,
    SiteFacts,
    mapping_of,
    milliseconds,
    policies_of,
    text_of,
)
from audit.reader import LogEntry

VERSION = "1.7.0"
_OTHER = 99

Fields = dict[str, Any]
Leaf = Mapping[str, Any]


@dataclass(frozen=True)
class EventClass:
    """An OCSF event class with its category, as the schema names them."""

    uid: int
    name: str
    category_uid: int
    category: str


ACCOUNT_CHANGE = EventClass(3001, "Account Change", 3, "Identity & Access Management")
AUTHENTICATION = EventClass(3002, "Authentication", 3, "Identity & Access Management")
APPLICATION_LIFECYCLE = EventClass(6002, "Application Lifecycle", 6, "Application Activity")
API_ACTIVITY = EventClass(6003, "API Activity", 6, "Application Activity")
DATASTORE_ACTIVITY = EventClass(6005, "Datastore Activity", 6, "Application Activity")
DETECTION_FINDING = EventClass(2004, "Detection Finding", 2, "Findings")

_SEVERITIES = {
    Severity.INFO: (1, "Informational"),
    Severity.NOTICE: (2, "Low"),
    Severity.WARNING: (3, "Medium"),
    Severity.ERROR: (4, "High"),
    Severity.CRITICAL: (5, "Critical"),
}
_STATUSES = {Result.DONE: (1, "Success"), Result.DENIED: (2, "Failure"), Result.FAILED: (2, "Failure")}
_API = {
    Activity.CREATE: (1, "Create"),
    Activity.READ: (2, "Read"),
    Activity.LOG_READ: (2, "Read"),
    Activity.EXPORT: (2, "Read"),
    Activity.UPDATE: (3, "Update"),
    Activity.DECISION: (3, "Update"),
    Activity.DELETE: (4, "Delete"),
}
_LIFECYCLE = {"start": (3, "Start"), "stop": (4, "Stop"), "restart": (5, "Restart")}
_ACCOUNT = {"create": (1, "Create"), "enable": (2, "Enable"), "disable": (5, "Disable")}


class OcsfFormat:
    """One event per record; several go as a JSON array."""

    name = "ocsf"
    content_type = "application/json"

    def encode(self, entry: LogEntry, origin: str, site: SiteFacts) -> Message:
        """The event."""
        body = json.dumps(ocsf_event(entry, origin, site), ensure_ascii=False, separators=(",", ":")).encode()
        return Message(entry.index, entry.leaf_hash, body, body)

    def join(self, messages: Sequence[Message]) -> bytes:
        """A JSON array."""
        return b"[" + b",".join(message.body for message in messages) + b"]"


def ocsf_event(entry: LogEntry, origin: str, site: SiteFacts) -> Fields:
    """The event as JSON values."""
    leaf = entry.leaf
    kind = kind_of(leaf)
    event_class, activity_id, activity, special = _TRANSLATIONS.get(kind.activity, _api)(leaf, kind, site)
    severity_id, severity = _SEVERITIES[kind.severity]
    status_id, status = _STATUSES[kind.result]
    event = {
        "category_uid": event_class.category_uid,
        "category_name": event_class.category,
        "class_uid": event_class.uid,
        "class_name": event_class.name,
        "activity_id": activity_id,
        "activity_name": activity,
        "type_uid": event_class.uid * 100 + activity_id,
        "type_name": f"{event_class.name}: {activity if activity_id != _OTHER else 'Other'}",
        "time": milliseconds(leaf),
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "message": sentence(leaf),
        "metadata": _metadata(entry, origin, site),
        "unmapped": _unmapped(entry, origin),
    }
    if rule := text_of(mapping_of(leaf, "data"), "rule"):
        event["status_detail"] = rule
    return event | special


def _metadata(entry: LogEntry, origin: str, site: SiteFacts) -> Fields:
    leaf = entry.leaf
    metadata: Fields = {
        "version": VERSION,
        "product": {"name": PRODUCT, "vendor_name": PRODUCT, "version": site.version},
        "uid": entry.leaf_hash,
        "sequence": entry.index,
        "log_name": origin,
        "log_provider": str(leaf.get("writer")),
        "event_code": str(leaf.get("type")),
        "original_time": str(leaf.get("at")),
    }
    if request_id := text_of(leaf, "request_id"):
        metadata["correlation_uid"] = request_id
    if project := text_of(leaf, "project"):
        metadata["tenant_uid"] = project
    return metadata


def _unmapped(entry: LogEntry, origin: str) -> Fields:
    leaf = entry.leaf
    found: Fields = {"log": {"origin": origin, "index": entry.index, "leaf_hash": entry.leaf_hash}}
    names = ("actor", "project", "workspace", "subject", "decision", "event_id", "boot", "seq", "counts", "data")
    found |= {name: leaf[name] for name in names if leaf.get(name)}
    if policies := policies_of(leaf):
        found["policies"] = policies
    return found


Translation = tuple[EventClass, int, str, Fields]


def _user(identifier: str) -> Fields:
    system = identifier.startswith("system:")
    return {"uid": identifier, "type_id": 3 if system else 1, "type": "System" if system else "User"}


def _actor(leaf: Leaf) -> Fields:
    actor: Fields = {"user": _user(str(leaf.get("actor"))), "app_name": str(leaf.get("writer"))}
    if token := text_of(mapping_of(leaf, "data"), "token"):
        actor["session"] = {"uid": token}
    return actor


def _ends(leaf: Leaf, site: SiteFacts) -> Fields:
    """Both ends of the socket: workspace (or process) and the process that wrote the record."""
    workspace = text_of(leaf, "workspace")
    source = {"uid": workspace, "name": workspace} if workspace else {"name": str(leaf.get("writer"))}
    return {
        "src_endpoint": source,
        "dst_endpoint": {"svc_name": str(leaf.get("writer")), "hostname": site.host},
    }


def _datastore(leaf: Leaf, kind: Kind, site: SiteFacts) -> Translation:
    data, counts = mapping_of(leaf, "data"), mapping_of(leaf, "counts")
    dataset = text_of(leaf, "subject") or text_of(data, "dataset") or text_of(leaf, "project") or "unknown"
    request = text_of(leaf, "request_id") or str(leaf.get("event_id"))
    template = text_of(data, "template_sha256")
    query: Fields = {"uid": request, "query_string": f"template sha256:{template}" if template else f"{kind.step}"}
    if isinstance(counts.get("bytes"), int):
        query["bytes"] = counts["bytes"]
    fields: Fields = {
        "actor": _actor(leaf),
        **_ends(leaf, site),
        "database": {"name": dataset, "uid": dataset, "type_id": 1, "type": "Relational"},
        "type_id": 1,
        "type": "Database",
        "query_info": query,
    }
    tables = data.get("tables")
    if isinstance(tables, list) and len(tables) == 1:
        fields["table"] = {"name": tables[0], "uid": tables[0]}
    if isinstance(counts.get("duration_ms"), int):
        fields["duration"] = counts["duration_ms"]
    return DATASTORE_ACTIVITY, 4, "Query", fields


def _authentication(leaf: Leaf, kind: Kind, site: SiteFacts) -> Translation:
    token = kind.activity is Activity.TOKEN
    activity_id, activity = (3, "Authentication Ticket") if token else (1, "Logon")
    writer = str(leaf.get("writer"))
    fields = {
        "user": _user(text_of(leaf, "subject") or str(leaf.get("actor"))),
        "actor": _actor(leaf),
        "service": {"name": writer, "uid": writer},
        **_ends(leaf, site),
    }
    return AUTHENTICATION, activity_id, activity, fields


def _account(leaf: Leaf, kind: Kind, site: SiteFacts) -> Translation:
    what = text_of(mapping_of(leaf, "data"), "what")
    if kind.step in _ACCOUNT:
        activity_id, activity = _ACCOUNT[kind.step]
    elif what == "password":
        activity_id, activity = 3, "Password Change"
    else:
        activity_id, activity = _OTHER, what or kind.step
    fields = {
        "user": _user(text_of(leaf, "subject") or str(leaf.get("actor"))),
        "actor": _actor(leaf),
        "src_endpoint": _ends(leaf, site)["src_endpoint"],
    }
    return ACCOUNT_CHANGE, activity_id, activity, fields


def _lifecycle(leaf: Leaf, kind: Kind, site: SiteFacts) -> Translation:
    activity_id, activity = _LIFECYCLE.get(kind.step, (_OTHER, kind.step))
    name = text_of(leaf, "subject") or str(leaf.get("writer"))
    return APPLICATION_LIFECYCLE, activity_id, activity, {"app": {"name": name, "uid": name, "vendor_name": PRODUCT}}


def _finding(leaf: Leaf, kind: Kind, site: SiteFacts) -> Translation:
    data = mapping_of(leaf, "data")
    subject = text_of(leaf, "subject") or str(leaf.get("event_id"))
    rule = text_of(data, "rule") or subject
    info: Fields = {"uid": subject, "title": rule, "types": [rule]}
    if isinstance(records := data.get("records"), list):
        info["related_events"] = [{"uid": index, "type": "audit log index"} for index in records]
        info["related_events_count"] = len(records)
    raised = kind.step == "raise"
    fields: Fields = {"finding_info": info, "is_alert": raised}
    # for findings the status is the finding's own: 1 new, 2 in progress, 3 suppressed
    status = {"raise": (1, "New"), "mute": (3, "Suppressed")}.get(kind.step, (2, "In Progress"))
    fields |= {"status_id": status[0], "status": status[1]}
    concerned = text_of(data, "actor") or text_of(data, "by")
    if concerned:
        fields["evidences"] = [{"actor": {"user": _user(concerned)}}]
    if project := text_of(leaf, "project"):
        fields["resources"] = [{"uid": project, "name": project, "type": "project"}]
    return DETECTION_FINDING, 1 if raised else 2, "Create" if raised else "Update", fields


def _api(leaf: Leaf, kind: Kind, site: SiteFacts) -> Translation:
    activity_id, activity = _API.get(kind.activity, (_OTHER, str(leaf.get("type"))))
    operation: Fields = {
        "operation": str(leaf.get("type")),
        "service": {"name": str(leaf.get("writer"))},
        "request": {"uid": text_of(leaf, "request_id") or str(leaf.get("event_id"))},
    }
    fields: Fields = {"api": operation, "actor": _actor(leaf), **_ends(leaf, site)}
    if subject := text_of(leaf, "subject") or text_of(leaf, "project"):
        fields["resources"] = [{"uid": subject, "name": subject}]
    return API_ACTIVITY, activity_id, activity, fields


_TRANSLATIONS: Mapping[Activity, Callable[[Leaf, Kind, SiteFacts], Translation]] = {
    Activity.QUERY: _datastore,
    Activity.LOGIN: _authentication,
    Activity.TOKEN: _authentication,
    Activity.ACCOUNT: _account,
    Activity.LIFECYCLE: _lifecycle,
    Activity.ALERT: _finding,
}
