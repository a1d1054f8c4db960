"""From frozen values to a decision with the ids of the policies that fired, and sentences for the reader.

SATRE 1.5.03.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import cedarpy

from enclave.domain.decisions import Allow, Decision, Deny
from enclave.domain.people import Person
from enclave.domain.projects import ProjectRecord
from enclave.policy.actions import PolicyAction
from enclave.policy.loading import LoadedPolicies, load_policies

_SENTENCES = {
    "person-is-revoked": "Your access has been revoked by an administrator. Ask the enclave's administrator why.",
    "permit-has-expired": (
        "The data permit of project {project} held until {expires_on} and has expired. "
        "Ask the data access body for a new one."
    ),
    "project-is-not-active": (
        "Project {project} is {state}; expected active. Look at its page in the portal to see what is missing."
    ),
    "person-is-not-a-member": (
        "You are not one of the people the data permit of project {project} names. "
        "Ask for an amended permit, or use a project you are a member of."
    ),
}
_NO_PERMIT = "No access policy allows {action} to somebody with the roles {roles}; expected researcher."


class PolicyDecisionPoint:
    """Holds the validated policies; safe to use from many threads."""

    def __init__(self, loaded: LoadedPolicies | None = None) -> None:
        self._loaded = loaded or load_policies()

    @property
    def policy_ids(self) -> frozenset[str]:
        """The ``@id`` of every policy that was loaded."""
        return self._loaded.ids

    def text_of(self, policy: str) -> str:
        """The policy as it is written in ``access_policies/``. Raises KeyError for an id that was not loaded."""
        return self._loaded.texts[policy]

    def decide(self, person: Person, action: PolicyAction, project: ProjectRecord, today: date) -> Decision:
        """Allow or Deny with reasons; ``today`` in UTC. An error while evaluating refuses."""
        result = cedarpy.is_authorized(
            {
                "principal": {"type": "Person", "id": person.id},
                "action": {"type": "Action", "id": action.value},
                "resource": {"type": "Project", "id": project.id},
                "context": {},
            },
            self._loaded.policies,
            _entities(person, project, today),
            schema=self._loaded.schema,
        )
        diagnostics = result.diagnostics
        names = diagnostics.id_annotations_by_reason
        fired = tuple(sorted(str(names.get(reason, reason)) for reason in diagnostics.reasons))
        if diagnostics.errors:
            return Deny(("The access policies could not be evaluated, so nothing is allowed. Tell the administrator.",))
        if result.allowed:
            return Allow(fired)
        return Deny(_reasons(fired, person, action, project), fired)


def _entities(person: Person, project: ProjectRecord, today: date) -> list[dict[str, Any]]:
    members = [{"__entity": {"type": "Person", "id": member}} for member in sorted(project.members)]
    return [
        {
            "uid": {"type": "Person", "id": person.id},
            "attrs": {"active": person.active, "roles": sorted(person.roles)},
            "parents": [],
        },
        {
            "uid": {"type": "Project", "id": project.id},
            "attrs": {"state": str(project.state), "expired": today > project.expires_on, "members": members},
            "parents": [],
        },
    ]


def _reasons(fired: tuple[str, ...], person: Person, action: PolicyAction, project: ProjectRecord) -> tuple[str, ...]:
    facts = {
        "project": project.id,
        "state": str(project.state),
        "expires_on": project.expires_on.isoformat(),
        "action": action.value,
        "roles": ", ".join(sorted(person.roles)) or "none",
    }
    if not fired:
        return (_NO_PERMIT.format(**facts),)
    other = "The access policy {policy} refuses {action}. Ask the administrator."
    return tuple(_SENTENCES.get(name, other).format(policy=name, **facts) for name in fired)
