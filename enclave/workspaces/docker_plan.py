"""Which engine a workspace runs in: the settings' choice, written into what its host is told."""

from __future__ import annotations

from dataclasses import replace

from enclave.settings import Settings
from enclave.workspaces.host_plan import DockerPlan, HostPlan
from enclave.workspaces.launch import Places

_MOST_PROCESSES = 4096
_EXTRA = 64
"""The host, and a keeper per container."""


def with_engine(settings: Settings, places: Places, plan: HostPlan) -> HostPlan:
    """The same plan for the engine chosen."""
    if settings.engine != "docker":
        return plan
    docker = DockerPlan(
        host=settings.docker_host,
        image=settings.docker_image,
        home=settings.root,
        workspace=places.workspace,
        folder=places.host,
        group=plan.group,
        memory_mb=plan.memory_mb,
        processes=(plan.kernel.processes or _MOST_PROCESSES) + _EXTRA,
    )
    return replace(plan, docker=docker)
