"""What people and the runner do to projects. One verb, one transaction, one record; the record comes first."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from enclave.domain.decisions import Deny, RefusedError
from enclave.domain.events import EventType
from enclave.domain.ids import SELFTEST_PROJECT, ExtractVersion, PersonId
from enclave.domain.people import Role
from enclave.domain.permits import Permit
from enclave.domain.projects import TRANSITIONS, ProjectState, ProjectVerb, decide_transition, is_fully_approved
from enclave.extracts.permit_file import PermitError, parse_permit
from enclave.portal.actions.access import sync_project_files
from enclave.portal.models import Job, JobKind, Membership, Project, ProjectApproval, ProjectEvent, User
from enclave.portal.record import AuditedChange, audited_change, record
from enclave.portal.rules import OVERSIGHT, ProjectFacts, StateConflictError, check_project_verb


def today() -> date:
    """Today in UTC, the clock of permits."""
    return datetime.now(UTC).date()


def facts_of(project: Project) -> ProjectFacts:
    """What the rules need."""
    return ProjectFacts(project.project_state, PersonId(project.applicant.person_id), project.given_approvals())


def submit_application(user: User, permit_text: str, title: str = "", summary: str = "") -> Project:
    """A new project in state ``submitted``. Raises ``PermitError`` (with lines) or ``RefusedError``; both recorded."""
    try:
        permit = parse_permit(permit_text)
    except PermitError as error:
        lines = sorted({f"line {problem.line}" for problem in error.problems})
        record(EventType.APPLICATION_REFUSED, user, decision="deny", data={"permit_problems": lines})
        raise
    with audited_change(user, project=permit.project, refusal=EventType.APPLICATION_REFUSED) as change:
        _check_application(permit)
        project = Project(
            id=permit.project,
            title=title or permit.title,
            summary=summary,
            permit_yaml=permit_text,
            permit_sha256=permit.sha256,
            applicant=user,
            expires_on=permit.expires_on,
        )
        project.save(force_insert=True)
        data = {"permit_sha256": permit.sha256, "dataset": permit.dataset, "dataset_version": permit.dataset_version}
        _write_down(change, project, EventType.APPLICATION_SUBMITTED, user, data=data)
    return project


def _check_application(permit: Permit) -> None:
    if permit.is_expired(today()):
        raise RefusedError(f"The data permit expired on {permit.expires_on}. Apply with a permit that still holds.")
    if permit.project == SELFTEST_PROJECT or Project.objects.filter(pk=permit.project).exists():
        raise StateConflictError(
            f"A project {permit.project} exists already. Each application needs a project name of its own."
        )
    known = {u.username for u in User.objects.filter(username__in=permit.researchers) if Role.RESEARCHER in u.role_set}
    missing = [name for name in permit.researchers if name not in known]
    if missing:
        raise RefusedError(
            f"The data permit names {', '.join(missing)} as researcher, but no such account with that role exists "
            "here. Ask an admin to create it, then apply again."
        )


def approve_project(user: User, project_id: str, as_role: Role, comment: str = "") -> Project:
    """One approval; the second one, by another person in the other role, moves the project to ``approved``."""
    with audited_change(user, project=project_id, subject=project_id) as change:
        project = _locked(project_id)
        check_project_verb(ProjectVerb.APPROVE, facts_of(project), user.as_person(), as_role)
        ProjectApproval.objects.create(project=project, by=user, as_role=as_role.value, comment=comment)
        if is_fully_approved(project.given_approvals()):
            project.state = TRANSITIONS[ProjectVerb.APPROVE].target.value
        data = {"as_role": as_role.value, "state": project.state, "permit_sha256": project.permit_sha256}
        _write_down(change, project, EventType.APPLICATION_APPROVED, user, note=comment, data=data)
    return project


def reject_project(user: User, project_id: str, as_role: Role, comment: str) -> Project:
    """One rejection ends the application."""
    return _move(user, project_id, ProjectVerb.REJECT, as_role, EventType.APPLICATION_REJECTED, comment)


def provision_project(user: User, project_id: str) -> Project:
    """Order the extract: the runner builds it and then calls ``activate_project`` or ``fail_project``."""
    return _move(user, project_id, ProjectVerb.PROVISION, Role.ADMIN, EventType.PROJECT_PROVISIONED, "")


def close_project(user: User, project_id: str, comment: str) -> Project:
    """End a project: its workspaces stop and its tokens die."""
    return _move(user, project_id, ProjectVerb.CLOSE, Role.ADMIN, EventType.PROJECT_CLOSED, comment)


def _move(user: User, project_id: str, verb: ProjectVerb, as_role: Role, event: EventType, comment: str) -> Project:
    with audited_change(user, project=project_id, subject=project_id) as change:
        project = _locked(project_id)
        check_project_verb(verb, facts_of(project), user.as_person(), as_role)
        project.state = TRANSITIONS[verb].target.value
        if verb is ProjectVerb.PROVISION:
            project.failure = ""
            Job.objects.create(kind=JobKind.BUILD_EXTRACT, payload={"project": project.pk})
        if verb is ProjectVerb.CLOSE:
            Job.objects.create(kind=JobKind.STOP_WORKSPACES, payload={"project": project.pk})
        _write_down(change, project, event, user, note=comment, data={"as_role": as_role.value})
    return project


def activate_project(project_id: str, extract_version: str) -> Project:
    """Called by the runner when the extract stands: the permit's researchers become members, the space opens."""
    with audited_change("system:runner", project=project_id, subject=project_id) as change:
        project = _locked(project_id)
        _check_runner(ProjectVerb.ACTIVATE, project)
        project.state = ProjectState.ACTIVE.value
        project.extract_version = ExtractVersion(extract_version)
        project.failure = ""
        names = parse_permit(project.permit_yaml).researchers
        for member in User.objects.filter(username__in=names):
            Membership.objects.get_or_create(project=project, user=member)
        data = {"extract_version": extract_version, "permit_sha256": project.permit_sha256}
        _write_down(change, project, EventType.PROJECT_ACTIVATED, None, data=data)
    return project


