"""What other processes use: the spawner's internal API, machine tokens, and the OpenID provider for the hub."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from django.test.utils import override_settings
from django.utils import translation
from portal_house import permit_text

from audit.client import AuditUnavailable
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.domain.people import Role
from enclave.keys import oidc_client_secret, token_public_key
from enclave.portal.actions import people, projects, workspaces
from enclave.portal.machine import issue_token
from enclave.portal.middleware import ErrorPages
from enclave.portal.models import Project, User, WorkspaceSession
from enclave.portal.sentences import translated_sentence
from enclave.tokens import DoorKind, verify


def person(username: str) -> User:
    return User.objects.get(username=username)


def active(project: str, **permit: str) -> Project:
    projects.submit_application(person("amelie"), permit_text(project, **permit))
    projects.approve_project(person("sofia"), project, Role.DATA_STEWARD)
    projects.approve_project(person("diane"), project, Role.DATA_PROTECTION_OFFICER)
    projects.provision_project(person("ines"), project)
    return projects.activate_project(project, "v1")


def start(house: Any, username: str, project: str, language: str = "en") -> Any:
    asked = {"username": username, "project": project}
    return house.service().post("/internal/workspaces/start", json=asked, headers={"Accept-Language": language})


def test_a_member_gets_a_workspace_with_a_token_of_their_own(house: Any) -> None:
    active("work-one")
    answer = start(house, "amelie", "work-one")

    assert answer.status_code == 200
    given = answer.json()
    assert given["person"] == person("amelie").person_id
    assert (given["memory_mb"], given["processes"], given["idle_minutes"]) == (4096, 512, 120)
    assert (given["hours"], given["disk_mb"], given["terminals"]) == (12, 20_480, False)
    claims = verify(token_public_key(house.settings), given["token"])
    assert (claims.person, claims.project, claims.workspace) == (given["person"], "work-one", given["workspace"])
    assert claims.expires_at - claims.issued_at == given["token_seconds"] == 900
    started = house.events(EventType.WORKSPACE_STARTED, project="work-one")
    assert [leaf["workspace"] for leaf in started] == [given["workspace"]]


def test_tokens_are_renewed_while_the_workspace_runs_and_no_longer(house: Any) -> None:
    active("work-two")
    service = house.service()
    workspace = start(house, "amelie", "work-two").json()["workspace"]

    renewed = service.post("/internal/workspaces/token", json={"workspace": workspace})
    assert verify(token_public_key(house.settings), renewed.json()["token"]).workspace == workspace
    assert service.post("/internal/workspaces/stopped", json={"workspace": workspace}).status_code == 204
    assert service.post("/internal/workspaces/stopped", json={"workspace": workspace}).status_code == 204
    assert service.post("/internal/workspaces/token", json={"workspace": workspace}).status_code == 403
    assert len(house.events(EventType.WORKSPACE_STOPPED, project="work-two")) == 1
    assert WorkspaceSession.objects.get(pk=workspace).stopped_at is not None


def test_starting_again_closes_what_a_crash_left_open(house: Any) -> None:
    active("work-three")
    first, second = (start(house, "amelie", "work-three").json()["workspace"] for _ in range(2))
    assert WorkspaceSession.objects.get(pk=first).state == "stopped"
    assert WorkspaceSession.objects.get(pk=second).state == "running"


@pytest.mark.parametrize(
    ("username", "project", "reason", "raison"),
    [
        ("victor", "work-four", "No access policy|not one of the people", "ne vous désigne pas"),
        ("both", "work-four", "not one of the people", "ne vous désigne pas"),
        ("nobody", "work-four", "There is no project", "Il n’y a pas de projet"),
        ("amelie", "never-was", "There is no project", "Il n’y a pas de projet"),
        ("amelie", "work-waiting", "expected active", "Sa page dans le portail dit ce qui manque"),
        ("amelie", "work-expired", "has expired", "a expiré"),
        ("../../etc", "work-four", "There is no project", "Il n’y a pas de projet"),
    ],
)
def test_workspaces_are_refused_with_reasons_and_on_record(
    house: Any, username: str, project: str, reason: str, raison: str
) -> None:
    """No extract yet, an expired permit, somebody else's project: in the reader's language, each on record."""
    if not Project.objects.filter(pk="work-four").exists():
        active("work-four")
        projects.submit_application(person("amelie"), permit_text("work-waiting"))
        active("work-expired")
        Project.objects.filter(pk="work-expired").update(expires_on="2020-01-01")
    before = len(house.events(EventType.WORKSPACE_REFUSED))
    answer = start(house, username, project)

    assert answer.status_code == 403
    assert any(part in " ".join(answer.json()["reasons"]) for part in reason.split("|"))
    assert raison in " ".join(start(house, username, project, "fr").json()["reasons"])
    assert len(house.events(EventType.WORKSPACE_REFUSED)) == before + 2


def test_a_full_house_is_a_sentence(house: Any) -> None:
    active("work-last")
    assert start(house, "amelie", "work-last").status_code == 200
    running = WorkspaceSession.objects.filter(state="running").count()
    with override_settings(ENCLAVE=house.settings.model_copy(update={"workspaces": running})):
        with pytest.raises(RefusedError) as refused:
            workspaces.start_workspace("karim", "work-last")
        assert workspaces.start_workspace("amelie", "work-last")  # one's own, left open by a hub, does not count
    with translation.override("fr"):
        assert translated_sentence(refused.value.reasons[0]).startswith(f"Les {running} espaces de travail")
    refusals = house.events(EventType.WORKSPACE_REFUSED, project="work-last")
    assert "in use" in refusals[-1]["data"]["reasons"][0]


def test_without_the_audit_log_the_hub_gets_the_sentence(house: Any) -> None:
    request = RequestFactory().post("/internal/workspaces/start")
    with translation.override("fr"):
        answer = ErrorPages(lambda _: HttpResponse()).process_exception(request, AuditUnavailable())
    assert answer is not None and answer.status_code == 503
    assert json.loads(answer.content)["reasons"][0].startswith("Le journal d’audit ne répond pas")


def test_a_revoked_person_gets_neither_workspace_nor_token(house: Any) -> None:
    people.add_person(person("ines"), "work-leaver", "Lea", frozenset({Role.RESEARCHER}), "long-enough", "A" * 32)
    active("work-five", researchers="amelie, work-leaver")
    workspace = start(house, "work-leaver", "work-five").json()["workspace"]
    people.revoke_person(person("ines"), person("work-leaver").person_id)

    renewal = house.service().post("/internal/workspaces/token", json={"workspace": workspace})
    assert renewal.status_code == 403
    assert "revoked" in " ".join(renewal.json()["reasons"])
    assert start(house, "work-leaver", "work-five").status_code == 403
    with pytest.raises(RefusedError, match="revoked"):
        issue_token("work-leaver", "work-five", timedelta(minutes=5))


def test_a_body_of_another_shape_is_refused(house: Any) -> None:
    service = house.service()
    for body in ("no json", "[]", '{"username": 3, "project": "x"}', "{}"):
        assert service.post("/internal/workspaces/start", content=body).status_code == 403


def test_machine_tokens_are_recorded_and_refused_like_the_others(house: Any) -> None:
    active("work-six")
    token = issue_token("amelie", "work-six", timedelta(minutes=5))

    claims = verify(token_public_key(house.settings), token)
    assert (claims.username, claims.workspace, claims.expires_at - claims.issued_at) == ("amelie", "cli", 300)
    assert house.events(EventType.TOKEN_ISSUED, project="work-six")[-1]["subject"] == claims.person
    for username, ttl in (("victor", timedelta(minutes=5)), ("amelie", timedelta(days=2)), ("amelie", timedelta(0))):
        with pytest.raises(RefusedError):
            issue_token(username, "work-six", ttl)
    assert len(house.events(EventType.TOKEN_REFUSED, project="work-six")) == 3


def test_machine_tokens_for_the_tcp_port_say_so_in_token_and_record(house: Any) -> None:
    active("work-tcp")
    token = issue_token("amelie", "work-tcp", timedelta(minutes=5), DoorKind.TCP)

    assert verify(token_public_key(house.settings), token).door is DoorKind.TCP
    assert house.events(EventType.TOKEN_ISSUED, project="work-tcp")[-1]["data"] == {"door": "tcp"}
    with pytest.raises(RefusedError, match="--client only with --tcp and a gateway whose TCP port asks"):
        issue_token("amelie", "work-tcp", timedelta(minutes=5), DoorKind.TCP, "dask-1.test")
    with pytest.raises(RefusedError, match="--client only with --tcp"):
        issue_token("amelie", "work-tcp", timedelta(minutes=5), client="dask-1.test")


def test_machine_tokens_are_bound_to_a_certificate_where_the_port_asks_for_one(house: Any) -> None:
    active("work-mutual")
    mutual = house.settings.model_copy(update={"gateway_tls_client_ca": Path("/etc/enclave/ca.crt")})
    with override_settings(ENCLAVE=mutual):
        with pytest.raises(RefusedError, match="--client with the first name in the client's certificate"):
            issue_token("amelie", "work-mutual", timedelta(minutes=5), DoorKind.TCP)
        token = issue_token("amelie", "work-mutual", timedelta(minutes=5), DoorKind.TCP, "dask-1.test")

    assert verify(token_public_key(house.settings), token).client == "dask-1.test"
    found = house.events(EventType.TOKEN_ISSUED, project="work-mutual")[-1]["data"]
    assert found == {"door": "tcp", "client": "dask-1.test"}


REDIRECT = "http://hub.localhost:8000/hub/oauth_callback"


def authorise(browser: Any, **changes: str) -> Any:
    asked = {
        "client_id": "hub",
        "response_type": "code",
        "redirect_uri": REDIRECT,
        "scope": "openid profile",
        "state": "s-1",
        **changes,
    }
    return browser.get(f"/identity/o/authorize?{urlencode(asked)}")


def test_the_hub_logs_a_person_in_with_code_and_pkce(house: Any) -> None:
    active("work-seven")
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    browser = house.logged_in("amelie")
    sent_back = authorise(browser, code_challenge=challenge, code_challenge_method="S256").headers["location"]
    assert sent_back.startswith(REDIRECT)
    answer = parse_qs(urlsplit(sent_back).query)
    assert answer["state"] == ["s-1"]

    hub = house.browser()
    form = {"grant_type": "authorization_code", "code": answer["code"][0], "redirect_uri": REDIRECT}
    secret = oidc_client_secret(house.settings)
    wrong = hub.http.post("/identity/o/api/token", data={**form, "code_verifier": "x" * 50}, auth=("hub", secret))
    assert wrong.status_code == 400
    sent_back = authorise(browser, code_challenge=challenge, code_challenge_method="S256").headers["location"]
    form["code"] = parse_qs(urlsplit(sent_back).query)["code"][0]
    form["code_verifier"] = verifier
    assert hub.http.post("/identity/o/api/token", data=form, auth=("hub", "guess")).status_code in (400, 401)
    tokens = hub.http.post("/identity/o/api/token", data=form, auth=("hub", secret)).json()

    told = hub.get("/identity/o/api/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"}).json()
    assert told["preferred_username"] == "amelie"
    assert told["person_id"] == person("amelie").person_id
    assert told["roles"] == ["researcher"]
    assert "work-seven" in told["projects"]
    keys = jwt.PyJWKSet.from_dict(hub.get("/.well-known/jwks.json").json())
    key_id = jwt.get_unverified_header(tokens["id_token"])["kid"]
    claims = jwt.decode(
        tokens["id_token"], keys[key_id].key, algorithms=["RS256"], audience="hub", issuer=house.settings.portal_url
    )
    assert claims["preferred_username"] == "amelie"


def test_the_provider_describes_itself_at_the_portals_address(house: Any) -> None:
    described = house.browser().get("/.well-known/openid-configuration").json()
    assert described["issuer"] == house.settings.portal_url
    assert described["authorization_endpoint"] == f"{house.settings.portal_url}/identity/o/authorize"


def test_nobody_is_sent_back_to_another_address(house: Any) -> None:
    answer = authorise(house.logged_in("amelie"), redirect_uri="http://elsewhere.example/steal")
    assert "elsewhere" not in answer.headers.get("location", "")
    assert answer.status_code in (200, 400)


def test_authorising_asks_for_the_log_in_first(house: Any) -> None:
    answer = authorise(house.browser())
    assert answer.headers["location"].startswith("/accounts/login/?next=/identity/o/authorize")


def test_the_manifest_of_an_active_project_is_on_its_page(house: Any) -> None:
    active("work-eight")
    folder = house.settings.projects_dir / "work-eight" / "extracts" / "v1"
    folder.mkdir(parents=True)
    column = {"name": "person_id", "type": "VARCHAR", "treatment": "person-pseudonym"}
    table = {
        "name": "person", "rows": 2411, "source_rows": 2694, "columns": [column], "person": "person_id",
        "dropped_columns": ["birth_datetime"], "dropped_rows_filter": 0, "dropped_rows_opt_out": 283,
        "dropped_rows_no_person": 0,
    }  # fmt: skip
    manifest = {
        "project": "work-eight", "extract_version": "v1", "dataset": "gibleed", "dataset_version": "2026-1",
        "permit_sha256": "0" * 64, "built_at": "2026-11-21T10:00:00Z", "source_kind": "duckdb", "people": 2411,
        "opt_outs_listed": 300, "opt_outs_matched": 283, "date_shift_days": 30, "tables": [table],
        "dropped_tables": ["note"], "files": [{"path": "extract.duckdb", "sha256": "1" * 64, "bytes": 4096}],
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))

    page = house.logged_in("karim").words("/projects/work-eight/")
    for words in ("2,411 people", "283", "birth_datetime", "note", "1" * 64):
        assert words in page
