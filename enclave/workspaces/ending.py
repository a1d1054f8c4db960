"""What is left of a workspace that has ended: files, containers, control groups. Its use is counted before they go.

Raises nothing that could keep a workspace from being reported as ended: what could not be done is in the hub's log.
"""

from __future__ import annotations

import logging

from enclave.domain.ids import ProjectId, WorkspaceId
from enclave.metering.ledger import LedgerUnreadableError
from enclave.metering.watch import settle
from enclave.sandbox import SandboxError
from enclave.settings import Settings
from enclave.workspaces import cgroups
from enclave.workspaces.engines import clear_away
from enclave.workspaces.launch import Places, control_group

_log = logging.getLogger("jupyterhub.workspaces")


def clear(settings: Settings, project: ProjectId, workspace: WorkspaceId) -> None:
    """Take everything away; blocks for seconds when a killed host has left processes."""
    Places(settings.root, workspace).remove()
    try:
        clear_away(settings, workspace)
    except SandboxError as error:
        _log.warning("workspace %s has ended, but: %s", workspace, error)
    name = control_group(workspace)
    try:
        settle(settings.metering_dir, project, workspace, cgroups.groups_of(name))
    except (OSError, ValueError, LedgerUnreadableError) as error:
        _log.warning("workspace %s: its last use is not counted: %s", workspace, error)
    cgroups.remove(name)
    cgroups.remove_above(name)
