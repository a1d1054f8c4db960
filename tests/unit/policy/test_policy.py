"""Cedar decides: who may do what, with the ids that fired; and nothing starts on policies that are wrong."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from enclave.domain.decisions import Allow, Deny
from enclave.domain.ids import ExtractVersion, PersonId, ProjectId, Username
from enclave.domain.people import Person, Role
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.policy import (
    POLICY_FOLDER,
    PolicyAction,
    PolicyDecisionPoint,
    PolicyError,
    Question,
    explain,
    load_policies,
)

POINT = PolicyDecisionPoint()
ALICE = Person(PersonId("u-00000000000a"), Username("alice"), frozenset({Role.RESEARCHER}))
PROJECT = ProjectRecord(
    ProjectId("heart-study"),
    "A study",
    ProjectState.ACTIVE,
    ExtractVersion("v1"),
    "0" * 64,
    date(2026, 12, 31),
    frozenset({ALICE.id}),
)
LAST_DAY = date(2026, 12, 31)


WORK = [action for action in PolicyAction if action is not PolicyAction.SEND_CANARY]
AUDITOR = replace(ALICE, id=PersonId("u-0000000000ff"), roles=frozenset({Role.AUDITOR}))


def test_an_auditor_sends_test_queries_without_being_a_member_and_does_nothing_else() -> None:
    assert POINT.decide(AUDITOR, PolicyAction.SEND_CANARY, PROJECT, LAST_DAY) == Allow(("auditor-sends-canary",))
    for action in WORK:
        assert isinstance(POINT.decide(AUDITOR, action, PROJECT, LAST_DAY), Deny)
    assert isinstance(POINT.decide(ALICE, PolicyAction.SEND_CANARY, PROJECT, LAST_DAY), Deny)
    closed = replace(PROJECT, state=ProjectState.CLOSED)
    assert isinstance(POINT.decide(AUDITOR, PolicyAction.SEND_CANARY, closed, LAST_DAY), Deny)


@pytest.mark.parametrize("action", WORK)
def test_a_researcher_who_is_a_member_may_work_until_the_last_day(action: PolicyAction) -> None:
    assert POINT.decide(ALICE, action, PROJECT, LAST_DAY) == Allow(("researcher-works-in-own-project",))


@pytest.mark.parametrize("action", WORK)
@pytest.mark.parametrize(
    ("person", "project", "today", "fired", "sentence"),
    [
        (replace(ALICE, active=False), PROJECT, LAST_DAY, "person-is-revoked", "revoked"),
        (ALICE, PROJECT, date(2027, 1, 1), "permit-has-expired", "until 2026-12-31"),
        (ALICE, replace(PROJECT, members=frozenset()), LAST_DAY, "person-is-not-a-member", "not one of the people"),
        *[
            (ALICE, replace(PROJECT, state=state), LAST_DAY, "project-is-not-active", f"is {state}")
            for state in ProjectState
            if state is not ProjectState.ACTIVE
        ],
    ],
)
def test_each_unmet_condition_is_named(
    action: PolicyAction, person: Person, project: ProjectRecord, today: date, fired: str, sentence: str
) -> None:
    decision = POINT.decide(person, action, project, today)
    assert isinstance(decision, Deny)
    assert decision.policies == (fired,)
    assert sentence in decision.reasons[0]


def test_all_unmet_conditions_are_named_together() -> None:
    person, project = replace(ALICE, active=False), replace(PROJECT, members=frozenset(), state=ProjectState.CLOSED)
    decision = POINT.decide(person, PolicyAction.QUERY, project, date(2030, 1, 1))
    assert isinstance(decision, Deny)
    permits = {"researcher-works-in-own-project", "auditor-sends-canary"}
    assert set(decision.policies) == POINT.policy_ids - permits
    assert len(decision.reasons) == 4


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.RESEARCHER])
def test_no_other_role_reads_data_even_as_a_member(role: Role) -> None:
    decision = POINT.decide(replace(ALICE, roles=frozenset({role})), PolicyAction.QUERY, PROJECT, LAST_DAY)
    assert isinstance(decision, Deny)
    assert decision.policies == ()
    assert role.value in decision.reasons[0]


def test_explain_says_verdict_policies_and_reasons() -> None:
    text = explain(POINT, Question(replace(ALICE, active=False), PolicyAction.QUERY, PROJECT), LAST_DAY)
    assert text.splitlines()[0] == "query in heart-study by alice: refused"
    assert '@id("person-is-revoked")' in text and "unless { principal.active };" in text
    assert "- alice is revoked" in text and "- member of heart-study: yes" in text


def test_every_policy_has_its_text() -> None:
    for policy in POINT.policy_ids:
        text = POINT.text_of(policy)
        assert text.startswith(f'@id("{policy}")') and text.endswith(";") and text.count("@id(") == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POLICY_FOLDER, tmp_path / "policies"))


def _drop_schema(folder: Path) -> None:
    (folder / "schema.cedarschema").unlink()


def _drop_policies(folder: Path) -> None:
    for file in folder.glob("*.cedar"):
        file.unlink()


def _break_schema(folder: Path) -> None:
    (folder / "schema.cedarschema").write_text("entity Person = ;")


def _break_policy(folder: Path) -> None:
    (folder / "refusals.cedar").write_text('@id("x") forbid (principal, action, resource) unless { principal.actve };')


def _unparsable_policy(folder: Path) -> None:
    (folder / "refusals.cedar").write_text("forbid (principal")


def _nameless_policy(folder: Path) -> None:
    (folder / "more.cedar").write_text("forbid (principal, action, resource) when { resource.expired };")


def _doubled_name(folder: Path) -> None:
    shutil.copy(folder / "refusals.cedar", folder / "again.cedar")


def _only_comments(folder: Path) -> None:
    for file in folder.glob("*.cedar"):
        file.write_text("// nothing\n")


def _not_text(folder: Path) -> None:
    (folder / "refusals.cedar").write_bytes(b"\xff\xfe")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_drop_schema, "schema.cedarschema"),
        (_drop_policies, "at least one"),
        (_break_schema, "Cedar schema"),
        (_break_policy, "refusals.cedar to agree"),
        (_unparsable_policy, "refusals.cedar"),
        (_nameless_policy, "@id"),
        (_doubled_name, "found twice"),
        (_only_comments, "only comments"),
        (_not_text, "refusals.cedar"),
    ],
)
def test_wrong_policies_refuse_to_load(folder: Path, change: object, sentence: str) -> None:
    assert callable(change)
    change(folder)
    with pytest.raises(PolicyError, match=sentence):
        load_policies(folder)


def test_the_shipped_policies_load(folder: Path) -> None:
    assert load_policies(folder).ids == POINT.policy_ids
