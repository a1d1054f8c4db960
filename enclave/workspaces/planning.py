"""What the host of a workspace that is about to start is told: its sandboxes, packages, terminals, engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from enclave.domain.ids import ProjectId, Username
from enclave.domain.workspaces import WorkspaceGrant
from enclave.settings import Settings
from enclave.workspaces import launch
from enclave.workspaces.added_packages import with_packages
from enclave.workspaces.docker_plan import with_engine
from enclave.workspaces.environments import kernel_environment, server_environment
from enclave.workspaces.host_plan import HostPlan
from enclave.workspaces.shared_mount import SharedMount
from enclave.workspaces.terminals import with_terminals


@dataclass(frozen=True)
class Opening:
    """The portal's grant, and what has been prepared for it on this machine."""

    grant: WorkspaceGrant
    project: ProjectId
    username: Username
    base_url: str
    places: launch.Places
    home: Path
    uid: int
    shared: SharedMount | None
    ends_at: float
    usage: Path | None = None
    """The ledger of what it uses; None: nobody counts that."""
    language: str = "en"
    """What sentences to the researcher are in."""


def plan_host(settings: Settings, opening: Opening, listen_fd: int) -> HostPlan:
    """The plan. Raises ImageMissingError, PackagesMissingError."""
    grant, places = opening.grant, opening.places
    kernel = launch.profile(
        settings,
        places,
        opening.home,
        kernel_environment(opening.username, clusters=settings.cluster_workers > 0),
        uid=opening.uid,
        memory_mb=grant.memory_mb,
        processes=grant.processes,
        shared=opening.shared,
        disk_mb=grant.disk_mb,
    )
    plan = launch.plan(
        settings,
        places,
        opening.home,
        kernel,
        server_environment(opening.username, opening.base_url, listen_fd),
        memory_mb=grant.memory_mb,
        disk_mb=grant.disk_mb,
        ends_at=opening.ends_at,
        usage=opening.usage,
        shared=opening.shared,
    )
    plan = with_terminals(with_packages(plan, settings, opening.project, grant.packages), grant.terminals)
    return replace(with_engine(settings, places, plan), language=opening.language)
