"""Workspaces as the portal knows them: who may start one, its tokens, its end. Called by the hub's spawner."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from django.conf import settings

from enclave import tokens
from enclave.domain.decisions import Allow, RefusedError, check
from enclave.domain.events import EventType
from enclave.domain.ids import PersonId, ProjectId, Username, WorkspaceId, new_workspace_id
from enclave.domain.permits import Permit
from enclave.domain.workspaces import WorkspaceGrant, WorkspaceToken
from enclave.extracts.permit_file import parse_permit
from enclave.keys import token_private_key
from enclave.policy.actions import PolicyAction
from enclave.policy.decision_point import PolicyDecisionPoint
from enclave.portal.actions.projects import today
from enclave.portal.models import Project, User, WorkspaceSession, WorkspaceState
from enclave.portal.record import AuditedChange, audited_change

NOT_OWN = (
    "Your password was made for you, so nothing opens with it. Log in to the portal and choose a password of your own."
)


@cache
def _policies() -> PolicyDecisionPoint:
    return PolicyDecisionPoint()


def _token_life() -> timedelta:
    return timedelta(minutes=settings.ENCLAVE.token_minutes)


def check_may_work(user: User, project: Project) -> tuple[str, ...]:
    """The policies that allow a workspace or a token here and now; raises ``RefusedError`` (recorded by the caller)."""
    if user.must_change_password and user.is_active:
        raise RefusedError(NOT_OWN)
    decision = _policies().decide(user.as_person(), PolicyAction.OPEN_WORKSPACE, project.as_record(), today())
    check(decision)
    return decision.policies


def can_work(user: User, project: Project) -> bool:
    """What the button "Open workspace" asks."""
    decision = _policies().decide(user.as_person(), PolicyAction.OPEN_WORKSPACE, project.as_record(), today())
    return isinstance(decision, Allow)


def find_member_and_project(username: str, project_id: str) -> tuple[User, Project]:
    """Both rows; raises ``RefusedError`` with the same sentence for an unknown person and an unknown project."""
    user = User.objects.filter(username=username).first()
    project = Project.objects.filter(pk=project_id).first()
    if user is None or project is None:
        raise RefusedError(f"There is no project {project_id[:30]} that you may see. Look at the list of projects.")
    return user, project


def issue_workspace_token(
    user: User,
    project: Project,
    workspace: WorkspaceId,
    life: timedelta,
    door: tokens.DoorKind = tokens.DoorKind.UNIX,
    client: str = "",
) -> str:
    """A signed token; no decision is taken and nothing recorded here."""
    return tokens.issue(
        token_private_key(settings.ENCLAVE),
        person=PersonId(user.person_id),
        username=Username(user.username),
        project=ProjectId(project.pk),
        workspace=workspace,
        ttl=life,
        door=door,
        client=client,
    )


def start_workspace(username: str, project_id: str) -> WorkspaceGrant:
    """Decide, record, and open a session. A session that the hub left open is closed first."""
    actor = User.objects.filter(username=username).first()
    subject = actor.person_id if actor else None
    known = project_id if Project.objects.filter(pk=project_id).exists() else None
    with audited_change(actor, project=known, subject=subject, refusal=EventType.WORKSPACE_REFUSED) as change:
        user, project = find_member_and_project(username, project_id)
        policies = check_may_work(user, project)
        permit = parse_permit(project.permit_yaml)
        rules = permit.workspace
        for left in WorkspaceSession.objects.filter(user=user, project=project, state=WorkspaceState.RUNNING):
            change.record(EventType.WORKSPACE_STOPPED, workspace=left.pk, subject=user.person_id)
            _close(left)
        _check_room()
        workspace = _open(change, user, project, permit, policies)
    return WorkspaceGrant(
        person=PersonId(user.person_id),
        workspace=workspace,
        token=issue_workspace_token(user, project, workspace, _token_life()),
        token_seconds=int(_token_life().total_seconds()),
        project_title=project.title,
        memory_mb=rules.memory_mb,
        processes=rules.processes,
        idle_minutes=rules.idle_minutes,
        hours=rules.hours,
        disk_mb=rules.disk_mb,
        shared_mb=permit.shared_folder_mb,
        packages=project.packages_version,
        terminals=rules.terminals,
    )


def _open(
    change: AuditedChange, user: User, project: Project, permit: Permit, policies: tuple[str, ...]
) -> WorkspaceId:
    workspace = new_workspace_id()
    change.record(
        EventType.WORKSPACE_STARTED,
        workspace=workspace,
        subject=user.person_id,
        decision="allow",
        policies=policies,
        counts={
            "token_seconds": int(_token_life().total_seconds()),
            "shared_mb": permit.shared_folder_mb,
            "terminals": int(permit.workspace.terminals),
        },
    )
    WorkspaceSession.objects.create(id=workspace, project=project, user=user)
    return workspace


def _check_room() -> None:
    """Raises RefusedError when as many workspaces run as this enclave may have at once."""
    most = settings.ENCLAVE.workspaces
    if WorkspaceSession.objects.filter(state=WorkspaceState.RUNNING).count() >= most:
        raise RefusedError(
            f"All {most} workspaces of this enclave are in use. Try again in a while, and close one of your own that "
            "you do not need; if it happens often, tell the people who run this enclave."
        )


def renew_token(workspace_id: str) -> WorkspaceToken:
    """A new token for a running workspace; decided anew each time."""
    session = WorkspaceSession.objects.select_related("user", "project").filter(pk=workspace_id).first()
    actor = session.user if session else None
    project_id = session.project_id if session else None
    with audited_change(actor, project=project_id, refusal=EventType.TOKEN_REFUSED) as change:
        if session is None or session.state != WorkspaceState.RUNNING:
            raise RefusedError("Expected a running workspace, found none with this id. Start the workspace again.")
        policies = check_may_work(session.user, session.project)
        life = _token_life()
        change.record(
            EventType.TOKEN_ISSUED,
            workspace=session.pk,
            subject=session.user.person_id,
            decision="allow",
            policies=policies,
            counts={"token_seconds": int(life.total_seconds())},
        )
    token = issue_workspace_token(session.user, session.project, WorkspaceId(session.pk), life)
    return WorkspaceToken(token, int(life.total_seconds()))


def stop_workspace(workspace_id: str) -> None:
    """Note that a workspace ended; a second call changes nothing."""
    with audited_change(None) as change:
        session = WorkspaceSession.objects.select_for_update().filter(pk=workspace_id).first()
        if session is None or session.state == WorkspaceState.STOPPED:
            return
        change.actor, change.project = session.user, session.project_id
        change.record(EventType.WORKSPACE_STOPPED, workspace=session.pk, subject=session.user.person_id)
        _close(session)


def _close(session: WorkspaceSession) -> None:
    session.state = WorkspaceState.STOPPED
    session.stopped_at = datetime.now(UTC)
    session.save()
