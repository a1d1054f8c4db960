"""Rules of an application as a table: who may do what when, and what two approvals mean."""

from __future__ import annotations

import pytest

from enclave.domain.decisions import Allow, Deny
from enclave.domain.ids import PersonId
from enclave.domain.people import Role
from enclave.domain.projects import (
    TRANSITIONS,
    Approval,
    ProjectState,
    ProjectVerb,
    decide_approval,
    decide_transition,
    is_fully_approved,
)

A, B, C = (PersonId(f"u-00000000000{n}") for n in range(3))
STEWARD, DPO = Role.DATA_STEWARD, Role.DATA_PROTECTION_OFFICER


@pytest.mark.parametrize("verb", ProjectVerb)
@pytest.mark.parametrize("state", ProjectState)
def test_a_verb_is_possible_only_from_its_states(verb: ProjectVerb, state: ProjectState) -> None:
    decision = decide_transition(verb, state, TRANSITIONS[verb].roles or None)
    assert isinstance(decision, Allow) == (state in TRANSITIONS[verb].sources)


@pytest.mark.parametrize("verb", ProjectVerb)
@pytest.mark.parametrize("role", Role)
def test_a_verb_needs_its_role(verb: ProjectVerb, role: Role) -> None:
    state = next(iter(TRANSITIONS[verb].sources))
    decision = decide_transition(verb, state, frozenset({role}))
    assert isinstance(decision, Allow) == (role in TRANSITIONS[verb].roles)


APPROVALS = [
    # applicant, given, new, allowed
    (A, (), Approval(B, STEWARD), True),
    (A, (), Approval(B, DPO), True),
    (A, (), Approval(A, STEWARD), False),
    (A, (), Approval(B, Role.ADMIN), False),
    (A, (), Approval(B, Role.RESEARCHER), False),
    (A, (Approval(B, STEWARD),), Approval(C, DPO), True),
    (A, (Approval(B, STEWARD),), Approval(B, DPO), False),
    (A, (Approval(B, STEWARD),), Approval(C, STEWARD), False),
]


@pytest.mark.parametrize(("applicant", "given", "new", "allowed"), APPROVALS)
def test_approvals(applicant: PersonId, given: tuple[Approval, ...], new: Approval, allowed: bool) -> None:
    decision = decide_approval(applicant, given, new)
    assert isinstance(decision, Allow) == allowed
    if isinstance(decision, Deny):
        assert all(reason.endswith(".") for reason in decision.reasons)


def test_one_person_with_both_roles_is_not_two_approvals() -> None:
    assert not is_fully_approved((Approval(B, STEWARD), Approval(B, DPO)))
    assert is_fully_approved((Approval(B, STEWARD), Approval(C, DPO)))
