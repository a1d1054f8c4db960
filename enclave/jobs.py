"""What the runner carries out for the enclave itself: building extracts and stopping workspaces.

Each function may be repeated after a crash. Releases are the egress review's (``egress_review.actions.release``).
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import structlog
from adbc_driver_flightsql import dbapi

from audit.client import AuditClient, AuditUnavailable
from enclave.access import AccessFiles
from enclave.catalogue import find_manifest
from enclave.domain.ids import ExtractVersion, PersonId, ProjectId, Username
from enclave.domain.projects import ProjectState
from enclave.extracts.launch import run_builder
from enclave.keys import hub_api_token
from enclave.portal.actions.projects import activate_project, fail_project
from enclave.portal.actions.workspaces import issue_workspace_token
from enclave.portal.models import Project, User
from enclave.settings import Settings
from enclave.shown.destroying import destroy_expired
from enclave.tokens import CANARY_WORKSPACE
from enclave.workspaces.shared_folder import SharedFolders

log = structlog.get_logger()
_CANARY_TOKEN_LIFE = timedelta(minutes=2)


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
    """Stop every running workspace of ``payload["person"]`` or of ``payload["project"]`` through the hub's API."""
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
        _destroy_shared_folder(settings, ProjectId(project))


def find_undestroyed(settings: Settings) -> list[ProjectId]:
    """Closed projects whose shared folder is still there: the hub or the audit log was away when it was to go."""
    there = [folder.name for folder in settings.shared_dir.glob("[!.]*") if folder.is_dir()]
    closed = Project.objects.filter(pk__in=there, state=ProjectState.CLOSED)
    return [ProjectId(name) for name in closed.values_list("pk", flat=True)]


def _destroy_shared_folder(settings: Settings, project: ProjectId) -> None:
    """What members shared ends with the project; nobody has a mount of it any more once the workspaces have ended."""
    client = AuditClient(settings.audit_socket, "runner")
    try:
        if SharedFolders(settings, client.record).destroy(project):
            log.info("shared-folder-destroyed", project=project)
    finally:
        client.close()


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
