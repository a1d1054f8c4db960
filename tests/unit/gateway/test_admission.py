"""Who gets in: each condition on its own, with the rule that refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from admission_world import (  # type: ignore[import-not-found]
    ALICE,
    MANIFEST,
    PERMIT,
    POLICY,
    PROJECT,
    TODAY,
    World,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enclave.domain.ids import PersonId, ProjectId, WorkspaceId
from enclave.domain.people import Role
from enclave.domain.projects import ProjectState
from enclave.gateway.admission import Admission, CallRefusedError, Door
from enclave.policy import PolicyAction
from enclave.tokens import DoorKind


def test_a_member_with_a_fresh_token_gets_in(world: World) -> None:
    caller = world.admit()
    assert caller.claims.person == ALICE
    assert caller.policies == ("researcher-works-in-own-project",)


def test_the_project_s_own_socket_takes_any_workspace_of_the_project(world: World) -> None:
    world.door = Door(PROJECT, world.door.socket_path)
    assert world.admit().record.id == PROJECT


def test_at_the_port_the_token_says_which_project(world: World) -> None:
    world.door, world.binding = PORT, {"door": DoorKind.TCP}
    assert world.admit().record.id == PROJECT


def test_a_token_bound_to_the_certificate_shown_gets_in(world: World) -> None:
    _bound_to_another(world)
    world.peer = "dask-1"
    assert world.admit().claims.client == "dask-1"


def _expire(world: World) -> None:
    world.issued_at -= timedelta(hours=1)


def _revoke(world: World) -> None:
    world.person = replace(world.person, active=False)


def _withdraw(world: World) -> None:
    world.person = replace(world.person, tokens_valid_from=int(world.issued_at.timestamp()) + 1)


def _forget_person(world: World) -> None:
    world.person = replace(world.person, id=PersonId("u-00000000000b"))


def _other_project(world: World) -> None:
    world.token_project = ProjectId("lung-study")


def _other_workspace(world: World) -> None:
    world.token_workspace = WorkspaceId("w-ffffffffffff")


def _other_person(world: World) -> None:
    world.door = replace(world.door, person=PersonId("u-00000000000b"))


PORT = Door(None, None, kind=DoorKind.TCP)


def _at_the_port(world: World) -> None:
    world.door = PORT


def _issued_for_the_port(world: World) -> None:
    world.binding = {"door": DoorKind.TCP}


def _bound_where_nobody_looks(world: World) -> None:
    world.door, world.binding = PORT, {"door": DoorKind.TCP, "client": "dask-1"}


def _unbound_where_one_looks(world: World) -> None:
    world.door, world.binding, world.peer = replace(PORT, asks_certificate=True), {"door": DoorKind.TCP}, "dask-1"


def _bound_to_another(world: World) -> None:
    _bound_where_nobody_looks(world)
    world.door, world.peer = replace(PORT, asks_certificate=True), "dask-2"


def _bound_without_a_certificate(world: World) -> None:
    _unbound_where_one_looks(world)
    world.peer = ""


def _close_project(world: World) -> None:
    world.record = replace(world.record, state=ProjectState.CLOSED)


def _expire_permit(world: World) -> None:
    world.record = replace(world.record, expires_on=TODAY - timedelta(days=1))


def _leave(world: World) -> None:
    world.record = replace(world.record, members=frozenset())


def _lose_role(world: World) -> None:
    world.person = replace(world.person, roles=frozenset({Role.AUDITOR}))


def _no_extract(world: World) -> None:
    world.record = replace(world.record, extract_version=None)


def _change_permit(world: World) -> None:
    (world.folder / "permit.yaml").write_text(PERMIT.replace("Test.", "Changed."))


def _lose_permit(world: World) -> None:
    (world.folder / "permit.yaml").unlink()


def _break_manifest(world: World) -> None:
    (world.folder / "extracts" / "v1" / "manifest.json").write_text("{")


def _foreign_manifest(world: World) -> None:
    text = json.dumps({**MANIFEST, "project": "lung-study"})
    (world.folder / "extracts" / "v1" / "manifest.json").write_text(text)


CASES: list[tuple[Callable[[World], None], str, bool, str]] = [
    (_expire, "token-invalid", True, "expired"),
    (_revoke, "person-revoked", True, "revoked"),
    (_withdraw, "token-withdrawn", True, "issued before"),
    (_forget_person, "person-unknown", True, "not known"),
    (_other_project, "token-of-another-project", True, "another project"),
    (_at_the_port, "token-of-another-door", True, "refused at this port"),
    (_issued_for_the_port, "token-of-another-door", True, "refused at a socket"),
    (_bound_where_nobody_looks, "token-binding-unchecked", True, "cannot be checked"),
    (_unbound_where_one_looks, "token-of-another-certificate", True, "not bound to the certificate"),
    (_bound_to_another, "token-of-another-certificate", True, "not bound to the certificate"),
    (_bound_without_a_certificate, "token-of-another-certificate", True, "not bound to the certificate"),
    (_other_workspace, "token-of-another-workspace", True, "another workspace"),
    (_other_person, "token-of-another-person", True, "another person"),
    (_close_project, "policy", False, "is closed; expected active"),
    (_expire_permit, "policy", False, "held until 2026-05-31"),
    (_leave, "policy", False, "not one of the people"),
    (_lose_role, "policy", False, "expected researcher"),
    (_no_extract, "project-files", False, "no extract yet"),
    (_change_permit, "project-files", False, "not the one that was approved"),
    (_lose_permit, "project-files", False, "permit.yaml"),
    (_break_manifest, "project-files", False, "manifest"),
    (_foreign_manifest, "project-files", False, "another project"),
]


@pytest.mark.parametrize(("change", "rule", "about_token", "sentence"), CASES)
def test_each_unmet_condition_refuses(
    world: World, change: Callable[[World], None], rule: str, about_token: bool, sentence: str
) -> None:
    change(world)
    with pytest.raises(CallRefusedError) as refusal:
        world.admit()
    assert (refusal.value.rule, refusal.value.about_token) == (rule, about_token)
    assert sentence in refusal.value.sentence
    assert world.token() not in refusal.value.sentence


@pytest.mark.parametrize("header", ["", "Basic abc", "Bearer", "Bearer x.y.z", "bearer " + "A" * 500])
def test_a_header_without_a_token_of_ours_refuses(world: World, header: str) -> None:
    with pytest.raises(CallRefusedError) as refusal:
        world.admit(header or " ")
    assert refusal.value.rule in ("token-missing", "token-invalid")
    assert refusal.value.claims is None


def test_a_token_of_another_enclave_refuses(world: World) -> None:
    with pytest.raises(CallRefusedError) as refusal:
        world.admit(public=Ed25519PrivateKey.generate().public_key())
    assert refusal.value.rule == "token-invalid"


def test_every_changed_character_of_a_token_refuses(world: World) -> None:
    token = world.token()
    for position in range(0, len(token) - 1, 7):  # the last character has unused bits
        other = "A" if token[position] != "A" else "B"
        changed = token[:position] + other + token[position + 1 :]
        with pytest.raises(CallRefusedError) as refusal:
            world.admit(f"Bearer {changed}")
        assert refusal.value.rule == "token-invalid"


@pytest.mark.parametrize("name", ["access/people.json", "projects/heart-study/project.json"])
def test_an_unreadable_access_file_lets_nobody_in(world: World, tmp_path: Path, name: str) -> None:
    header = f"Bearer {world.token()}"
    world.admit(header)
    (tmp_path / name).write_text("{")
    admission = Admission(world.access, world.key.public_key(), POLICY, today=lambda: TODAY)
    with pytest.raises(CallRefusedError, match="cannot be read"):
        admission.admit(world.door, header, PolicyAction.QUERY)
