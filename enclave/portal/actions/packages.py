"""What people and the runner do to package requests. One verb, one transaction, one record; the record comes first.
Rows are locked in one order: the project, then its requests.

Removing takes the whole set away at once (no workspace that starts from now on has it) and orders it anew without the
package: what was removed for a reason must not stay because the mirror is away.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from enclave.domain.decisions import Deny, RefusedError
from enclave.domain.events import EventType
from enclave.domain.ids import PersonId
from enclave.domain.packages import (
    IN_THE_WAY,
    PACKAGE_TRANSITIONS,
    PackageState,
    PackageVerb,
    check_requirement,
    decide_package_state,
    decide_package_verb,
)
from enclave.domain.projects import ProjectState
from enclave.portal.actions.workspaces import check_may_work
from enclave.portal.models import Job, JobKind, PackageRequest, Project, User
from enclave.portal.record import AuditedChange, audited_change
from enclave.portal.rules import StateConflictError

RUNNER = "system:runner"
EVENTS: dict[PackageVerb, EventType] = {
    PackageVerb.APPROVE: EventType.PACKAGE_REQUEST_APPROVED,
    PackageVerb.REJECT: EventType.PACKAGE_REQUEST_REJECTED,
    PackageVerb.WITHDRAW: EventType.PACKAGE_REQUEST_WITHDRAWN,
    PackageVerb.RETRY: EventType.PACKAGE_REQUEST_RETRIED,
    PackageVerb.REMOVE: EventType.PACKAGE_REQUEST_REMOVED,
    PackageVerb.DELIVER: EventType.PACKAGE_REQUEST_DELIVERED,
    PackageVerb.FAIL: EventType.PACKAGE_REQUEST_FAILED,
}
_NEEDS_REASON = frozenset({PackageVerb.REJECT, PackageVerb.REMOVE})


def request_package(user: User, project_id: str, name: str, versions: str, reason: str) -> PackageRequest:
    """A member asks. Raises RefusedError, recorded."""
    refusal = EventType.PACKAGE_REQUEST_REFUSED
    with audited_change(user, project=project_id, subject=f"project:{project_id}", refusal=refusal) as change:
        project = Project.objects.select_for_update().get(pk=project_id)
        check_may_work(user, project)
        wanted = check_requirement(name.strip(), versions.strip())
        if not reason.strip():
            raise RefusedError("Expected what the package is for, found nothing. The data steward has to know.")
        if project.package_requests.filter(name=wanted.name, state__in=sorted(IN_THE_WAY)).exists():
            raise StateConflictError(
                f"The project has asked for {wanted.name} already. Look at the list; ask again once it is decided."
            )
        made = PackageRequest(
            project=project, requester=user, name=wanted.name, versions=wanted.versions, reason=reason.strip()
        )
        made.save()
        _record(change, EventType.PACKAGE_REQUEST_SUBMITTED, made, payload={"reason": made.reason})
    return made


def decide_package(user: User, project_id: str, number: int, verb: PackageVerb, comment: str = "") -> PackageRequest:
    """What a person does to a request. Raises RefusedError, StateConflictError, both recorded."""
    with audited_change(user, project=project_id, subject=f"package-request:{number}") as change:
        # the project before its request, as a delivery does: the other way round the two would wait for each other
        Project.objects.select_for_update().filter(pk=project_id).first()
        found = _locked(project_id, number)
        _check(verb, found, user)
        if verb in _NEEDS_REASON and not comment.strip():
            raise RefusedError("Expected a reason, found none. The person who asked has to know why.")
        is_in_set = found.package_state is PackageState.AVAILABLE
        found.state = PACKAGE_TRANSITIONS[verb].target.value
        if PACKAGE_TRANSITIONS[verb].by == "steward":
            _note_decision(found, user, comment.strip())
        _record(change, EVENTS[verb], found, payload={"comment": comment.strip()} if comment.strip() else None)
        found.save()
        if verb in (PackageVerb.APPROVE, PackageVerb.RETRY):
            queue_ingress(found.project_id, found.pk)
        if verb is PackageVerb.REMOVE and is_in_set:
            _take_set_away(found.project)
    return found


def _check(verb: PackageVerb, found: PackageRequest, user: User) -> None:
    decision = decide_package_state(verb, found.package_state)
    if isinstance(decision, Deny):
        raise StateConflictError(*decision.reasons)
    requester = PersonId(found.requester.person_id)
    decision = decide_package_verb(verb, found.package_state, requester, user.as_person())
    if isinstance(decision, Deny):
        raise RefusedError(*decision.reasons)
    is_active = found.project.project_state is ProjectState.ACTIVE
    if verb in (PackageVerb.APPROVE, PackageVerb.RETRY) and not is_active:
        raise StateConflictError("Packages are added to active projects only. Look at the project's page.")


def _note_decision(found: PackageRequest, user: User, comment: str) -> None:
    """Who decided is the last steward; one who removes a package of their own stands in the record only."""
    if user != found.requester:
        found.decided_by = user
    found.decided_at, found.comment, found.outcome = datetime.now(UTC), comment, ""


def _take_set_away(project: Project) -> None:
    project.packages_version = ""
    project.save(update_fields=["packages_version"])
    if project.package_requests.filter(state=PackageState.AVAILABLE).exists():
        queue_ingress(project.pk, 0)


def queue_ingress(project_id: str, number: int, not_before: datetime | None = None) -> None:
    """Order the runner's work; ``number`` 0: make the set again."""
    payload = {"project": project_id, "request": number}
    Job.objects.create(kind=JobKind.INGRESS_PACKAGES, payload=payload, not_before=not_before or datetime.now(UTC))


