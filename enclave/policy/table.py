"""The table role × action, computed from the policies: ``python -m enclave.policy.table`` rewrites the README."""

from __future__ import annotations

from datetime import date

from enclave.domain.decisions import Allow
from enclave.domain.ids import ExtractVersion, PersonId, ProjectId, Username
from enclave.domain.people import Person, Role
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.files import write_atomically
from enclave.policy.actions import PolicyAction
from enclave.policy.decision_point import PolicyDecisionPoint
from enclave.policy.loading import POLICY_FOLDER

README = POLICY_FOLDER / "README.md"
_MEMBER = PersonId("u-000000000001")
_DAY = date(2026, 1, 1)
_PROJECT = ProjectRecord(
    id=ProjectId("any-project"),
    title="Any project",
    state=ProjectState.ACTIVE,
    extract_version=ExtractVersion("v1"),
    permit_sha256="0" * 64,
    expires_on=_DAY,
    members=frozenset({_MEMBER}),
)

_HEAD = """# Access policies

Cedar policies that say who may do what in a project space. Every process that decides reads this folder when it starts,
validates each file against `schema.cedarschema` and refuses to start when one is missing or wrong. Every policy has an
`@id`; the audit log cites the ids that decided.

What a **member** of a project may do, by role, while the project is active, the data permit holds and nobody has
revoked the person (in every other case the answer is no; `refusals.cedar` says why). It is computed by
`python -m enclave.policy.table` from the policies; a test compares the two.

"""


def role_by_action(point: PolicyDecisionPoint) -> dict[Role, dict[PolicyAction, bool]]:
    """For each role: what a member with only that role may do in an active project with a valid permit."""
    return {role: {action: _is_allowed(point, role, action) for action in PolicyAction} for role in Role}


def _is_allowed(point: PolicyDecisionPoint, role: Role, action: PolicyAction) -> bool:
    person = Person(id=_MEMBER, username=Username("member"), roles=frozenset({role}))
    return isinstance(point.decide(person, action, _PROJECT, _DAY), Allow)


def render(point: PolicyDecisionPoint) -> str:
    """The whole README as Markdown."""
    actions = list(PolicyAction)
    lines = [
        "| role | " + " | ".join(action.value for action in actions) + " |",
        "| --- |" + " --- |" * len(actions),
    ]
    for role, row in role_by_action(point).items():
        lines.append(f"| {role.value} | " + " | ".join("yes" if row[action] else "–" for action in actions) + " |")
    listed = "\n".join(f"- `{name}`" for name in sorted(point.policy_ids))
    return f"{_HEAD}{chr(10).join(lines)}\n\nPolicies in force:\n\n{listed}\n"


if __name__ == "__main__":
    write_atomically(README, render(PolicyDecisionPoint()).encode())
