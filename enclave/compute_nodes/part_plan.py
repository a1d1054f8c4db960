"""From a request of home to the plan of a part: the walls of a workspace's kernel at home, with this node's image.

There is no home, no shared folder, no package set of the project and nothing that lasts: ``/run/enclave`` has the
gateway's socket and the workspace's token, both in this node's memory. Each part has an account number of its own.
"""

from __future__ import annotations

import secrets
import time

from enclave.compute_nodes.machines import Node
from enclave.compute_nodes.requests import Start
from enclave.domain.ids import WorkspaceId
from enclave.settings import Settings
from enclave.workspaces import launch
from enclave.workspaces.environments import kernel_environment
from enclave.workspaces.host_plan import HostPlan

_FIRST_UID = 200_000
_FOREVER_SECONDS = 366 * 86_400.0


def places_of(node: Node, start: Start) -> launch.Places:
    """Below the node's folder, which is in memory; another one each time: a part that outlives a node that was killed
    takes its own folder away, and not that of the one in its place."""
    return launch.Places(node.folder, WorkspaceId(f"{start.cluster}-{secrets.token_hex(4)}"))


def plan_part(settings: Settings, node: Node, start: Start, number: int, places: launch.Places) -> HostPlan:
    """What ``part_process`` is told. ``number``: one that no other part has. Raises ImageMissingError."""
    memory_mb = min(start.memory_mb, node.memory_mb or start.memory_mb)
    kernel = launch.profile(
        settings,
        places,
        places.inside,
        kernel_environment(start.username),
        uid=_FIRST_UID + number,
        memory_mb=memory_mb,
        processes=start.processes,
        disk_mb=start.disk_mb,
    )
    return HostPlan(
        server=kernel,
        kernel=kernel,
        ipc=places.ipc,
        uid=_FIRST_UID + number,
        state=places.state,
        log=places.server_log,
        anchor=places.state,
        home=places.inside,
        inside=places.inside,
        group=group_of(start.cluster),
        memory_mb=memory_mb,
        disk_mb=start.disk_mb,
        ends_at=time.time() + _FOREVER_SECONDS,
        clusters=node.workers,
    )


def group_of(cluster: str) -> str:
    """Name of a part's control group: a workspace has one cluster."""
    return f"enclave-part-{cluster}"
