"""Who gets in: each condition on its own, with the rule that refuses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enclave.access import AccessFiles
from enclave.domain.ids import ExtractVersion, PersonId, ProjectId, Username, WorkspaceId
from enclave.domain.people import Person, Role
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.gateway.admission import Admission, CallRefusedError, Door
from enclave.policy import PolicyAction, PolicyDecisionPoint
from enclave.settings import Settings
from enclave.tokens import DoorKind, TokenError, issue

ALICE = PersonId("u-00000000000a")
PROJECT = ProjectId("heart-study")
WORKSPACE = WorkspaceId("w-0123456789ab")
TODAY = date(2026, 6, 1)
POLICY = PolicyDecisionPoint()

PERMIT = """permit: 1
project: heart-study
title: A study
purpose: Test.
legal_basis: art. 53
dataset: {name: sample, version: "1"}
people: {researchers: [alice]}
expires_on: 2099-12-31
pseudonyms: {domain: heart-study}
dates: {shift_days: 30}
tables:
  person:
    person: person_id
    columns: {person_id: person-pseudonym}
"""
MANIFEST: dict[str, Any] = {
    "project": PROJECT,
    "extract_version": "v1",
    "dataset": "sample",
    "dataset_version": "1",
    "permit_sha256": "0" * 64,
    "built_at": "2026-01-01T00:00:00Z",
    "source_kind": "duckdb",
    "people": 1,
    "opt_outs_listed": 0,
    "opt_outs_matched": 0,
    "date_shift_days": 30,
    "tables": [],
    "dropped_tables": [],
    "files": [],
}


class World:
    """One person in one active project; a test changes one thing."""

    def __init__(self, home: Path) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.access = AccessFiles(Settings(home=home))
        self.person = Person(ALICE, Username("alice"), frozenset({Role.RESEARCHER}))
        sha256 = hashlib.sha256(PERMIT.encode()).hexdigest()
        self.record = ProjectRecord(
            PROJECT,
            "A study",
            ProjectState.ACTIVE,
            ExtractVersion("v1"),
            sha256,
            date(2026, 12, 31),
            frozenset({ALICE}),
        )
        self.door = Door(PROJECT, home / "gateway.sock", WORKSPACE, ALICE)
        self.issued_at = datetime.now(UTC)
        self.ttl = timedelta(minutes=5)
        self.binding: dict[str, Any] = {}
        self.peer = ""
        self.token_project, self.token_workspace, self.token_person = PROJECT, WORKSPACE, ALICE
        self.folder = home / "projects" / PROJECT
        extract = self.folder / "extracts" / "v1"
        extract.mkdir(parents=True)
        (self.folder / "permit.yaml").write_text(PERMIT)
        (extract / "manifest.json").write_text(json.dumps(MANIFEST))

    def token(self) -> str:
        return issue(
            self.key,
            person=self.token_person,
            username=Username("alice"),
            project=self.token_project,
            workspace=self.token_workspace,
            ttl=self.ttl,
            now=self.issued_at,
            **self.binding,
        )

    def admit(self, header: str | None = None, public: Any = None) -> Any:
        self.access.write_people([self.person])
        self.access.write_project(self.record)
        admission = Admission(self.access, public or self.key.public_key(), POLICY, today=lambda: TODAY)
        return admission.admit(self.door, header or f"Bearer {self.token()}", PolicyAction.QUERY, self.peer)

    def remembering(self, **clocks: Any) -> tuple[Admission, str]:
        """An admission that has answered the same question three times and reads nothing the fourth."""
        self.access.write_people([self.person])
        self.access.write_project(self.record)
        admission = Admission(self.access, self.key.public_key(), POLICY, **{"today": lambda: TODAY, **clocks})
        header = f"Bearer {self.token()}"
        callers = [admission.admit(self.door, header, PolicyAction.QUERY) for _ in range(4)]
        assert callers[3] is callers[2]
        return admission, header


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


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


def _close(world: World) -> None:
    world.access.write_project(replace(world.record, state=ProjectState.CLOSED))


def _change_permit(world: World) -> None:
    (world.folder / "permit.yaml").write_text(PERMIT + "# more\n")


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("person-revoked", lambda w: w.access.write_people([replace(w.person, active=False)])),
        ("token-withdrawn", lambda w: w.access.write_people([replace(w.person, tokens_valid_from=2**40)])),
        ("person-unknown", lambda w: w.access.write_people([])),
        ("policy", _close),
        ("policy", lambda w: w.access.write_project(replace(w.record, members=frozenset()))),
        ("project-unknown", lambda w: (w.folder / "project.json").unlink()),
        ("project-files", _change_permit),
        ("project-files", lambda w: (w.folder / "extracts" / "v1" / "manifest.json").unlink()),
    ],
)
def test_who_was_admitted_before_is_refused_as_soon_as_a_file_says_so(
    world: World, rule: str, change: Callable[[World], object]
) -> None:
    admission, header = world.remembering()
    change(world)
    with pytest.raises(CallRefusedError) as refusal:
        admission.admit(world.door, header, PolicyAction.QUERY)
    assert refusal.value.rule == rule


def test_what_is_remembered_ends_with_the_token_and_the_day(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    today, now = [TODAY], [world.issued_at.timestamp()]
    admission, header = world.remembering(today=lambda: today[0], clock=lambda: now[0])
    today[0] = world.record.expires_on + timedelta(days=1)
    with pytest.raises(CallRefusedError, match="permit"):
        admission.admit(world.door, header, PolicyAction.QUERY)
    today[0] = TODAY
    admission.admit(world.door, header, PolicyAction.QUERY)

    def expired(*_: object) -> None:
        raise TokenError("This token has expired.")

    monkeypatch.setattr("enclave.gateway.remembered.verify", expired)
    now[0] += world.ttl.total_seconds() - 2
    admission.admit(world.door, header, PolicyAction.QUERY)
    now[0] += 3
    with pytest.raises(CallRefusedError, match="expired"):
        admission.admit(world.door, header, PolicyAction.QUERY)


def test_what_is_remembered_is_the_whole_question(world: World) -> None:
    admission, header = world.remembering()
    elsewhere = replace(world.door, workspace=WorkspaceId("w-ffffffffffff"))
    with pytest.raises(CallRefusedError, match="another workspace"):
        admission.admit(elsewhere, header, PolicyAction.QUERY)
    with pytest.raises(CallRefusedError, match="another project"):
        admission.admit(replace(world.door, project=ProjectId("lung-study")), header, PolicyAction.QUERY)
    with pytest.raises(CallRefusedError):
        admission.admit(world.door, header[:-9] + "AAAAAAAAA", PolicyAction.QUERY)


def test_a_file_that_changes_while_it_is_read_is_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stamps are of before: a newer file with the older answer is never taken for the older file."""
    admission, header = world.remembering()
    revoked = replace(world.person, active=False)
    world.access.write_people([world.person])  # changed, so the next call reads
    read = admission._examine

    def read_and_change(*question: Any) -> Any:
        found = read(*question)
        world.access.write_people([revoked])
        return found

    monkeypatch.setattr(admission, "_examine", read_and_change)
    admission.admit(world.door, header, PolicyAction.QUERY)
    monkeypatch.setattr(admission, "_examine", read)
    with pytest.raises(CallRefusedError, match="revoked"):
        admission.admit(world.door, header, PolicyAction.QUERY)