def deliver_packages(
    project_id: str, numbers: list[int], version: str, bom_sha256: str, versions: Mapping[str, str], added: list[str]
) -> None:
    """Called by the runner: the set stands. ``numbers``: the requests it fulfils; ``versions``: by name."""
    with audited_change(RUNNER, project=project_id, subject=f"packages:{version or 'none'}") as change:
        project = Project.objects.select_for_update().get(pk=project_id)
        wanted = set(project.package_requests.filter(state=PackageState.AVAILABLE).values_list("pk", flat=True))
        if not wanted <= set(numbers):
            raise RefusedError("Expected a set with all packages of the project, found an older one. It is made again.")
        for number in numbers:
            found = _locked(project_id, number)
            decision = decide_package_state(PackageVerb.DELIVER, found.package_state)
            if isinstance(decision, Deny):
                raise StateConflictError(*decision.reasons)
            found.installed = versions.get(found.name, "")
            found.state, found.outcome = PackageState.AVAILABLE.value, ""
            more: dict[str, Any] = {"set": version, "installed": found.installed, "bom_sha256": bom_sha256}
            _record(change, EventType.PACKAGE_REQUEST_DELIVERED, found, more={**more, "wheels": added})
            found.save()
        project.packages_version = version
        project.save(update_fields=["packages_version"])


def fail_packages(project_id: str, numbers: list[int], reasons: list[str]) -> None:
    """Called by the runner: these requests could not be fulfilled; a steward may try again."""
    with audited_change(RUNNER, project=project_id, subject="packages") as change:
        for number in sorted(numbers):
            found = _locked(project_id, number)
            if isinstance(decide_package_state(PackageVerb.FAIL, found.package_state), Deny):
                continue  # removed meanwhile
            found.state, found.outcome, found.installed = PackageState.FAILED.value, "\n".join(reasons), ""
            _record(change, EventType.PACKAGE_REQUEST_FAILED, found, more={"reasons": reasons[:1]})
            found.save()


def _locked(project_id: str, number: int) -> PackageRequest:
    rows = PackageRequest.objects.select_for_update(of=("self",)).select_related("project", "requester")
    found = rows.filter(project_id=project_id, pk=number).first()
    if found is None:
        raise RefusedError("There is no such package request in this project. Look at the list of its packages.")
    return found


def _record(
    change: AuditedChange,
    event: EventType,
    found: PackageRequest,
    *,
    more: dict[str, Any] | None = None,
    payload: dict[str, Any] | None = None,
) -> None:
    data = {"package": found.name, "versions": found.versions or "any", **(more or {})}
    change.record(event, subject=f"package-request:{found.pk}", decision="allow", data=data, payload=payload)
