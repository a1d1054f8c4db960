"""OCSF events against the 1.7.0 schema: the model of ``ocsf.v1_7_0``, and no attribute it does not know."""

import json

import pytest
from ocsf.v1_7_0 import events
from pydantic import BaseModel
from records import ALL_TYPES, ORIGIN, SITE, entry

from audit.exports.formats.ocsf import OcsfFormat, ocsf_event

CLASSES = {
    2004: events.DetectionFinding,
    3001: events.AccountChange,
    3002: events.Authentication,
    6002: events.ApplicationLifecycle,
    6003: events.ApiActivity,
    6005: events.DatastoreActivity,
}


def in_library_numbers(message):
    """pydantic-ocsf 2.0.9 compares with the schema's source, where a class is numbered within its category: API
    Activity is 3. In the compiled schema, which is what is exchanged, it is 6003 (category * 1000 + 3)."""
    model = CLASSES[message["class_uid"]]
    short = message["class_uid"] - message["category_uid"] * 1000
    assert 0 < short < 1000
    assert model.__name__.lower() == message["class_name"].replace(" ", "").lower()
    assert message["type_uid"] == message["class_uid"] * 100 + message["activity_id"]
    return {**message, "class_uid": short, "type_uid": short * 100 + message["activity_id"]}


def check_no_strangers(model, place):
    """The model lets unknown attributes pass; we do not, except below ``unmapped``, which is made for them."""
    assert not model.model_extra, f"{place}: {sorted(model.model_extra)}"
    for name in type(model).model_fields:
        value = getattr(model, name)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, BaseModel) and name != "unmapped":
                check_no_strangers(item, f"{place}.{name}")


@pytest.mark.parametrize("event_type", ALL_TYPES)
def test_every_type_meets_the_schema(event_type):
    found = entry(event_type, 41)
    message = json.loads(OcsfFormat().encode(found, ORIGIN, SITE).body)
    model = CLASSES[message["class_uid"]].model_validate(in_library_numbers(message))
    check_no_strangers(model, event_type)
    metadata = message["metadata"]
    assert (metadata["log_name"], metadata["sequence"], metadata["uid"]) == (ORIGIN, 41, found.leaf_hash)
    assert message["time"] == 1795312984567
    if event_type == "query:intent":
        assert message["unmapped"]["log"] == {"origin": ORIGIN, "index": 41, "leaf_hash": found.leaf_hash}


@pytest.mark.parametrize(
    ("event_type", "type_uid", "status_id"),
    [
        ("query:intent", 600504, 1),
        ("query:outcome", 600504, 1),
        ("query:refused", 600504, 2),
        ("login:succeeded", 300201, 1),
        ("login:refused", 300201, 2),
        ("token:issued", 300203, 1),
        ("person:created", 300101, 1),
        ("person:revoked", 300105, 1),
        ("person:restored", 300102, 1),
        ("person:credentials-changed", 300103, 1),
        ("dataset:registered", 600301, 1),
        ("audit:read", 600302, 1),
        ("output-request:released", 600302, 1),
        ("audit:pruned", 600304, 1),
        ("system:started", 600203, 1),
        ("system:stopped", 600204, 1),
        ("process:restarted", 600205, 1),
        ("audit:log-full", 600299, 2),
        ("alert:raised", 200401, 1),
        ("alert:muted", 200402, 3),
    ],
)
def test_each_type_has_its_class_and_activity(event_type, type_uid, status_id):
    event = ocsf_event(entry(event_type), ORIGIN, SITE)
    assert (event["type_uid"], event["status_id"]) == (type_uid, status_id)


def test_several_go_as_a_json_array():
    messages = [OcsfFormat().encode(entry(event_type), ORIGIN, SITE) for event_type in ALL_TYPES]
    assert len(json.loads(OcsfFormat().join(messages))) == len(ALL_TYPES)
