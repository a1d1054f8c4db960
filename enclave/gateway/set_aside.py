"""A record that the audit log refuses for good: kept as a file for operations, and a record in its place says so.

Contract: ``set_aside`` returns once the file is durable and ``record:set-aside`` is in the log, with the refused
record's kind, the log's reason, and the name and SHA-256 of the file. It comes under the refused record's number of its
writer, so that no number is missing. Called again after an error or a crash it does the same once more, and the log
keeps one record. The file holds the record as it was to be sent, without its payload: no statement lies on the disk.

Non-goal: deciding what becomes of the file; whoever looks after the enclave finds it in the folder ``set-aside`` beside
the late records and can compare it with the hash.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import structlog

from audit.canonical import CanonicalError
from audit.client import AuditClient, AuditRefused
from audit.event import AuditEvent, Envelope, EventError
from audit.wire import WireError
from enclave.domain.events import EventType
from enclave.files import write_atomically

_log = structlog.get_logger()
FOLDER = "set-aside"
CANNOT_BE_SENT = (EventError, CanonicalError, WireError)
"""What the client says of an event before it sends anything."""
_MOST_CHARACTERS = 500


def is_refused_for_good(error: Exception) -> bool:
    """Sending the same again will not help. A full log will have room again."""
    return isinstance(error, CANNOT_BE_SENT) or (isinstance(error, AuditRefused) and not error.is_full)


def set_aside(folder: Path, client: AuditClient, event: AuditEvent, envelope: Envelope, reason: Exception) -> None:
    """Raises OSError when the file cannot be written, AuditUnavailable when the log takes no other record either."""
    successor = _successor(envelope.event_id)
    path = folder / FOLDER / f"{successor}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(path, _content(event, envelope), mode=0o600)
    notice = AuditEvent(
        type=EventType.RECORD_SET_ASIDE,
        actor=f"system:{client.writer}",
        project=_plain(event.project),
        workspace=_plain(event.workspace),
        request_id=_plain(event.request_id),
        subject=path.name,
        data={
            "kind": _plain(event.type) or "",
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "reason": _plain(str(reason)) or "",
            "without_payload": event.payload is not None,
        },
    )
    client.record(notice, envelope=replace(envelope, event_id=successor))
    _log.error("record-set-aside", event_type=str(event.type), file=path.name)


def _content(event: AuditEvent, envelope: Envelope) -> bytes:
    """Whatever is wrong with the event: it can be written down."""
    fields = {**vars(event), "payload": None}
    return json.dumps({"event": fields, "envelope": asdict(envelope)}, default=repr).encode()


def _successor(event_id: str) -> str:
    """The id of the record that stands in its place: always the same, and a file name."""
    return hashlib.sha256(f"{FOLDER}:{event_id}".encode()).hexdigest()[:32]


def _plain(text: object) -> str | None:
    """What the log certainly takes: it may be this text that it refused."""
    return str(text).encode("ascii", "backslashreplace").decode()[:_MOST_CHARACTERS] if text else None
