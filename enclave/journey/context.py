"""What the steps of a journey share."""

from __future__ import annotations

from dataclasses import dataclass, field

from enclave.domain.people import Role
from enclave.domain.permits import Permit
from enclave.journey.browser import Browser, JourneyError
from enclave.journey.kernel import Workspace
from enclave.settings import Settings


@dataclass
class Context:
    """One journey's people and what they made so far."""

    settings: Settings
    permit: Permit
    permit_text: bytes
    browsers: dict[str, Browser]
    researcher: Browser
    by_role: dict[Role, list[Browser]]
    workspace: Workspace | None = None
    request_path: str = ""
    """Path of the output request's page in the portal."""
    notes: dict[str, str] = field(default_factory=dict)

    def one(self, role: Role) -> Browser:
        """Somebody with that role; raises JourneyError when nobody holds it."""
        if not self.by_role.get(role):
            raise JourneyError(f"Expected a sample person with the role {role}, found none.")
        return self.by_role[role][0]

    def open_workspace(self) -> Workspace:
        """The workspace that an earlier step opened."""
        if self.workspace is None:
            raise JourneyError("Expected an open workspace, found none; the step before has to come first.")
        return self.workspace
