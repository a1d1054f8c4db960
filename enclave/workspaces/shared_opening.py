"""The shared folder of a project as the hub opens it: one register per hub, openings and a full folder on record.

A workspace opens without it when it cannot be had; the hub's log and the panel say why. A start does not wait for an
audit log that is away: what could not be recorded is recorded at a later look.
"""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

from audit.client import AuditClient, AuditUnavailable
from audit.event import AuditEvent
from enclave.domain.ids import ProjectId, WorkspaceId
from enclave.domain.workspaces import WorkspaceGrant
from enclave.settings import get_settings
from enclave.workspaces.launch import HOME, Places
from enclave.workspaces.shared_folder import SharedFolderError, SharedFolders
from enclave.workspaces.shared_mount import HomeInUseError, SharedMount, make_mount_point
from enclave.workspaces.shared_sentences import Missing, say_missing

_RECORD_SECONDS = 2.0
_log = logging.getLogger("jupyterhub.workspaces")


@cache
def shared_folders() -> SharedFolders:
    """One for all spawners of this hub."""
    settings = get_settings()
    client = AuditClient(settings.audit_socket, "hub")

    def record(event: AuditEvent) -> None:
        if not client.is_reachable():  # a workspace's start does not wait for a log that is away
            raise AuditUnavailable("Expected the audit log, found nobody at its socket.")
        client.record(event, timeout=_RECORD_SECONDS)

    return SharedFolders(settings, record)


def note_fill(project: ProjectId, workspace: WorkspaceId) -> None:
    """Record that the project's folder is full; what cannot be recorded now is at a later look."""
    try:
        shared_folders().note_fill(project)
    except (AuditUnavailable, OSError) as error:
        _log.warning("workspace %s: its shared folder's fill is not on record yet: %s", workspace, error)


def open_shared(grant: WorkspaceGrant, project: ProjectId, home: Path, language: str) -> SharedMount | None:
    """The members' folder; None when the permit gives none, or when it cannot be had (``shared.json`` says why)."""
    if grant.shared_mb == 0:
        return None
    try:
        mount = shared_folders().open(project, grant.shared_mb)
        make_mount_point(home, HOME)
    except (SharedFolderError, HomeInUseError) as error:
        why = error.why if isinstance(error, SharedFolderError) else Missing.IN_USE
        _log.warning("workspace %s has no shared folder (%s): %s", grant.workspace, why.value, error)
        say_missing(Places(get_settings().root, grant.workspace).inside, why, language)
        return None
    return mount
