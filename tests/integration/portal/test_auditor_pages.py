"""Pages about one person, project, dataset or query; proofs for strangers; alerts and test queries."""

from __future__ import annotations

import json
from typing import Any

import pytest
from portal_house import permit_text

from audit.alerts import mute
from audit.merkle import leaf_hash
from audit.proof import verify_proof
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.gateway.canary import canary_template
from enclave.portal.actions import projects
from enclave.portal.actions.canaries import order_canary
from enclave.portal.models import Job, Project, User
from enclave.portal.record import audit_client, record

TEMPLATE = "ab" * 32


def person(username: str) -> User:
    return User.objects.get(username=username)


def a_query(request_id: str, *, rows: int = 12, tables: tuple[str, ...] = ("person",)) -> int:
    """Intent and outcome as the gateway writes them; returns the intent's index."""
    common: dict[str, Any] = {"project": "walk-project", "request_id": request_id}
    data = {"template_sha256": TEMPLATE, "tables": list(tables), "verb": "select", "dataset": "gibleed@2026-1"}
    first = record(EventType.QUERY_INTENT, person("amelie"), data=data, decision="allow", **common)
    counts = {"rows": rows, "bytes": 800, "duration_ms": 7, "persons": 31}
    ended = {"status": "ok", "columns_read": ["person.label"], "filters": ["person.label ="]}
    record(EventType.QUERY_OUTCOME, person("amelie"), counts=counts, data=ended, **common)
    return first.index


def an_alert(key: str, about: str) -> None:
    data = {
        "rule": "differencing",
        "actor": about,
        "severity": "high",
        "sentence": "differencing/populations",
        "records": ["0"],
    }
    counts = {"populations": 2, "hours": 24, "small_count": 11, "smallest_population": 30}
    record(EventType.ALERT_RAISED, "system:alerts", subject=f"alert:{key}", data=data, counts=counts)


def test_pages_about_a_person_a_project_a_dataset_and_a_query(house: Any) -> None:
    a_query("q-walk-1")
    a_query("q-walk-2", rows=99)
    house.events()
    victor = house.logged_in("victor")
    amelie = person("amelie").person_id
    about = victor.words(f"/audit/person/{amelie}/")
    assert "Amelie" in about
    assert "walk-project" in about
    assert "2 queries" in victor.words("/audit/project/walk-project/")
    assert "Newest records" in victor.words("/audit/dataset/gibleed/")
    story = victor.words("/audit/query/q-walk-2/")
    assert "Rows sent 99" in story
    assert "People behind the result 31" in story
    assert "asked queries of this form 2 times" in story
    assert "Columns read person.label" in story and "Filters (without their values) person.label =" in story
    assert 'href="/audit/?text=person.label"' in victor.get("/audit/query/q-walk-2/").text
    found = victor.words("/audit/?text=person.label+%3D")
    assert "query:outcome" in found and "query:intent" not in found.split("Time (UTC)")[-1]
    assert victor.get("/audit/query/q-nobody-asked/").status_code == 404
    read = {leaf["subject"] for leaf in house.events(EventType.AUDIT_READ)}
    assert {"log:person", "log:project", "log:dataset", "log:query"} <= read


def test_filters_by_table_dataset_and_decision_are_addresses(house: Any) -> None:
    index = a_query("q-walk-3", tables=("death",))
    house.events()
    victor = house.logged_in("victor")
    page = victor.get("/audit/?table=death&dataset=gibleed&decision=allow&type=query:intent").text
    assert f'href="/audit/{index}/"' in page
    assert "1 record" in page
    assert "No record passes" in victor.get("/audit/?table=death&decision=deny").text


def test_the_prove_page_hands_out_everything_a_stranger_needs(house: Any) -> None:
    index = a_query("q-walk-4")
    house.events()
    victor = house.logged_in("victor")
    page = victor.words(f"/audit/{index}/prove")
    key = (house.settings.audit_dir / "log.vkey").read_text().strip()
    assert key in page
    entry = victor.get(f"/audit/{index}/record.json").content
    proof = victor.get(f"/audit/{index}/proof").text
    assert json.loads(entry)["request_id"] == "q-walk-4"
    assert verify_proof(proof, leaf_hash(entry).hex(), key).size > index
    assert victor.get("/audit/check-proof.sh").text.startswith("#!/usr/bin/env bash")
    assert "enclave.localhost/log" in victor.get("/audit/checkpoint").text


