"""One plausible record of every type the enclave and the log itself write."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from audit.event import AuditEvent, Envelope, Peer, event_fields, leaf_of
from audit.exports.message import SiteFacts
from audit.merkle import leaf_hash
from audit.own_events import OwnEvent
from audit.reader import LogEntry
from enclave.domain.events import EventType

ORIGIN = "log.example.test/enclave"
SITE = SiteFacts(name="Sample hospital", host="audit.example.test", identifiers="urn:enclave:test", version="0.1.0")
AT = datetime(2026, 11, 22, 2, 3, 4, 567000, tzinfo=UTC)

OWN = [str(event) for event in OwnEvent]
OTHERS = ["canary:scheduled", "alert:raised", "alert:muted", "alert:unmuted", "screen:shown"]
ALL_TYPES = sorted({*(str(event) for event in EventType), *OWN, *OTHERS})

PARTS: dict[str, dict[str, Any]] = {
    "query:intent": {
        "subject": "cardio@3",
        "workspace": "ws-9",
        "decision": "allow",
        "policies": ("query.project-member", "query.permit-active"),
        "request_id": "r-1",
        "counts": {"characters": 120, "parameters": 2},
        "data": {
            "template_sha256": "ab" * 32, "tables": ["stays"], "purpose": "readmission study",
            "token": "t-77", "verb": "select", "dataset": "cardio@3",
        },
    },
    "query:outcome": {
        "subject": "cardio@3",
        "workspace": "ws-9",
        "request_id": "r-1",
        "counts": {"rows": 12, "bytes": 3400, "duration_ms": 18, "columns": 3, "persons": 41, "min_cell": 11},
        "data": {"status": "ok", "digest": "cd" * 32},
    },
    "query:refused": {"decision": "deny", "data": {"rule": "unknown-table"}, "policies": ("query.gate",)},
    "alert:raised": {
        "subject": "alert:mass-extraction/u-1/2026-11-22",
        "data": {"rule": "mass-extraction", "actor": "u-1", "severity": "high", "records": ["3", "4"]},
        "counts": {"rows": 100000},
    },
    "alert:muted": {
        "subject": "alert:mass-extraction/u-1/2026-11-22",
        "data": {"reason": "known-analysis", "until": "", "by": "u-3"},
        "payload": {"text": "agreed with the steward on the phone"},
    },
    "person:credentials-changed": {"subject": "u-1", "data": {"what": "password"}, "decision": "allow"},
    "login:refused": {"actor": "unknown", "decision": "deny", "data": {"step": "password", "known_person": False}},
    "audit:redacted": {"subject": "key:2026-11/p-1", "data": {"legal_basis": "gdpr-17", "by": "u-4"}},
    "audit:heartbeat": {"counts": {"seconds": 60}},
    "anchor:received": {"counts": {"size": 9}, "data": {"tsr_sha256": "00" * 32, "note_sha256": "11" * 32}},
    "system:started": {"data": {"processes": ["portal", "gateway"]}},
    "token:issued": {"subject": "u-1", "data": {"token": "t-78"}},
}  # fmt: skip


def entry(event_type: str, index: int = 5, **changes: Any) -> LogEntry:
    """A published record of that type; ``changes`` replace fields of the event."""
    own = event_type in OWN
    fields: dict[str, Any] = {"actor": "system:audit" if own else "u-1", "project": None if own else "p-1"}
    fields |= PARTS.get(event_type, {"subject": "thing-1"}) | changes
    event = AuditEvent(type=event_type, **fields)
    envelope = Envelope("e-1", "audit" if own else "portal", "b-1", 7)
    commitment = None if event.payload is None else bytes(32)
    leaf = leaf_of(event_fields(event), envelope, Peer(1000, 4242), AT, commitment)
    return entry_of(leaf, index)


def entry_of(leaf: dict[str, Any], index: int = 5) -> LogEntry:
    """A leaf as published."""
    raw = json.dumps(leaf, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return LogEntry(index, json.loads(raw), leaf_hash(raw).hex())
