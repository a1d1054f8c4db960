"""FHIR AuditEvents against the published model and against BALP's profiles.

fhir.resources 8 has R5, R4B and STU3, not R4 (4.0.1). R4B's model stands for it: HL7's own comparison of the two
(hl7.org/fhir/R4B/auditevent.diff.xml) lists three value sets whose version number changed, and no element.
"""

import base64
import json

import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from fhir.resources.R4B.bundle import Bundle
from hypothesis import given
from hypothesis import strategies as st
from records import ALL_TYPES, ORIGIN, SITE, entry

from audit.exports.formats.fhir import FhirFormat, audit_event, bundle

# BALP 1.1.4, StructureDefinition-IHE.BasicAudit.<name>: interaction, action, client, server, users
PROFILES = {
    "Query": ("search", "E", "110153", "110152", {"IRCP"}),
    "Read": ("read", "R", "110152", "110153", {"IRCP"}),
    "Create": ("create", "C", "110153", "110152", {"AUT", "INF", "CST"}),
    "Update": ("update", "U", "110153", "110152", {"AUT", "INF", "CST"}),
    "Delete": ("delete", "D", "110150", "custodian", {"AUT", "INF", "CST"}),
}


def check_balp(event):
    """What the profile named in meta.profile demands beyond R4."""
    name = event["meta"]["profile"][0].rsplit(".", 1)[1]
    interaction, action, client_code, server_code, user_codes = PROFILES[name]
    assert event["type"]["code"] == "rest"
    assert [code["code"] for code in event["subtype"] if code["system"].endswith("restful-interaction")] == [
        interaction
    ]
    assert (event["action"], event["outcome"]) == (action, "0")
    agents = {}
    for agent in event["agent"]:
        agents.setdefault(agent["type"]["coding"][0]["code"], []).append(agent)
    for code in (client_code, server_code):
        (found,) = agents.pop(code)
        assert found["who"]["identifier"]["value"]
        assert found["network"]["address"] and found["network"]["type"] == "5"
    for code, (user,) in agents.items():
        assert code in user_codes
        assert user["requestor"] is True
        assert user["who"]["identifier"]["value"]
        assert "network" not in user and "media" not in user
    (data,) = [item for item in event["entity"] if item["type"]["code"] == "2"]
    if name == "Query":
        assert data["role"]["code"] == "24"
        assert data["query"]
        assert not {"what", "lifecycle", "detail"} & set(data)
    else:
        assert data["role"]["code"] in {"4", "3", "20"}
        assert data["what"]["identifier"]["value"]
    requests = [item for item in event["entity"] if item["type"]["code"] == "XrequestId"]
    assert all(item["what"]["identifier"]["value"] for item in requests) and len(requests) <= 1


@pytest.mark.parametrize("event_type", ALL_TYPES)
def test_every_type_is_a_valid_audit_event(event_type):
    message = FhirFormat().encode(entry(event_type), ORIGIN, SITE)
    event = json.loads(message.body)
    AuditEvent.model_validate_json(message.body)
    if "meta" in event:
        check_balp(event)
    # invariant sev-1: a name or a query, not both
    assert not any("name" in item and "query" in item for item in event["entity"])
    assert sum(agent["requestor"] for agent in event["agent"]) == 1


@pytest.mark.parametrize("event_type", ALL_TYPES)
def test_every_event_says_where_the_record_stands(event_type):
    found = entry(event_type, 41)
    event = audit_event(found, ORIGIN, SITE)
    (place,) = [item for item in event["entity"] if item["type"]["code"] == "4"]
    details = {item["type"]: item["valueString"] for item in place["detail"]}
    assert (details["log-origin"], details["log-index"], details["log-leaf-hash"]) == (ORIGIN, "41", found.leaf_hash)
    assert event["id"] == found.leaf_hash


def test_profiles_are_claimed_where_they_are_met():
    claimed = {
        event_type: event["meta"]["profile"][0].rsplit(".", 1)[1]
        for event_type in ALL_TYPES
        if "meta" in (event := audit_event(entry(event_type), ORIGIN, SITE))
    }
    assert claimed["query:intent"] == claimed["query:outcome"] == "Query"
    assert claimed["output-request:viewed"] == "Read"
    assert claimed["dataset:registered"] == "Create"
    assert claimed["audit:pruned"] == "Delete"
    assert not any(name.endswith(("refused", "failed", "approved")) for name in claimed)


def test_a_query_carries_its_public_part_only():
    event = audit_event(entry("query:intent"), ORIGIN, SITE)
    (query,) = [item for item in event["entity"] if "query" in item]
    public = json.loads(base64.b64decode(query["query"]))
    assert public["template_sha256"] == "ab" * 32
    assert public["tables"] == ["stays"]
    assert event["purposeOfEvent"][0]["text"] == "readmission study"


def test_a_refused_query_is_a_serious_failure_without_profile():
    event = audit_event(entry("query:refused"), ORIGIN, SITE)
    assert (event["outcome"], "meta" in event) == ("8", False)
    assert event["outcomeDesc"]


@pytest.mark.parametrize("put", [True, False])
def test_several_go_as_a_batch_bundle(put):
    messages = [FhirFormat().encode(entry(event_type), ORIGIN, SITE) for event_type in ALL_TYPES]
    raw = bundle(messages, put=put)
    Bundle.model_validate_json(raw)
    requests = [item["request"] for item in json.loads(raw)["entry"]]
    assert len(requests) == len(ALL_TYPES)
    expected = f"AuditEvent/{messages[0].leaf_hash}" if put else "AuditEvent"
    assert requests[0] == {"method": "PUT" if put else "POST", "url": expected}


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("actor", "subject", "project", "workspace"), TEXT)), TEXT)
def test_any_text_in_a_record_makes_a_valid_audit_event(fields, value):
    found = entry("dataset:registered", data={"what": value}, policies=(value,), **fields)
    message = FhirFormat().encode(found, ORIGIN, SITE)
    AuditEvent.model_validate_json(message.body)