def test_an_alert_is_explained_and_muted_only_with_a_reason_on_record(house: Any) -> None:
    key = "differencing-" + "0a" * 10
    an_alert(key, person("amelie").person_id)
    house.events()
    victor = house.logged_in("victor")
    assert "Populations that differ by a few people" in victor.words("/alerts/")
    page = victor.words(f"/alerts/{key}/")
    assert "2 populations of one statement within 24 hours" in page
    assert "What this rule cannot see" in page

    without = victor.post(f"/alerts/{key}/mute", {"reason": "other", "text": "  "}, form=f"/alerts/{key}/")
    assert without.status_code == 400
    assert house.events(EventType.ALERT_MUTED) == []
    given = {"reason": "known-analysis", "text": "Sensitivity analysis of the protocol.", "until": "2099-01-01"}
    assert victor.post(f"/alerts/{key}/mute", given, form=f"/alerts/{key}/").status_code == 302
    muted = house.events(EventType.ALERT_MUTED)[-1]
    assert (muted["subject"], muted["data"]["reason"]) == (f"alert:{key}", "known-analysis")
    assert "Sensitivity" not in json.dumps(muted)
    assert "Populations that differ" not in victor.words("/alerts/")
    assert "Populations that differ" in victor.words("/alerts/?show=muted")
    back = victor.post(f"/alerts/{key}/unmute", {"text": "The protocol changed."}, form=f"/alerts/{key}/")
    assert back.status_code == 302
    assert "Populations that differ" in victor.words("/alerts/")


def test_nobody_mutes_an_alert_about_themselves(house: Any) -> None:
    key = "refusal-bursts-" + "0b" * 10
    an_alert(key, person("victor").person_id)
    house.events()
    victor = house.logged_in("victor")
    assert "another auditor looks at it" in victor.words(f"/alerts/{key}/")
    answer = victor.post(f"/alerts/{key}/mute", {"reason": "other", "text": "It was me."}, form="/alerts/")
    assert answer.status_code in (403, 409)
    refused = [leaf for leaf in house.events(EventType.ACTION_REFUSED) if leaf.get("subject") == f"alert:{key}"]
    assert len(refused) == 1
    # a record past the portal does not count either
    mute(
        audit_client(),
        f"alert:{key}",
        by=person("victor").person_id,
        reason="other",
        text="It was me.",
        until=None,
        now=person("victor").date_joined,
    )
    house.events()
    assert "1" in victor.words("/alerts/?show=open")
    assert key in victor.get("/alerts/?show=open").text


def test_a_rule_is_muted_and_unmuted(house: Any) -> None:
    victor = house.logged_in("victor")
    given = {"reason": "agreed-with-steward", "text": "Night shifts are usual here.", "until": ""}
    assert victor.post("/alerts/rules/off-hours/mute", given, form="/alerts/rules/").status_code == 302
    assert "Why look again?" in victor.words("/alerts/rules/")
    back = {"text": "The night shifts are over."}
    assert victor.post("/alerts/rules/off-hours/unmute", back, form="/alerts/rules/").status_code == 302
    assert "Why look again?" not in victor.words("/alerts/rules/")
    assert victor.post("/alerts/rules/no-such-rule/mute", given, form="/alerts/rules/").status_code == 404


def test_only_auditors_see_any_of_it(house: Any) -> None:
    amelie = house.logged_in("amelie")
    for path in ("/alerts/", "/alerts/rules/", "/audit/canaries/", "/audit/checkpoint", "/audit/0/record.json"):
        assert amelie.get(path).status_code == 403, path


def test_a_test_query_is_on_record_before_it_is_queued(house: Any) -> None:
    projects.submit_application(person("amelie"), permit_text("canary-project"))
    with pytest.raises(RefusedError, match="active project"):
        order_canary(person("victor"), "canary-project", "now")
    Project.objects.filter(pk="canary-project").update(state="active")
    order_canary(person("victor"), "canary-project", "hour")
    ordered = house.events(EventType.CANARY_SCHEDULED)[-1]
    job = Job.objects.filter(kind="send-canary").latest("pk")
    assert ordered["data"]["template_sha256"] == canary_template(job.payload["sql"])
    assert job.payload["sql"] not in json.dumps(ordered)
    assert "Waiting" in house.logged_in("victor").words("/audit/canaries/")
    refused = house.events(EventType.ACTION_REFUSED, project="canary-project")
    assert refused[0]["decision"] == "deny"