def fail_project(project_id: str, reasons: list[str]) -> Project:
    """Called by the runner when the extract could not be built; an admin may provision again."""
    with audited_change("system:runner", project=project_id, subject=project_id) as change:
        project = _locked(project_id)
        _check_runner(ProjectVerb.FAIL, project)
        project.state = ProjectState.FAILED.value
        project.failure = "\n".join(reasons)
        _write_down(change, project, EventType.PROJECT_FAILED, None, note=project.failure, data={"reasons": reasons})
    return project


def _check_runner(verb: ProjectVerb, project: Project) -> None:
    decision = decide_transition(verb, project.project_state, None)
    if isinstance(decision, Deny):
        raise StateConflictError(*decision.reasons)


def _locked(project_id: str) -> Project:
    """The row, locked until commit; on SQLite the whole transaction holds the write lock already."""
    project = Project.objects.select_for_update().filter(pk=project_id).first()
    if project is None:
        raise RefusedError(f"There is no project {project_id} that you may see. Look at the list of projects.")
    return project


def _write_down(
    change: AuditedChange,
    project: Project,
    event: EventType,
    by: User | None,
    *,
    note: str = "",
    data: dict[str, Any] | None = None,
) -> None:
    """Record durably, then save the row and its timeline line in the transaction that is about to commit."""
    comment = {"comment": note} if note else None
    receipt = change.record(event, subject=project.pk, decision="allow", data=data, payload=comment)
    project.changed_at = datetime.now(UTC)
    project.save()
    ProjectEvent.objects.create(project=project, type=event.value, by=by, note=note, audit_index=receipt.index)
    transaction.on_commit(lambda: sync_project_files(project))


def find_permit(project: Project) -> Permit | None:
    """The parsed permit, or None when the stored text no longer parses (an older format)."""
    try:
        return parse_permit(project.permit_yaml)
    except PermitError:
        return None


def visible_projects(user: User) -> QuerySet[Project]:
    """Oversight roles see every project; others the ones they applied for or are a member of."""
    if user.role_set & OVERSIGHT:
        return Project.objects.all()
    return Project.objects.filter(Q(applicant=user) | Q(memberships__user=user)).distinct()


def get_visible_project(user: User, project_id: str) -> Project:
    """One project; raises ``RefusedError`` alike for an unknown and a hidden one; recorded."""
    project = visible_projects(user).filter(pk=project_id).first()
    if project is None:
        reason = f"There is no project {project_id} that you may see. Look at the list of projects."
        record(
            EventType.ACTION_REFUSED,
            user,
            subject=f"project:{project_id}",
            decision="deny",
            policies=("project-visible",),
            data={"reasons": [reason]},
        )
        raise RefusedError(reason)
    return project
