"""What a project's page of packages shows, as plain values for its template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings

from enclave.domain.ids import PersonId, ProjectId
from enclave.domain.packages import PackageState, PackageVerb, package_offers
from enclave.domain.projects import ProjectState
from enclave.packages.bills import SetContent, find_content
from enclave.portal.actions.workspaces import can_work
from enclave.portal.models import Job, JobKind, JobState, PackageRequest, Project, User

_DECISIONS = (PackageVerb.APPROVE, PackageVerb.REJECT)


@dataclass(frozen=True)
class RequestRow:
    """A request with the buttons of this person; ``decisions``: those that stand beside a field for words."""

    request: PackageRequest
    offers: tuple[PackageVerb, ...]
    withheld: bool
    """This person is the requester, and a steward: somebody else has to decide."""
    is_in_image: bool
    """Available without the set: the image holds it."""

    @property
    def decides(self) -> bool:
        return any(verb in self.offers for verb in _DECISIONS)

    @property
    def others(self) -> tuple[PackageVerb, ...]:
        """Verbs with a button of their own and no words."""
        return tuple(v for v in self.offers if v in (PackageVerb.WITHDRAW, PackageVerb.RETRY))

    @property
    def removes(self) -> bool:
        return PackageVerb.REMOVE in self.offers


def packages_context(project: Project, user: User) -> dict[str, Any]:
    """Everything the template ``portal/packages.html`` needs but the form."""
    content: SetContent | None = None
    if project.packages_version:
        content = find_content(settings.ENCLAVE, ProjectId(project.pk), project.packages_version)
    added = frozenset(name for name, _version, _digest in content.packages) if content else frozenset()
    is_made_again = _is_made_again(project)
    is_known = content is not None or not (project.packages_version or is_made_again)
    asked = project.package_requests.select_related("requester", "decided_by")
    rows = [_row(found, user, is_beside=is_known and found.name not in added) for found in asked]
    states = {row.request.package_state for row in rows}
    return {
        "project": project,
        "rows": rows,
        "content": content,
        "is_missing": bool(project.packages_version) and content is None,
        "is_made_again": PackageState.AVAILABLE in states and is_made_again,
        "is_working": PackageState.APPROVED in states,
        "can_ask": can_work(user, project),
        "is_active": project.project_state is ProjectState.ACTIVE,
        "has_mirror": bool(settings.ENCLAVE.package_mirror),
    }


def _is_made_again(project: Project) -> bool:
    """After a removal: the other packages wait for the new set."""
    ordered = Job.objects.filter(kind=JobKind.INGRESS_PACKAGES, state__in=(JobState.QUEUED, JobState.RUNNING))
    return not project.packages_version and ordered.filter(payload__project=project.pk).exists()


def _row(found: PackageRequest, user: User, *, is_beside: bool) -> RequestRow:
    person, requester = user.as_person(), PersonId(found.requester.person_id)
    offers = package_offers(found.package_state, requester, person)
    is_own = found.package_state is PackageState.SUBMITTED and person.id == requester
    is_in_image = found.package_state is PackageState.AVAILABLE and is_beside
    return RequestRow(found, offers, is_own and "data-steward" in user.roles, is_in_image)
