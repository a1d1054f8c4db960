"""What a workspace host is told when it starts, as JSON on its standard input. It holds no secret."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from enclave.sandbox import Bind, SandboxProfile

INSIDE_IPC = Path("/run/kernels")
"""Where server and kernels see the folders of their ZeroMQ sockets; a kernel sees its own alone."""

INSIDE_HOME = Path("/home/researcher")
INSIDE_SHARED = INSIDE_HOME / "shared"
"""The folder that the project's members share."""

SERVER = ("/opt/image/bin/python3.11", "-m", "enclave_jupyter")


@dataclass(frozen=True)
class DockerPlan:
    """Which daemon and image, and how this workspace's containers are told from others."""

    host: str
    image: str
    home: Path
    """The enclave's: label of all its containers."""
    workspace: str
    folder: Path
    """Root's own; sockets for the moment of a start."""
    group: str
    memory_mb: int
    processes: int


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
    other_kernels: dict[str, SandboxProfile] = field(default_factory=dict)
    """By the name of their image; ``kernel`` is Python's."""
    command: tuple[str, ...] = SERVER
    """What runs in the server's sandbox; another one only in a self-test."""
    docker: DockerPlan | None = None
    """None: bubblewrap."""
    clusters: int = 0
    """Most workers of Dask clusters at once; 0: no clusters, and no door to ask for them."""
    language: str = "en"
    """Of the sentences for the researcher."""
    usage: Path | None = None
    """File in which the host writes down what the workspace uses; None: nowhere."""

    def to_json(self) -> str:
        """For the other side of a pipe."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str | bytes) -> HostPlan:
        """Raises KeyError, TypeError or ValueError for anything but ``to_json``'s own words."""
        given: dict[str, Any] = json.loads(text)
        paths = {name: Path(given[name]) for name in ("ipc", "state", "log", "anchor", "home", "inside")}
        paths |= {"usage": Path(given["usage"])} if given["usage"] else {}
        profiles = {name: _profile(given[name]) for name in ("server", "kernel")}
        others = {name: _profile(profile) for name, profile in given["other_kernels"].items()}
        docker = given.get("docker")
        if docker is not None:
            docker = DockerPlan(**{**docker, "home": Path(docker["home"]), "folder": Path(docker["folder"])})
        launcher, command = tuple(given["launcher"]), tuple(given["command"])
        own = {"shared": Path(given["shared"]) if given["shared"] else None, "launcher": launcher, "command": command}
        return cls(**{**given, **paths, **profiles, **own, "docker": docker, "other_kernels": others})


def _profile(given: dict[str, Any]) -> SandboxProfile:
    binds = tuple(Bind(Path(b["source"]), Path(b["target"]), b["writable"]) for b in given["binds"])
    hosts = tuple((name, address) for name, address in given["hosts"])
    own = {
        "hosts": hosts,
        "binds": binds,
        "pass_fds": tuple(given["pass_fds"]),
        "working_dir": Path(given["working_dir"]),
    }
    return SandboxProfile(**{**given, **own})
