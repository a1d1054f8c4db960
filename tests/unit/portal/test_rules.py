"""Who may do what to a project, as a table; and that page and enforcement answer alike."""

from __future__ import annotations

from itertools import product

import pytest

from enclave.domain.decisions import RefusedError
from enclave.domain.ids import PersonId, Username
from enclave.domain.people import Person, Role
from enclave.domain.projects import TRANSITIONS, Approval, ProjectState, ProjectVerb
from enclave.portal.rules import (
    ProjectFacts,
    StateConflictError,
    can_decide_about,
    can_project_verb,
    check_not_oneself,
    check_project_verb,
    find_withheld_reason,
    project_offers,
)

APPLICANT = PersonId("u-000000000001")
S, V, R = ProjectState, ProjectVerb, Role


def person(number: int, *roles: Role) -> Person:
    return Person(PersonId(f"u-{number:012x}"), Username(f"p{number}"), frozenset(roles))


def facts(state: ProjectState, *approvals: Approval) -> ProjectFacts:
    return ProjectFacts(state, APPLICANT, approvals)


STEWARD, OFFICER, ADMIN = person(2, R.DATA_STEWARD), person(3, R.DATA_PROTECTION_OFFICER), person(4, R.ADMIN)
OWN = person(1, R.RESEARCHER, R.DATA_STEWARD, R.DATA_PROTECTION_OFFICER, R.ADMIN)
BY_STEWARD = Approval(STEWARD.id, R.DATA_STEWARD)


@pytest.mark.parametrize(
    ("someone", "project", "offered"),
    [
        (STEWARD, facts(S.SUBMITTED), [(V.APPROVE, R.DATA_STEWARD), (V.REJECT, R.DATA_STEWARD)]),
        (STEWARD, facts(S.SUBMITTED, BY_STEWARD), [(V.REJECT, R.DATA_STEWARD)]),
        (person(5, R.DATA_STEWARD), facts(S.SUBMITTED, BY_STEWARD), [(V.REJECT, R.DATA_STEWARD)]),
        (
            OFFICER,
            facts(S.SUBMITTED, BY_STEWARD),
            [(V.APPROVE, R.DATA_PROTECTION_OFFICER), (V.REJECT, R.DATA_PROTECTION_OFFICER)],
        ),
        (OWN, facts(S.SUBMITTED), []),
        (ADMIN, facts(S.SUBMITTED), []),
        (ADMIN, facts(S.APPROVED), [(V.PROVISION, R.ADMIN), (V.CLOSE, R.ADMIN)]),
        (ADMIN, facts(S.FAILED), [(V.PROVISION, R.ADMIN), (V.CLOSE, R.ADMIN)]),
        (ADMIN, facts(S.PROVISIONING), []),
        (ADMIN, facts(S.ACTIVE), [(V.CLOSE, R.ADMIN)]),
        (STEWARD, facts(S.ACTIVE), []),
        (person(6, R.RESEARCHER, R.AUDITOR, R.OUTPUT_CHECKER), facts(S.SUBMITTED), []),
    ],
)
def test_buttons(someone: Person, project: ProjectFacts, offered: list[tuple[ProjectVerb, Role]]) -> None:
    assert [(offer.verb, offer.as_role) for offer in project_offers(project, someone)] == offered


@pytest.mark.parametrize(("verb", "state", "someone"), list(product(V, S, [STEWARD, OFFICER, ADMIN, OWN])))
def test_the_button_is_there_exactly_when_the_action_would_be_allowed(
    verb: ProjectVerb, state: ProjectState, someone: Person
) -> None:
    for role in Role:
        try:
            check_project_verb(verb, facts(state), someone, role)
            allowed = True
        except RefusedError as refused:
            allowed = False
            assert all(len(reason) > 20 for reason in refused.reasons)
        assert can_project_verb(verb, facts(state), someone, role) is allowed
        assert not (allowed and role not in someone.roles)
        assert not (allowed and state not in TRANSITIONS[verb].sources)


def test_a_wrong_state_is_a_conflict_and_a_wrong_person_a_refusal() -> None:
    with pytest.raises(StateConflictError):
        check_project_verb(V.APPROVE, facts(S.ACTIVE), STEWARD, R.DATA_STEWARD)
    with pytest.raises(RefusedError) as refused:
        check_project_verb(V.APPROVE, facts(S.SUBMITTED), OWN, R.DATA_STEWARD)
    assert not isinstance(refused.value, StateConflictError)


def test_somebody_who_could_decide_learns_why_there_is_no_button() -> None:
    assert "You applied" in str(find_withheld_reason(facts(S.SUBMITTED), OWN))
    assert "already approved" in str(find_withheld_reason(facts(S.SUBMITTED, BY_STEWARD), STEWARD))
    assert find_withheld_reason(facts(S.SUBMITTED), STEWARD) is None
    assert find_withheld_reason(facts(S.ACTIVE), OWN) is None
    assert find_withheld_reason(facts(S.SUBMITTED), person(7, R.AUDITOR)) is None


def test_nobody_decides_about_their_own_account() -> None:
    assert can_decide_about(ADMIN, STEWARD)
    assert not can_decide_about(ADMIN, ADMIN)
    check_not_oneself(ADMIN, STEWARD)
    with pytest.raises(RefusedError):
        check_not_oneself(ADMIN, ADMIN)
