"""Projects: the states of an application and of the project space it becomes, and what the gateway knows of one.

The table ``TRANSITIONS`` is the only place that says which verb leads where; the portal's buttons and its enforcement
both read it. SATRE 1.4.05 and 1.5.04.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from enclave.domain.decisions import Allow, Decision, Deny
from enclave.domain.ids import ExtractVersion, PersonId, ProjectId
from enclave.domain.people import Role


class ProjectState(StrEnum):
    """Stored strings. ``submitted`` → two approvals → ``approved`` → ``provisioning`` → ``active`` → ``closed``."""

    SUBMITTED = "submitted"
    APPROVED = "approved"
    REJECTED = "rejected"
    PROVISIONING = "provisioning"
    FAILED = "failed"
    ACTIVE = "active"
    CLOSED = "closed"


class ProjectVerb(StrEnum):
    """What people and the runner do to a project."""

    APPROVE = "approve"
    REJECT = "reject"
    PROVISION = "provision"
    ACTIVATE = "activate"
    FAIL = "fail"
    CLOSE = "close"


@dataclass(frozen=True)
class Transition:
    """From which states a verb may be done, by whom (empty: only the runner), and where it leads."""

    sources: frozenset[ProjectState]
    target: ProjectState
    roles: frozenset[Role]


_S, _R = ProjectState, Role
TRANSITIONS: dict[ProjectVerb, Transition] = {
    ProjectVerb.APPROVE: Transition(
        frozenset({_S.SUBMITTED}), _S.APPROVED, frozenset({_R.DATA_STEWARD, _R.DATA_PROTECTION_OFFICER})
    ),
    ProjectVerb.REJECT: Transition(
        frozenset({_S.SUBMITTED}), _S.REJECTED, frozenset({_R.DATA_STEWARD, _R.DATA_PROTECTION_OFFICER})
    ),
    ProjectVerb.PROVISION: Transition(frozenset({_S.APPROVED, _S.FAILED}), _S.PROVISIONING, frozenset({_R.ADMIN})),
    ProjectVerb.ACTIVATE: Transition(frozenset({_S.PROVISIONING}), _S.ACTIVE, frozenset()),
    ProjectVerb.FAIL: Transition(frozenset({_S.PROVISIONING}), _S.FAILED, frozenset()),
    ProjectVerb.CLOSE: Transition(frozenset({_S.ACTIVE, _S.APPROVED, _S.FAILED}), _S.CLOSED, frozenset({_R.ADMIN})),
}

APPROVALS_NEEDED: frozenset[Role] = frozenset({Role.DATA_STEWARD, Role.DATA_PROTECTION_OFFICER})
"""An application needs one approval from each of these roles, by two distinct people, neither the applicant."""


@dataclass(frozen=True)
class Approval:
    """One recorded approval of an application."""

    by: PersonId
    as_role: Role


def decide_transition(verb: ProjectVerb, state: ProjectState, roles: frozenset[Role] | None) -> Decision:
    """May somebody with ``roles`` (None: the runner) do ``verb`` to a project in ``state``?"""
    rule = TRANSITIONS[verb]
    if state not in rule.sources:
        wanted = " or ".join(sorted(rule.sources))
        return Deny((f"To {verb} a project it must be {wanted}; this one is {state}.",))
    if roles is not None and not (roles & rule.roles):
        wanted = " or ".join(sorted(rule.roles)) or "the runner"
        return Deny((f"Only {wanted} can {verb} a project. Ask a colleague who holds that role.",))
    return Allow((f"project-{verb}",))


def decide_approval(applicant: PersonId, given: tuple[Approval, ...], new: Approval) -> Decision:
    """May ``new`` be added? Nobody approves their own application, nobody approves twice, one per role."""
    if new.as_role not in APPROVALS_NEEDED:
        return Deny((f"An approval is given as {' or '.join(sorted(APPROVALS_NEEDED))}; found {new.as_role}.",))
    if new.by == applicant:
        return Deny(("You applied for this project, so you cannot approve it. A colleague has to decide.",))
    if any(approval.by == new.by for approval in given):
        return Deny(("You have already approved this project. The second approval must come from somebody else.",))
    if any(approval.as_role == new.as_role for approval in given):
        return Deny((f"The approval of the {new.as_role} is already there; the other one is still missing.",))
    return Allow(("two-approvals",))


def is_fully_approved(given: tuple[Approval, ...]) -> bool:
    """Both roles have approved, as two people."""
    return {a.as_role for a in given} >= APPROVALS_NEEDED and len({a.by for a in given}) >= len(APPROVALS_NEEDED)


@dataclass(frozen=True)
class ProjectRecord:
    """``projects/<id>/project.json``: what gateway, spawner and checks need to know; written by portal and runner."""

    id: ProjectId
    title: str
    state: ProjectState
    extract_version: ExtractVersion | None
    permit_sha256: str
    expires_on: date
    members: frozenset[PersonId]
