"""What a project's page shows, as plain values for its template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from pydantic import ValidationError

from enclave.access import AccessFiles
from enclave.destruction.remains import Extent, find_remains
from enclave.domain.ids import ProjectId, Username
from enclave.domain.manifest import Manifest
from enclave.domain.people import Role
from enclave.domain.permits import Permit
from enclave.domain.person_rules import rules_for
from enclave.domain.projects import ProjectState
from enclave.portal.actions.projects import facts_of, find_permit, today
from enclave.portal.actions.workspaces import can_work
from enclave.portal.models import Dataset, Project, User, WorkspaceState
from enclave.portal.rules import find_withheld_reason, project_offers

_PATH = (ProjectState.SUBMITTED, ProjectState.APPROVED, ProjectState.PROVISIONING, ProjectState.ACTIVE)


@dataclass(frozen=True)
class Step:
    """One step on the way to a project space; ``phase`` is a CSS class: done, now, next or failed."""

    state: str
    phase: str


@dataclass(frozen=True)
class NamedResearcher:
    """A researcher of the permit and the account behind the name, if there is one."""

    username: str
    account: User | None


def project_context(project: Project, user: User) -> dict[str, Any]:
    """Everything the template ``portal/project_detail.html`` needs."""
    facts, permit = facts_of(project), find_permit(project)
    manifest = find_manifest(project)
    running = project.workspaces.filter(state=WorkspaceState.RUNNING).select_related("user")
    return {
        "project": project,
        "permit": permit,
        "permit_expired": project.expires_on < today(),
        "catalogued": permit is not None and _is_catalogued(permit),
        "researchers": _researchers(permit) if permit else [],
        "steps": steps_of(project.project_state),
        "events": project.events.select_related("by"),
        "approvals": project.approvals.select_related("by"),
        "offers": project_offers(facts, user.as_person()),
        "withheld": find_withheld_reason(facts, user.as_person()),
        "manifest": manifest,
        "uncounted": _uncounted(manifest, permit, user),
        "can_work": can_work(user, project),
        "workspace_url": f"{settings.ENCLAVE.hub_url}/hub/spawn/{user.username}/{project.pk}",
        "running": running,
        "is_auditor": Role.AUDITOR in user.role_set,
        **(_destroyed(project) if project.project_state is ProjectState.CLOSED else {}),
    }


def steps_of(state: ProjectState) -> list[Step]:
    """The four steps with the present one marked."""
    if state in (ProjectState.REJECTED, ProjectState.CLOSED):
        return [Step(ProjectState.SUBMITTED.value, "done"), Step(state.value, "failed")]
    at = _PATH.index(ProjectState.PROVISIONING if state is ProjectState.FAILED else state)
    steps = []
    for place, name in enumerate(_PATH):
        finished = place < at or (place == at and state in (ProjectState.ACTIVE, ProjectState.APPROVED))
        steps.append(Step(name.value, "done" if finished else "now" if place == at else "next"))
    if state is ProjectState.FAILED:
        steps[at] = Step(ProjectState.FAILED.value, "failed")
    return steps


def find_manifest(project: Project) -> Manifest | None:
    """The manifest of the current extract, or None when there is none or it cannot be read."""
    if not project.extract_version:
        return None
    folder = AccessFiles(settings.ENCLAVE).extract_folder(project.as_record())
    try:
        return Manifest.model_validate_json((folder / "manifest.json").read_bytes()) if folder else None
    except (OSError, ValidationError):
        return None


def _destroyed(project: Project) -> dict[str, Any]:
    """What went with the project, and how many folders are still there: the receipt that a data holder asks for."""
    gone = list(project.destructions.all())
    return {
        "destructions": gone,
        "destroyed": Extent(sum(one.files for one in gone), sum(one.bytes for one in gone)),
        "left": len(find_remains(settings.ENCLAVE, ProjectId(project.pk))),
    }


def _uncounted(manifest: Manifest | None, permit: Permit | None, user: User) -> list[str]:
    """Tables of which a rule hides rows from this person: their counts would tell how many."""
    if manifest is None or permit is None:
        return []
    rules = rules_for(permit, Username(user.username))
    return [table.name for table in manifest.tables if rules.hides_rows(table.name)]


def _researchers(permit: Permit) -> list[NamedResearcher]:
    accounts = {user.username: user for user in User.objects.filter(username__in=permit.researchers)}
    return [NamedResearcher(name, accounts.get(name)) for name in permit.researchers]


def _is_catalogued(permit: Permit) -> bool:
    return Dataset.objects.filter(name=permit.dataset, version=permit.dataset_version).exists()
