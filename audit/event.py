"""What a process reports, and the leaf the log makes of it. Pure.

The leaf carries pseudonymous identifiers only; literals, names and addresses go into ``payload``, which is encrypted
beside the log and stands in the leaf as a salted commitment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from audit.canonical import MAX_INTEGER

LEAF_VERSION = 1
MAX_PAYLOAD_BYTES = 900_000
MAX_TEXT = 2000
"""Characters in a field such as ``actor`` or ``subject``."""
_OPTIONAL = ("project", "workspace", "subject", "request_id", "decision")
_TEXTS = ("actor", "project", "workspace", "subject", "request_id")
_KNOWN = frozenset({"type", "actor", "policies", "counts", "data", *_OPTIONAL})
_TYPE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*:[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9._:@/-]{1,128}", re.ASCII)

DataValue = str | int | bool | list[str]


class EventError(ValueError):
    """An event does not have the agreed form; the sentence names the field, never its value."""


@dataclass(frozen=True)
class AuditEvent:
    """One thing that happened. ``actor``: person id or ``system:<process>``; ``request_id`` joins intent to outcome."""

    type: str
    actor: str
    project: str | None = None
    workspace: str | None = None
    subject: str | None = None
    decision: Literal["allow", "deny"] | None = None
    policies: tuple[str, ...] = ()
    request_id: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    data: Mapping[str, DataValue] = field(default_factory=dict)
    payload: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Receipt:
    """The log's answer once the record is durable: its place, its leaf hash (hex) and a signed checkpoint over it."""

    index: int
    leaf_hash: str
    checkpoint: str


@dataclass(frozen=True)
class Envelope:
    """What identifies one sending: unique id, and the writer's own counter within one start of that writer."""

    event_id: str
    writer: str
    boot: str
    seq: int


@dataclass(frozen=True)
class Peer:
    """Who is at the other end of the socket, as the kernel says (SO_PEERCRED)."""

    uid: int
    pid: int


def event_fields(event: AuditEvent) -> dict[str, Any]:
    """The event's own leaf fields without the payload; raise :class:`EventError` when one has the wrong form."""
    try:
        fields: dict[str, Any] = {
            "type": event.type,
            "actor": event.actor,
            "policies": list(event.policies),
            "counts": dict(event.counts),
            "data": {key: list(value) if isinstance(value, list) else value for key, value in event.data.items()},
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise EventError("policies, counts, data: expected a list and two objects with text keys.") from error
    for name in _OPTIONAL:
        if (value := getattr(event, name)) is not None:
            fields[name] = value
    check_fields(fields)
    return fields


def event_from_fields(fields: Mapping[str, Any]) -> AuditEvent:
    """The inverse of :func:`event_fields`; raise :class:`EventError`."""
    checked = received_fields(fields)
    return AuditEvent(**{**checked, "policies": tuple(checked["policies"])})


def received_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The leaf fields of an event that arrived over the socket (parsed JSON); raise :class:`EventError`."""
    if not fields.keys() <= _KNOWN:
        raise EventError(
            f"Expected the fields of an audit event, found {len(fields.keys() - _KNOWN)} unknown; use audit.client."
        )
    present = {key: value for key, value in fields.items() if value is not None}
    complete = {"policies": [], "counts": {}, "data": {}, **present}
    check_fields(complete)
    return complete


def check_event(event: AuditEvent) -> None:
    """Raise :class:`EventError` on a field of the wrong form."""
    event_fields(event)


def check_fields(fields: Mapping[str, Any]) -> None:
    """Raise :class:`EventError` on a leaf field of the wrong form."""
    if "type" not in fields or "actor" not in fields:
        raise EventError("An audit event needs 'type' and 'actor'.")
    event_type = fields["type"]
    if not isinstance(event_type, str) or not _TYPE.fullmatch(event_type):
        raise EventError("type: expected an event type such as 'query:intent' (lower case, one colon).")
    for name in _TEXTS:
        if name in fields and not (isinstance(value := fields[name], str) and 0 < len(value) <= MAX_TEXT):
            raise EventError(f"{name}: expected text of 1 to {MAX_TEXT} characters.")
    if fields.get("decision") not in (None, "allow", "deny"):
        raise EventError("decision: expected 'allow', 'deny' or nothing.")
    if not _is_text_list(fields["policies"]):
        raise EventError("policies: expected a list of text.")
    counts, data = fields["counts"], fields["data"]
    if not isinstance(counts, dict) or not isinstance(data, dict):
        raise EventError("counts, data: expected objects with text keys.")
    for key, value in counts.items():
        _check_key("counts", key)
        if type(value) is not int or not -MAX_INTEGER <= value <= MAX_INTEGER:
            _check_number(f"counts.{key}", value)
    for key, value in data.items():
        _check_key("data", key)
        if not isinstance(value, str):
            _check_value(f"data.{key}", value)


def _check_key(place: str, key: object) -> None:
    if not isinstance(key, str) or not key.isascii():
        raise EventError(f"{place}: expected an object with keys of ASCII text.")


def _check_value(place: str, value: object) -> None:
    if isinstance(value, bool) or _is_text_list(value):
        return
    if not isinstance(value, int):
        raise EventError(f"{place}: expected text, a whole number, true, false or a list of text.")
    _check_number(place, value)


def _check_number(place: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise EventError(f"{place}: expected a whole number.")
    if not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise EventError(f"{place}: expected a whole number within 53 bits; write greater ones as text.")


def _is_text_list(value: object) -> bool:
    if not isinstance(value, list):
        return False
    for item in value:  # noqa: SIM110 - called for every record: a plain loop takes half the time of all()
        if not isinstance(item, str):
            return False
    return True


def check_envelope(envelope: Envelope) -> None:
    """Raise :class:`EventError` unless ids are short tokens and the counter is positive."""
    for name, value in (("event_id", envelope.event_id), ("writer", envelope.writer), ("boot", envelope.boot)):
        if not isinstance(value, str) or not _TOKEN.fullmatch(value):
            raise EventError(f"{name}: expected 1 to 128 letters, digits or . _ : @ / -")
    if type(envelope.seq) is not int or not 1 <= envelope.seq <= MAX_INTEGER:
        raise EventError("seq: expected a whole number from 1 on.")


def leaf_of(
    fields: Mapping[str, Any], envelope: Envelope, peer: Peer, at: datetime, commitment: bytes | None
) -> dict[str, Any]:
    """The leaf as stored: the event's fields, who sent it, when the log took it, and the payload's commitment."""
    leaf = {
        "v": LEAF_VERSION,
        "at": timestamp(at),
        "event_id": envelope.event_id,
        "writer": envelope.writer,
        "boot": envelope.boot,
        "seq": envelope.seq,
        "peer": {"uid": peer.uid, "pid": peer.pid},
        **fields,
    }
    return leaf if commitment is None else {**leaf, "payload": commitment.hex()}


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds and ``Z``."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
