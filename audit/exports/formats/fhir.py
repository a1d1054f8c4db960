"""FHIR R4 AuditEvent, shaped as IHE Basic Audit Log Patterns (BALP 1.1.4). Pure.

Successful queries, reads, creations, updates and deletions meet the BALP profiles Query, Read, Create, Update and
Delete and say so in ``meta.profile``. Failures follow the same pattern with their outcome, which those profiles do not
cover. Authorisation decisions and disclosures are coded as BALP codes them, without claiming its profiles, which demand
a Patient. The statement's text never leaves the enclave: ``entity.query`` holds what stands in the public leaf
(template hash, tables), and intent and outcome are joined by the X-Request-Id entity.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from audit.event import timestamp
from audit.exports.formats import fhir_codes as codes
from audit.exports.formats.fhir_codes import Code, Shape
from audit.exports.kinds import Activity, Kind, Result, kind_of, sentence
from audit.exports.message import (
    PRODUCT,
    Message,
    SiteFacts,
    facts_of,
    mapping_of,
    policies_of,
    recorded_at,
    text_of,
)
from audit.reader import LogEntry

_READING = (Activity.QUERY, Activity.READ, Activity.EXPORT, Activity.LOG_READ)
_OTHER_SPACE = re.compile(r"[^\S \t\r\n]")
_CLIENT_RECEIVES = (Activity.READ, Activity.EXPORT, Activity.LOG_READ)


class FhirFormat:
    """One AuditEvent per record; several go as a batch Bundle (ITI-20, Send Audit Bundle)."""

    name = "fhir"
    content_type = "application/fhir+json"

    def encode(self, entry: LogEntry, origin: str, site: SiteFacts) -> Message:
        """The AuditEvent. Its id is the leaf hash, so that a server that takes our ids keeps a record once."""
        body = json.dumps(audit_event(entry, origin, site), ensure_ascii=False, separators=(",", ":")).encode()
        return Message(entry.index, entry.leaf_hash, body, body)

    def join(self, messages: Sequence[Message]) -> bytes:
        """A batch Bundle that creates each AuditEvent."""
        return bundle(messages, put=False)


def bundle(messages: Sequence[Message], *, put: bool) -> bytes:
    """A batch Bundle. ``put``: update-as-create under the leaf hash, which makes sending twice harmless."""
    entries = []
    for message in messages:
        request = (
            f'{{"method":"PUT","url":"AuditEvent/{message.leaf_hash}"}}'
            if put
            else '{"method":"POST","url":"AuditEvent"}'
        )
        entries.append(b'{"resource":' + message.body + b',"request":' + request.encode() + b"}")
    return b'{"resourceType":"Bundle","type":"batch","entry":[' + b",".join(entries) + b"]}"


def audit_event(entry: LogEntry, origin: str, site: SiteFacts) -> dict[str, Any]:
    """The resource as JSON values."""
    leaf = entry.leaf
    kind = kind_of(leaf)
    shape = codes.SHAPES[kind.activity]
    own = Code(f"{site.identifiers}:event-type", str(leaf.get("type")), str(leaf.get("type")))
    subtypes = [shape.subtype, codes.LIFECYCLE_STEPS.get(kind.step) if kind.activity is Activity.LIFECYCLE else None]
    event: dict[str, Any] = {"resourceType": "AuditEvent", "id": entry.leaf_hash}
    if shape.profile is not None and kind.result is Result.DONE:
        event["meta"] = {"profile": [codes.BALP_PROFILE + shape.profile]}
    event |= {
        "type": shape.type.coding(),
        "subtype": [code.coding() for code in (*subtypes, own) if code is not None],
        "action": shape.action,
        "recorded": timestamp(recorded_at(leaf)),
        "outcome": codes.OUTCOMES[kind.result],
    }
    if kind.result is not Result.DONE:
        event["outcomeDesc"] = sentence(leaf)
    if leaf.get("project"):
        event["purposeOfEvent"] = [_purpose(leaf)]
    event["agent"] = _agents(leaf, kind, site)
    event["source"] = {
        "site": site.name,
        "observer": _observer(leaf, site),
        "type": [codes.SECURITY_SERVER.coding()],
    }
    event["entity"] = _entities(entry, origin, kind, shape, site)
    cleaned: dict[str, Any] = _in_fhir_characters(event)
    return cleaned


def _in_fhir_characters(value: Any) -> Any:
    """FHIR strings hold no white space but blank, tab and line ends (R4, 2.24.0.1): anything else becomes a blank."""
    match value:
        case str():
            return _OTHER_SPACE.sub(" ", value)
        case dict():
            return {name: _in_fhir_characters(member) for name, member in value.items()}
        case list():
            return [_in_fhir_characters(member) for member in value]
        case _:
            return value


def _purpose(leaf: Mapping[str, Any]) -> dict[str, Any]:
    purpose: dict[str, Any] = codes.RESEARCH.concept()
    if text := text_of(mapping_of(leaf, "data"), "purpose"):
        purpose["text"] = text
    return purpose


def _identified(site: SiteFacts, sort: str, value: str) -> dict[str, Any]:
    return {"identifier": {"system": f"{site.identifiers}:{sort}", "value": value}}


def _observer(leaf: Mapping[str, Any], site: SiteFacts) -> dict[str, Any]:
    return {**_identified(site, "process", str(leaf.get("writer"))), "display": f"{PRODUCT} {leaf.get('writer')}"}


def _agents(leaf: Mapping[str, Any], kind: Kind, site: SiteFacts) -> list[dict[str, Any]]:
    """Client, server and, when a person acted, that person; an authorisation has other roles (BALP AuthZ)."""
    actor = str(leaf.get("actor"))
    person = not actor.startswith("system:")
    if kind.activity is Activity.DECISION:
        roles = (codes.APPLICATION, codes.AUTHORIZER)
    elif kind.activity is Activity.DELETE:
        roles = (codes.APPLICATION, codes.CUSTODIAN)
    elif kind.activity in _CLIENT_RECEIVES:
        roles = (codes.DESTINATION_ROLE, codes.SOURCE_ROLE)
    else:
        roles = (codes.SOURCE_ROLE, codes.DESTINATION_ROLE)
    workspace = text_of(leaf, "workspace")
    client = _identified(site, "workspace", workspace) if workspace else _identified(site, "process", actor)
    agents = [
        {"type": roles[0].concept(), "who": client, "requestor": not person, "network": _network(client)},
        {"type": roles[1].concept(), "who": _observer(leaf, site), "requestor": False},
    ]
    if roles[1] is not codes.AUTHORIZER:
        agents[1]["network"] = _network(_observer(leaf, site))
    if person:
        agents.append(_person(leaf, kind, actor, site))
    if kind.activity is Activity.DECISION:
        organisation = {**_identified(site, "site", site.name), "display": site.name}
        agents.append({"type": codes.ORGANIZATION.concept(), "who": organisation, "requestor": False})
    return agents


def _person(leaf: Mapping[str, Any], kind: Kind, actor: str, site: SiteFacts) -> dict[str, Any]:
    reading = kind.activity in (*_READING, Activity.DECISION)
    person: dict[str, Any] = {
        "type": (codes.RECIPIENT if reading else codes.AUTHOR).concept(),
        "who": _identified(site, "person", actor),
        "requestor": True,
    }
    if policies := policies_of(leaf):
        person["policy"] = [f"{site.identifiers}:policy:{quote(policy, safe='')}" for policy in policies]
    if leaf.get("project"):
        person["purposeOfUse"] = [codes.RESEARCH.concept()]
    return person


def _network(who: Mapping[str, Any]) -> dict[str, str]:
    """Workspaces and processes meet on unix sockets: their name as a URI stands for the address (type 5)."""
    identifier = who["identifier"]
    return {"address": f"{identifier['system']}:{quote(identifier['value'], safe='')}", "type": "5"}


def _entities(entry: LogEntry, origin: str, kind: Kind, shape: Shape, site: SiteFacts) -> list[dict[str, Any]]:
    leaf = entry.leaf
    entities = []
    if request_id := text_of(leaf, "request_id"):
        entities.append({"type": codes.REQUEST_ID.coding(), "what": _identified(site, "request", request_id)})
    if kind.activity is Activity.QUERY:
        entities.append(_query(leaf, kind))
    else:
        subject = text_of(leaf, "subject") or text_of(leaf, "project") or str(leaf.get("event_id"))
        entities.append(
            {
                "type": codes.SYSTEM_OBJECT.coding(),
                "role": codes.DOMAIN_RESOURCE.coding(),
                "what": _identified(site, "object", subject),
            }
        )
    entities.append(_log_entry(entry, origin, site))
    return entities


def _query(leaf: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """BALP: entity[query] carries the query and nothing else; ours holds the public part of the statement."""
    data = mapping_of(leaf, "data")
    named = ("template_sha256", "tables", "verb", "dataset", "rule", "status", "digest", "columns_read", "filters")
    public = {name: data[name] for name in named if name in data}
    if request_id := text_of(leaf, "request_id"):
        public["request_id"] = request_id
    text = json.dumps(public, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return {
        "type": codes.SYSTEM_OBJECT.coding(),
        "role": codes.QUERY_ROLE.coding(),
        "description": f"{kind.step} of a query; its literals stay in the enclave",
        "query": base64.b64encode(text.encode()).decode(),
    }


def _log_entry(entry: LogEntry, origin: str, site: SiteFacts) -> dict[str, Any]:
    """Where the record stands in the log, then every other fact of the leaf as a detail."""
    leaf = entry.leaf
    facts = {"log-origin": origin, "log-index": str(entry.index), "log-leaf-hash": entry.leaf_hash}
    names = ("project", "workspace", "subject", "decision", "event_id", "writer", "boot")
    facts |= {name: value for name in names if (value := text_of(leaf, name)) is not None}
    facts |= {"seq": str(leaf.get("seq"))} | facts_of(leaf)
    return {
        "type": codes.OTHER.coding(),
        "role": codes.SECURITY_RESOURCE.coding(),
        "what": _identified(site, "log-entry", f"{origin}#{entry.index}"),
        # FHIR has no empty strings
        "detail": [{"type": name, "valueString": value} for name, value in facts.items() if value.strip()],
    }
