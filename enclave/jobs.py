"""What the runner carries out for the enclave itself: building extracts and stopping workspaces.

Each function may be repeated after a crash. Releases are the egress review's (``egress_review.actions.release``).
"""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import structlog
from adbc_driver_flightsql import dbapi

from audit.client import AuditClient, AuditUnavailable
from enclave.access import AccessFiles
from enclave.catalogue import find_manifest
from enclave.destruction.carry_out import count_running, destroy_project_data
from enclave.destruction.remains import find_remains
from enclave.domain.ids import ExtractVersion, PersonId, ProjectId, Username
from enclave.domain.projects import ProjectState
from enclave.extracts.launch import run_builder
from enclave.keys import hub_api_token
from enclave.portal.actions.projects import activate_project, fail_project
from enclave.portal.actions.workspaces import issue_workspace_token
from enclave.portal.models import Job, JobKind, JobState, Project, User
from enclave.settings import Settings
from enclave.shown.destroying import destroy_expired
from enclave.tokens import CANARY_WORKSPACE

log = structlog.get_logger()
_CANARY_TOKEN_LIFE = timedelta(minutes=2)
_END_SECONDS = 10.0
"""For workspaces to end once the hub was told (``enclave.workspaces.standing``)."""


class JobError(Exception):
    """The job could not be carried out; the sentence goes to the job's page."""


def build_extract(settings: Settings, payload: dict[str, Any]) -> None:
    """Build the next extract version of ``payload["project"]`` and activate the project, or mark it failed."""
    project = ProjectId(payload["project"])
    if Project.objects.get(pk=project).project_state is not ProjectState.PROVISIONING:
        log.info("build-not-needed", project=project)  # a repeated job whose first run got to the end
        return
    _check_permit(settings, project)
    version = _version_to_build(settings, project)
    if find_manifest(settings, project, version) is None:
        result = run_builder(settings, project, version)
        if not result.ok:
            fail_project(project, list(result.reasons))
            raise JobError(" ".join(result.reasons))
    activate_project(project, version)


def _check_permit(settings: Settings, project: ProjectId) -> None:
    """The file that the builder reads must be the bytes that two people approved."""
    found = hashlib.sha256(AccessFiles(settings).permit_file(project).read_bytes()).hexdigest()
    if found != Project.objects.get(pk=project).permit_sha256:
        reason = "Expected the data permit that was approved, found other bytes in its file. Nothing was built."
        fail_project(project, [reason])
        raise JobError(reason)


def _version_to_build(settings: Settings, project: ProjectId) -> ExtractVersion:
    """The version after the one in use; a complete folder that was never activated is taken as it is."""
    record = AccessFiles(settings).project(project)
    used = int(record.extract_version[1:]) if record is not None and record.extract_version else 0
    return ExtractVersion(f"v{used + 1}")


def send_canary(settings: Settings, payload: dict[str, Any]) -> None:
    """Run an auditor's test query through the project's socket, like any client."""
    auditor = User.objects.get(person_id=payload["person"])
    project = Project.objects.get(pk=payload["project"])
    token = issue_workspace_token(auditor, project, CANARY_WORKSPACE, _CANARY_TOKEN_LIFE)
    address = f"grpc+unix://{settings.run_dir / project.pk / 'gateway.sock'}"
    options = {"adbc.flight.sql.rpc.call_header.authorization": f"Bearer {token}"}
    with dbapi.connect(address, db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(payload["sql"])
        cursor.fetchall()


def destroy_expired_archives(settings: Settings) -> None:
    """Archives of displayed output whose time is over; called by the runner's loop. Never raises."""
    client = AuditClient(settings.audit_socket, "runner")
    try:
        if count := destroy_expired(settings, client.record, datetime.now(UTC).date()):
            log.info("shown-archives-destroyed", count=count)
    except (AuditUnavailable, OSError, ValueError) as error:
        log.error("shown-archives-not-destroyed", error=type(error).__name__)
    finally:
        client.close()


def stop_workspaces(settings: Settings, payload: dict[str, Any]) -> None:
    """Stop every running workspace of ``payload["person"]`` or of ``payload["project"]`` through the hub's API.

    What a closed project left on the disk is then destroyed (``enclave.destruction``).
    """
    project = payload.get("project")
    username = _username(settings, PersonId(payload["person"])) if "person" in payload else None
    transport = httpx.HTTPTransport(uds=str(settings.hub_socket), retries=3)
    headers = {"Authorization": f"token {hub_api_token(settings)}"}
    with httpx.Client(transport=transport, base_url="http://hub/hub/api", headers=headers, timeout=30) as hub:
        for user in hub.get("/users", params={"state": "active"}).raise_for_status().json():
            if username is not None and user["name"] != username:
                continue
            for server in user.get("servers") or {}:
                if project is None or server == project:
                    _stop_server(hub, user["name"], server)
    if project is not None and Project.objects.get(pk=project).project_state is ProjectState.CLOSED:
        _destroy_what_is_left(settings, ProjectId(project))


def _destroy_what_is_left(settings: Settings, project: ProjectId) -> None:
    """The hub has been asked; a workspace takes a few seconds to end, and nothing goes while one is there."""
    ends = time.monotonic() + _END_SECONDS
    while count_running(settings, project) and time.monotonic() < ends:
        time.sleep(0.1)
    if count := destroy_project_data(settings, project):
        log.info("project-data-destroyed", project=project, folders=count)


def stop_expired(settings: Settings) -> None:
    """Queue the end of the workspaces of every project whose permit has ended, once a day; called by the runner's
    loop."""
    today = datetime.now(UTC).date()
    for project in Project.objects.filter(state=ProjectState.ACTIVE, expires_on__lt=today):
        payload = {"project": project.pk}
        jobs = Job.objects.filter(kind=JobKind.STOP_WORKSPACES, payload=payload, created_at__date=today)
        if not jobs.exists():
            Job.objects.create(kind=JobKind.STOP_WORKSPACES, payload=payload)


def queue_destructions(settings: Settings) -> None:
    """Put the job of every closed project with something left back into the queue; called by the runner's loop."""
    waiting = (JobState.QUEUED, JobState.RUNNING)
    for name in Project.objects.filter(state=ProjectState.CLOSED).values_list("pk", flat=True):
        if not _may_have_remains(settings, ProjectId(name)):
            continue
        payload = {"project": name}
        jobs = Job.objects.filter(kind=JobKind.STOP_WORKSPACES, payload=payload)
        if jobs.filter(state__in=waiting).exists():
            continue
        last = jobs.order_by("-pk").first()
        if last is None:
            Job.objects.create(kind=JobKind.STOP_WORKSPACES, payload=payload)
        else:
            Job.objects.filter(pk=last.pk).update(state=JobState.QUEUED, not_before=datetime.now(UTC))


def _may_have_remains(settings: Settings, project: ProjectId) -> bool:
    """Also when it cannot be read: then the job says so where people look."""
    try:
        return bool(find_remains(settings, project))
    except OSError as error:
        log.error("remains-unreadable", project=project, kind=type(error).__name__)
        return True


def _username(settings: Settings, person: PersonId) -> Username:
    found = AccessFiles(settings).find_person(person)
    if found is None:
        raise JobError(f"Expected {person} among the people of this enclave, found nobody by that id.")
    return found.username


def _stop_server(hub: httpx.Client, username: str, server: str) -> None:
    answer = hub.delete(f"/users/{username}/servers/{server}")
    if answer.status_code not in (202, 204, 404):
        raise JobError(f"Expected the hub to stop the workspace, found HTTP {answer.status_code}. It is tried again.")
    log.info("workspace-stop-requested", server=server)
