"""What a workspace host is told when it starts, as JSON on its standard input. It holds no secret."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from enclave.sandbox import Bind, SandboxProfile

INSIDE_IPC = Path("/run/kernels")
"""Where server and kernels see the folders of their ZeroMQ sockets; a kernel sees its own alone."""

INSIDE_SHARED = Path("/home/researcher/shared")
"""The folder that the project's members share."""


@dataclass(frozen=True)
class HostPlan:
    """Two sandboxes to start, and when to end."""

    server: SandboxProfile
    kernel: SandboxProfile
    ipc: Path
    """Folder of one folder per kernel."""
    uid: int
    """Owner of those folders, when we are root."""
    state: Path
    """The host's own file; when it is gone or nobody has touched it for ``orphan_seconds``, the host ends."""
    log: Path
    anchor: Path
    """The supervisor's lock file; when it exists and nobody holds it, the enclave has stopped."""
    home: Path
    """The researcher's home on the host."""
    inside: Path
    """What the sandboxes see as ``/run/enclave``."""
    group: str
    """Name of the workspace's control group, where one can be made."""
    memory_mb: int
    """For all processes of the workspace together, where a control group can be made."""
    disk_mb: int
    """For the home."""
    ends_at: float
    """Seconds since the epoch; the end of the permit's ``workspace.hours``."""
    shared: Path | None = None
    """The members' shared folder, where no file system of its own keeps its quota."""
    shared_mb: int = 0
    launcher: tuple[str, ...] = ()
    """Goes before the command of server and kernels, in the sandbox."""
    orphan_seconds: float = 900.0

    def to_json(self) -> str:
        """For the other side of a pipe."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str | bytes) -> HostPlan:
        """Raises KeyError, TypeError or ValueError for anything but ``to_json``'s own words."""
        given: dict[str, Any] = json.loads(text)
        paths = {name: Path(given[name]) for name in ("ipc", "state", "log", "anchor", "home", "inside")}
        profiles = {name: _profile(given[name]) for name in ("server", "kernel")}
        own = {"shared": Path(given["shared"]) if given["shared"] else None, "launcher": tuple(given["launcher"])}
        return cls(**{**given, **paths, **profiles, **own})


def _profile(given: dict[str, Any]) -> SandboxProfile:
    binds = tuple(Bind(Path(b["source"]), Path(b["target"]), b["writable"]) for b in given["binds"])
    own = {"binds": binds, "pass_fds": tuple(given["pass_fds"]), "working_dir": Path(given["working_dir"])}
    return SandboxProfile(**{**given, **own})
