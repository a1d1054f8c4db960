"""How each format goes over HTTP, and how its receiver's answer is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from audit.exports.formats import FormatName
from audit.exports.message import Format, Message
from audit.exports.sinks import Refusal, SinkUnavailable
from audit.exports.sinks.http import RECORD_FAULTS, Dialect, accept_any_answer


def dialect_of(name: FormatName, chosen: Format, *, idempotent: bool, ndjson: bool) -> Dialect:
    """``idempotent``: FHIR by PUT under the leaf hash; ``ndjson``: OCSF as lines instead of an array."""
    match name:
        case FormatName.FHIR:
            from audit.exports.formats.fhir import bundle

            return Dialect(chosen.content_type, lambda messages: bundle(messages, put=idempotent), read_bundle)
        case FormatName.OCSF if ndjson:
            return Dialect(
                "application/x-ndjson",
                lambda messages: b"".join(message.line + b"\n" for message in messages),
                accept_any_answer,
            )
        case FormatName.OTLP:
            return Dialect(chosen.content_type, chosen.join, read_partial_success)
        case _:
            return Dialect(chosen.content_type, chosen.join, accept_any_answer)


def read_bundle(body: bytes, content_type: str, messages: Sequence[Message]) -> list[Refusal]:
    """A FHIR batch-response has one status per entry, in the order sent; an answer without a Bundle is just its 2xx."""
    try:
        answer: Any = json.loads(body)
    except ValueError:
        return []
    if not isinstance(answer, dict) or answer.get("resourceType") != "Bundle":
        return []
    entries = answer.get("entry")
    statuses = [_status(item) for item in entries] if isinstance(entries, list) else []
    if len(statuses) != len(messages):
        raise SinkUnavailable(f"The FHIR server was sent {len(messages)} entries and answered for {len(statuses)}.")
    refusals = []
    for message, status in zip(messages, statuses, strict=True):
        if 200 <= status < 300:
            continue
        if status not in RECORD_FAULTS:
            raise SinkUnavailable(f"The FHIR server answered {status} for an entry.")
        refusals.append(Refusal(message.index, f"The FHIR server answered {status} for this entry."))
    return refusals


def _status(item: Any) -> int:
    """The number before the text in ``response.status``; 0 when there is none."""
    try:
        return int(str(item["response"]["status"]).split()[0])
    except (KeyError, TypeError, ValueError, IndexError):
        return 0


def read_partial_success(body: bytes, content_type: str, messages: Sequence[Message]) -> list[Refusal]:
    """OTLP: a partial success says how many records were refused, not which, and forbids sending the request again.

    So all records of the request are set aside, each with that reason (OTLP 1.x, Partial Success).
    """
    rejected = _rejected(body, content_type)
    if rejected < 1:
        return []
    reason = f"The receiver refused {rejected} of {len(messages)} records of one request and does not say which."
    return [Refusal(message.index, reason, final=True) for message in messages]


def _rejected(body: bytes, content_type: str) -> int:
    if content_type == "application/json":
        try:
            answer = json.loads(body or b"{}")
            return int((answer.get("partialSuccess") or {}).get("rejectedLogRecords", 0))
        except (ValueError, TypeError, AttributeError):
            return 0
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    try:
        return int(ExportLogsServiceResponse.FromString(body).partial_success.rejected_log_records)
    except Exception:  # DecodeError lives in an untyped package; an answer that is no protobuf is just its 2xx
        return 0
