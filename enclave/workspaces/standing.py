"""May the person of a running workspace still work in it? The hub asks every ``LOOK_SECONDS``, of the access files.

When a person or a project is revoked, the portal has the runner stop the workspaces. The runner does one thing at a
time and may be building an extract; this is what holds then. The rule is the portal's own (access policies,
*open-workspace*). From the commit of a revocation to the end of the last process of a workspace: ``LONGEST_SECONDS``,
the sum of what may pass in between. Files that cannot be read decide nothing here: the gateway refuses every query
then, and the portal, which is asked at each renewal of a token, has the last word.
"""

from __future__ import annotations

from datetime import date
from functools import cache

from enclave.access import AccessFiles
from enclave.domain.decisions import Deny
from enclave.domain.ids import ProjectId, Username
from enclave.policy.actions import PolicyAction
from enclave.policy.decision_point import PolicyDecisionPoint
from enclave.settings import Settings

LOOK_SECONDS = 2
"""Between two looks at a workspace (JupyterHub's ``Spawner.poll_interval``)."""
LOOK_JITTER = 0.1
"""Part of it that JupyterHub may add to spread the looks."""
ASK_SECONDS = 1.0
"""Longest that one question to edge or workspace may hold up a look."""
QUESTIONS = 3
"""At most so many in one look: the edge twice, the workspace once."""
STOP_SECONDS = 2.5
"""For a workspace's host to end everything when asked; then it is killed, and its sandboxes die with it."""
KILL_SECONDS = 2.0
"""For the system to carry that out."""
LONGEST_SECONDS = LOOK_SECONDS * (1 + LOOK_JITTER) + QUESTIONS * ASK_SECONDS + STOP_SECONDS + KILL_SECONDS


class Standing:
    """Reads the access files; a look costs two ``stat`` calls and one decision (about 0.1 ms)."""

    def __init__(self, settings: Settings) -> None:
        self._access = AccessFiles(settings)

    def find_objection(self, username: Username, project: ProjectId, today: date) -> str | None:
        """Why this person may not work in this project now, as sentences; None: they may, or it cannot be read."""
        try:
            people = self._access.people()
            record = self._access.project(project)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        person = next((person for person in people.values() if person.username == username), None)
        if person is None or record is None:
            return "The portal knows no such person or project any more."
        decision = _policies().decide(person, PolicyAction.OPEN_WORKSPACE, record, today)
        return " ".join(map(str, decision.reasons)) if isinstance(decision, Deny) else None


@cache
def _policies() -> PolicyDecisionPoint:
    return PolicyDecisionPoint()
