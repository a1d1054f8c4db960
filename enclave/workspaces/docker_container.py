"""From a sandbox profile to what Docker's API is told: the same promise as bubblewrap's arguments, word for word.

Pure. No network of any kind, no capability, no new privileges, our seccomp list, a read-only root, private ``/tmp`` and
``/dev/shm`` of a size, private IPC, an account of its own, limits on memory, processes and per process. ``/sys`` is
masked as a whole (bubblewrap has none), beside what Docker masks of ``/proc``. Process 1 is our keeper.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from enclave.sandbox import Bind, SandboxError, SandboxProfile
from enclave.seccomp import docker_profile
from enclave.settings import REPOSITORY

KEEPER = Path("/opt/enclave_keeper")
SOCKET_FOLDER = Path("/run/keeper")
PROGRAMS = (Path("/opt/python"), Path("/opt/image"))
KEEPER_SOURCE = REPOSITORY / "workspace_images" / "keeper"
_KEEPER_COMMAND = ("/opt/python/bin/python3.11", "-I", "-S", str(KEEPER / "keeper.py"))
_MASKED = ("acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi")
_READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")
_SHARES = 512
_EXTRA_PROCESSES = 16
"""The keeper, and threads of what starts."""


@dataclass(frozen=True)
class Place:
    """What the profile does not say: the image, who it is for, what is mounted beside the profile's binds."""

    image_id: str
    labels: dict[str, str]
    uid: int
    memory_mb: int
    parent: str
    """Control group above the container; empty: Docker's own."""
    binds: tuple[Bind, ...]


@cache
def _seccomp() -> str:
    return json.dumps(docker_profile())


def needed(profile: SandboxProfile, provides: Sequence[Path]) -> tuple[Bind, ...]:
    """What has to be mounted from the machine. What the image brings is not: it runs as it was built and compared.

    Raises SandboxError when neither has the programs.
    """
    kept = tuple(b for b in profile.binds if not any(b.target.is_relative_to(path) for path in provides))
    for folder in PROGRAMS:
        if folder not in provides and folder not in {bind.target for bind in kept}:
            raise SandboxError(
                f"Expected {folder} in the workspace image or on this machine, found it in neither. "
                "Build it: workspace_images/python/build"
            )
    return kept


def describe(profile: SandboxProfile, argv: Sequence[str], place: Place) -> dict[str, Any]:
    """The body of ``POST /containers/create``. Raises SandboxError for what this engine cannot promise."""
    is_other = profile.network or profile.network_namespace is not None or profile.files
    if is_other or profile.memory_mb is not None or not profile.seccomp:
        raise SandboxError("Expected a workspace's sandbox, found a profile that Docker is not used for.")
    return {
        "Image": place.image_id,
        "Entrypoint": list(_KEEPER_COMMAND),
        "Cmd": list(argv),
        "Env": [
            f"{name}={value}" for name, value in {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **profile.env}.items()
        ],
        "User": f"{place.uid}:{place.uid}",
        "Hostname": "workspace",
        "WorkingDir": str(profile.working_dir),
        "NetworkDisabled": True,
        "StopSignal": "SIGKILL",
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": place.labels,
        "HostConfig": _host_config(profile, place),
    }


def _host_config(profile: SandboxProfile, place: Place) -> dict[str, Any]:
    temporary = f"rw,nosuid,nodev,exec,mode=1777,size={profile.tmp_mb}m"
    return {
        "AutoRemove": True,
        "NetworkMode": "none",
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "CgroupParent": place.parent,
        "CapDrop": ["ALL"],
        "Privileged": False,
        "SecurityOpt": ["no-new-privileges", f"seccomp={_seccomp()}"],
        "ReadonlyRootfs": True,
        "MaskedPaths": ["/sys", "/proc/interrupts", *(f"/proc/{name}" for name in _MASKED)],
        "ReadonlyPaths": [f"/proc/{name}" for name in _READ_ONLY],
        "Tmpfs": {"/tmp": temporary},  # noqa: S108  (the container's own)
        "ShmSize": profile.tmp_mb << 20,
        "Mounts": [_mount(bind) for bind in (*profile.binds, *place.binds)],
        "LogConfig": {"Type": "none"},
        "RestartPolicy": {"Name": "no"},
        "Memory": place.memory_mb << 20,
        "MemorySwap": place.memory_mb << 20,
        "CpuShares": _SHARES,
        "PidsLimit": (profile.processes or 4096) + _EXTRA_PROCESSES,
        "Ulimits": _ulimits(profile),
    }


def _mount(bind: Bind) -> dict[str, Any]:
    return {
        "Type": "bind",
        "Source": str(bind.source),
        "Target": str(bind.target),
        "ReadOnly": not bind.writable,
        "BindOptions": {"Propagation": "rprivate"},
    }


def _ulimits(profile: SandboxProfile) -> list[dict[str, Any]]:
    limits = {
        "core": 0,
        "nofile": profile.open_files,
        "nproc": profile.processes,
        "data": profile.data_mb and profile.data_mb << 20,
        "fsize": profile.files_mb and profile.files_mb << 20,
    }
    return [{"Name": name, "Soft": most, "Hard": most} for name, most in limits.items() if most is not None]
