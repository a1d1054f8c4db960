"""May this person do this to this project now? ``decide_`` for the page, ``check_`` for the action, from one table.

Pure but for reading model attributes; no query is made beyond ``Project.given_approvals`` by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass

from enclave.domain.decisions import Allow, Decision, Deny, RefusedError
from enclave.domain.ids import PersonId
from enclave.domain.people import Person, Role
from enclave.domain.projects import (
    APPROVALS_NEEDED,
    TRANSITIONS,
    Approval,
    ProjectState,
    ProjectVerb,
    decide_approval,
    decide_transition,
)

DECIDING = frozenset({ProjectVerb.APPROVE, ProjectVerb.REJECT})
OVERSIGHT = frozenset({Role.ADMIN, Role.DATA_STEWARD, Role.DATA_PROTECTION_OFFICER, Role.AUDITOR, Role.OUTPUT_CHECKER})
"""Roles that see every project; a researcher sees the ones applied for or named in."""


class StateConflictError(RefusedError):
    """The person may, but not in the state that the thing is in now."""


@dataclass(frozen=True)
class ProjectFacts:
    """What the rules need to know of a project."""

    state: ProjectState
    applicant: PersonId
    approvals: tuple[Approval, ...]


@dataclass(frozen=True)
class Offer:
    """A button: a verb that this person may do now, and as which role."""

    verb: ProjectVerb
    as_role: Role


def decide_project_verb(verb: ProjectVerb, facts: ProjectFacts, person: Person, as_role: Role) -> Decision:
    """May ``person``, acting as ``as_role``, do ``verb`` now?"""
    if as_role not in person.roles:
        return Deny((f"You do not hold the role {as_role}. Ask a colleague who does.",))
    decision = decide_transition(verb, facts.state, frozenset({as_role}))
    if isinstance(decision, Deny):
        return decision
    if verb is ProjectVerb.APPROVE:
        return decide_approval(facts.applicant, facts.approvals, Approval(by=person.id, as_role=as_role))
    if verb in DECIDING and person.id == facts.applicant:
        return Deny(("You applied for this project, so you cannot decide about it. A colleague has to decide.",))
    return decision


def check_project_verb(verb: ProjectVerb, facts: ProjectFacts, person: Person, as_role: Role) -> None:
    """Raise ``StateConflictError`` when the state forbids it for everybody, ``RefusedError`` when it is the person."""
    decision = decide_transition(verb, facts.state, None)
    if isinstance(decision, Deny):
        raise StateConflictError(*decision.reasons)
    decision = decide_project_verb(verb, facts, person, as_role)
    if isinstance(decision, Deny):
        raise RefusedError(*decision.reasons)


def can_project_verb(verb: ProjectVerb, facts: ProjectFacts, person: Person, as_role: Role) -> bool:
    """What the button asks."""
    return isinstance(decide_project_verb(verb, facts, person, as_role), Allow)


def project_offers(facts: ProjectFacts, person: Person) -> tuple[Offer, ...]:
    """Every button this person gets on a project's page, in the order of the table."""
    return tuple(
        Offer(verb, role)
        for verb, rule in TRANSITIONS.items()
        for role in sorted(rule.roles & person.roles)
        if can_project_verb(verb, facts, person, role)
    )


def find_withheld_reason(facts: ProjectFacts, person: Person) -> str | None:
    """Why somebody who could decide gets no button here, in one sentence; None when there is nothing to explain."""
    if facts.state is not ProjectState.SUBMITTED:
        return None
    for role in sorted(APPROVALS_NEEDED & person.roles):
        decision = decide_project_verb(ProjectVerb.APPROVE, facts, person, role)
        if isinstance(decision, Deny):
            return decision.reasons[0]
    return None


def check_not_oneself(actor: Person, about: Person) -> None:
    """Nobody decides about themselves."""
    if actor.id == about.id:
        raise RefusedError("You cannot decide about your own account. Ask another admin.")


def can_decide_about(actor: Person, about: Person) -> bool:
    """What the button on the people page asks."""
    return actor.id != about.id
