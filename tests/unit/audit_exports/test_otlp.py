"""OTLP: protobuf and JSON say the same, and requests join by concatenation."""

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from records import ALL_TYPES, ORIGIN, SITE, entry

from audit.exports.formats.otlp import OtlpFormat


@pytest.mark.parametrize("event_type", ALL_TYPES)
def test_protobuf_and_json_are_the_same_request(event_type):
    found = entry(event_type, 41)
    message = OtlpFormat().encode(found, ORIGIN, SITE)
    binary = ExportLogsServiceRequest.FromString(message.body)
    assert json_format.Parse(message.line, ExportLogsServiceRequest()) == binary
    (record,) = binary.resource_logs[0].scope_logs[0].log_records
    attributes = {item.key: item.value for item in record.attributes}
    assert attributes["enclave.log.origin"].string_value == ORIGIN
    assert attributes["enclave.log.index"].int_value == 41
    assert attributes["enclave.log.leaf_hash"].string_value == found.leaf_hash
    assert record.event_name == event_type
    assert record.time_unix_nano == 1795312984567000000


def test_several_requests_join_into_one():
    messages = [OtlpFormat().encode(entry(event_type), ORIGIN, SITE) for event_type in ALL_TYPES]
    joined = ExportLogsServiceRequest.FromString(OtlpFormat().join(messages))
    names = [record.event_name for logs in joined.resource_logs for s in logs.scope_logs for record in s.log_records]
    assert names == ALL_TYPES
