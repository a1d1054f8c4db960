"""Who gets in, over the wire: the refusal the client sees and the record the log keeps."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from adbc_driver_flightsql import dbapi as flightsql
from adbc_driver_manager import Error

from enclave.domain.ids import PersonId, ProjectId, WorkspaceId
from enclave.domain.projects import ProjectState
from enclave.gateway.canary import canary_template, new_canary
from enclave.tokens import CANARY_WORKSPACE

ALICE, BOB, CAROL, DORA = (PersonId(f"u-00000000000{n}") for n in (1, 2, 3, 4))
OTHER = ProjectId("lung-study")
SQL = "SELECT count(*) FROM person"


def refusal(gateway: Any, token: str, socket: Any = None) -> str:
    with pytest.raises(Error) as failure:
        gateway.fetch(SQL, token, socket)
    assert token == " " or token not in str(failure.value)
    return str(failure.value)


def test_a_tampered_token_is_refused_and_recorded_without_an_actor(gateway: Any) -> None:
    head, body, signature = gateway.token().split(".")
    assert "altered or from elsewhere" in refusal(gateway, f"{head}.{body}.{signature[:-8]}AAAAAAAA")
    leaf = gateway.wait_event("token:refused", rule="token-invalid")
    assert (leaf["actor"], leaf["decision"], leaf["project"]) == ("unknown", "deny", "heart-study")


def test_an_expired_token_is_refused(gateway: Any) -> None:
    assert "expired" in refusal(gateway, gateway.token(ttl=timedelta(seconds=-5)))


def test_a_connection_without_a_token_is_refused(gateway: Any) -> None:
    assert "altered or from elsewhere" in refusal(gateway, " ")
    uri = f"grpc+unix://{gateway.socket()}"
    with (
        flightsql.connect(uri, autocommit=True) as connection,
        connection.cursor() as cursor,
        pytest.raises(Error, match="authorization: Bearer"),
    ):
        cursor.execute(SQL)
    gateway.wait_event("token:refused", rule="token-missing")


def test_another_project_s_token_is_refused(gateway: Any) -> None:
    assert "another project" in refusal(gateway, gateway.token(project=OTHER))
    leaf = gateway.wait_event("token:refused", rule="token-of-another-project")
    assert (leaf["actor"], leaf["project"]) == (ALICE, "heart-study")


def test_a_person_outside_the_permit_is_refused(gateway: Any) -> None:
    assert "not one of the people" in refusal(gateway, gateway.token(BOB))
    leaf = gateway.wait_event("query:refused", rule="policy")
    assert leaf["policies"] == ["person-is-not-a-member"]


def test_an_admin_who_is_a_member_still_reads_nothing(gateway: Any) -> None:
    assert "expected researcher" in refusal(gateway, gateway.token(CAROL))


def test_a_revoked_person_is_refused_at_once_and_a_restored_one_needs_a_new_token(gateway: Any) -> None:
    token = gateway.token()
    assert gateway.fetch(SQL, token) == [(1000,)]
    alice = gateway.people[ALICE]
    try:
        gateway.access.write_people([replace(alice, active=False, tokens_valid_from=2**31)])
        assert "revoked" in refusal(gateway, token)
        gateway.access.write_people([replace(alice, tokens_valid_from=2**31)])
        assert "issued before" in refusal(gateway, token)
    finally:
        gateway.access.write_people(gateway.people.values())
    assert gateway.fetch(SQL, token) == [(1000,)]


def test_an_expired_permit_is_refused(gateway: Any) -> None:
    record = gateway.add_project()
    try:
        gateway.access.write_project(replace(record, expires_on=date(2020, 1, 1)))
        assert "held until 2020-01-01" in refusal(gateway, gateway.token())
    finally:
        gateway.access.write_project(record)


def test_a_changed_permit_is_refused(gateway: Any) -> None:
    file = gateway.settings.projects_dir / "heart-study" / "permit.yaml"
    approved = file.read_text()
    try:
        file.write_text(approved.replace("5000000", "9000000"))
        assert "not the one that was approved" in refusal(gateway, gateway.token())
    finally:
        file.write_text(approved)


def test_a_closed_project_has_no_socket_and_its_workspaces_get_no_rows(gateway: Any) -> None:
    socket = gateway.open_workspace()
    token = gateway.token(workspace=WorkspaceId("w-0123456789ab"))
    record = gateway.add_project()
    path = gateway.socket()
    try:
        gateway.access.write_project(replace(record, state=ProjectState.CLOSED))
        assert "is closed; expected active" in refusal(gateway, token, socket)
        gateway.wait_for(lambda: not path.exists(), what="the project's socket to go")
    finally:
        gateway.access.write_project(record)
        gateway.control("DELETE", "/workspaces/w-0123456789ab")
    gateway.socket()


def test_a_workspace_s_socket_takes_only_its_own_token(gateway: Any) -> None:
    socket = gateway.open_workspace()
    assert socket.stat().st_mode & 0o777 == 0o666
    assert gateway.socket().stat().st_mode & 0o777 == 0o600
    own = gateway.token(workspace=WorkspaceId("w-0123456789ab"))
    assert gateway.fetch(SQL, own, socket) == [(1000,)]
    assert gateway.fetch(SQL, own) == [(1000,)]  # the project's own socket takes any workspace of the project
    assert "another workspace" in refusal(gateway, gateway.token(), socket)
    leaf = gateway.wait_event("token:refused", rule="token-of-another-workspace")
    assert leaf["workspace"] == "w-0123456789ab"
    gateway.control("DELETE", "/workspaces/w-0123456789ab")
    assert not socket.exists()


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/workspaces/w-0123456789ab", {"project": "heart-study"}, 400),
        ("/workspaces/w-0123456789ab", None, 400),
        ("/workspaces/w-short", {"project": "heart-study", "person": ALICE}, 409),
        ("/workspaces/w-aaaaaaaaaaaa", {"project": "heart-study", "person": ALICE}, 409),
        ("/workspaces/w-0123456789ab", {"project": "../../etc", "person": ALICE}, 409),
    ],
)
def test_the_control_api_refuses_what_it_cannot_open(gateway: Any, path: str, content: Any, status: int) -> None:
    response = gateway.control("PUT", path, content)
    assert response.status_code == status
    assert response.json()["reasons"][0].startswith("Expected")


def test_the_control_api_needs_the_service_secret(gateway: Any) -> None:
    assert gateway.control("GET", "/health", secret="wrong").status_code == 403
    assert gateway.control("GET", "/health").json()["status"] == "ok"


def test_a_test_query_of_an_auditor_runs_and_is_recorded_like_any_other(gateway: Any) -> None:
    sql = new_canary()
    assert gateway.fetch(sql, gateway.token(DORA, workspace=CANARY_WORKSPACE)) == [(1,)]
    leaf = gateway.wait_event("query:intent", template_sha256=canary_template(sql))
    assert (leaf["actor"], leaf["policies"], leaf["data"]["tables"]) == (DORA, ["auditor-sends-canary"], [])


def test_a_test_query_s_token_is_good_for_nothing_else(gateway: Any) -> None:
    token = gateway.token(DORA, workspace=CANARY_WORKSPACE)
    for sql in (SQL, "SELECT 1", new_canary() + " FROM person"):
        with pytest.raises(Error, match="test query and nothing else"):
            gateway.fetch(sql, token)
    gateway.wait_event("query:refused", rule="canary")
    with gateway.connect(token) as connection, pytest.raises(Error, match="test query and nothing else"):
        connection.adbc_get_objects(depth="tables").read_all()
    assert "not one of the people" in refusal(gateway, gateway.token(DORA))


def test_only_an_auditor_sends_a_test_query(gateway: Any) -> None:
    with pytest.raises(Error, match="No access policy allows send-canary"):
        gateway.fetch(new_canary(), gateway.token(ALICE, workspace=CANARY_WORKSPACE))
