"""OpenTelemetry log records (OTLP 1.x), as protobuf for HTTP and as OTLP/JSON for files. Pure.

One ``ExportLogsServiceRequest`` per record: protobuf joins them by concatenation, because repeated fields of messages
written one after the other are merged (Protocol Buffers encoding, "Last One Wins").
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs, SeverityNumber
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from audit.exports.kinds import Severity, kind_of, sentence
from audit.exports.message import PRODUCT, Message, SiteFacts, mapping_of, milliseconds, policies_of, text_of
from audit.reader import LogEntry

SCOPE = "enclave.audit"
_SEVERITIES = {
    Severity.INFO: (SeverityNumber.SEVERITY_NUMBER_INFO, "INFO"),
    Severity.NOTICE: (SeverityNumber.SEVERITY_NUMBER_INFO2, "INFO2"),
    Severity.WARNING: (SeverityNumber.SEVERITY_NUMBER_WARN, "WARN"),
    Severity.ERROR: (SeverityNumber.SEVERITY_NUMBER_ERROR, "ERROR"),
    Severity.CRITICAL: (SeverityNumber.SEVERITY_NUMBER_FATAL, "FATAL"),
}

Value = str | int | bool | list[str]


class OtlpFormat:
    """One log record per audit record."""

    name = "otlp"
    content_type = "application/x-protobuf"

    def encode(self, entry: LogEntry, origin: str, site: SiteFacts) -> Message:
        """The request with this one record."""
        attributes = dict(attributes_of(entry, origin))
        resource = {"service.name": "enclave", "service.version": site.version, "service.namespace": site.name}
        body = _protobuf(entry, attributes, resource).SerializeToString()
        line = json.dumps(_json(entry, attributes, resource), ensure_ascii=False, separators=(",", ":")).encode()
        return Message(entry.index, entry.leaf_hash, body, line)

    def join(self, messages: Sequence[Message]) -> bytes:
        """One request with all of them."""
        return b"".join(message.body for message in messages)


def _protobuf(
    entry: LogEntry, attributes: Mapping[str, Value], resource: Mapping[str, Value]
) -> ExportLogsServiceRequest:
    leaf = entry.leaf
    number, text = _SEVERITIES[kind_of(leaf).severity]
    at = milliseconds(leaf) * 1_000_000
    record = LogRecord(
        time_unix_nano=at,
        observed_time_unix_nano=at,
        severity_number=number,
        severity_text=text,
        body=AnyValue(string_value=sentence(leaf)),
        attributes=[KeyValue(key=key, value=_any(value)) for key, value in attributes.items()],
        event_name=str(leaf.get("type")),
    )
    scope_logs = ScopeLogs(scope=InstrumentationScope(name=SCOPE), log_records=[record])
    facts = [KeyValue(key=key, value=_any(value)) for key, value in resource.items()]
    logs = ResourceLogs(resource=Resource(attributes=facts), scope_logs=[scope_logs])
    return ExportLogsServiceRequest(resource_logs=[logs])


def _json(entry: LogEntry, attributes: Mapping[str, Value], resource: Mapping[str, Value]) -> dict[str, Any]:
    leaf = entry.leaf
    number, text = _SEVERITIES[kind_of(leaf).severity]
    at = str(milliseconds(leaf) * 1_000_000)
    record = {
        "timeUnixNano": at,
        "observedTimeUnixNano": at,
        "severityNumber": int(number),
        "severityText": text,
        "body": {"stringValue": sentence(leaf)},
        "attributes": _json_attributes(attributes),
        "eventName": str(leaf.get("type")),
    }
    scope_logs = {"scope": {"name": SCOPE}, "logRecords": [record]}
    return {"resourceLogs": [{"resource": {"attributes": _json_attributes(resource)}, "scopeLogs": [scope_logs]}]}


def attributes_of(entry: LogEntry, origin: str) -> Iterator[tuple[str, Value]]:
    """Names of OpenTelemetry where it has one (``user.id``, ``db.*``), else below ``enclave.``."""
    leaf = entry.leaf
    kind = kind_of(leaf)
    yield "enclave.log.origin", origin
    yield "enclave.log.index", entry.index
    yield "enclave.log.leaf_hash", entry.leaf_hash
    yield "enclave.product", PRODUCT
    yield "enclave.activity", str(kind.activity)
    yield "enclave.result", str(kind.result)
    yield "user.id", str(leaf.get("actor"))
    for name in ("project", "workspace", "subject", "request_id", "decision", "event_id", "writer", "boot"):
        if (value := text_of(leaf, name)) is not None:
            yield f"enclave.{name}", value
    if isinstance(leaf.get("seq"), int):
        yield "enclave.seq", leaf["seq"]
    if policies := policies_of(leaf):
        yield "enclave.policies", policies
    for group in ("counts", "data"):
        for key, value in mapping_of(leaf, group).items():
            yield f"enclave.{group}.{key}", value


def _any(value: Value) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=[_any(item) for item in value]))
        case _:
            return AnyValue(string_value=str(value))


def _json_attributes(attributes: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _json_any(value)} for key, value in attributes.items()]


def _json_any(value: Value) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}  # 64-bit integers are text in protobuf's JSON
        case list():
            return {"arrayValue": {"values": [_json_any(item) for item in value]}}
        case _:
            return {"stringValue": str(value)}
