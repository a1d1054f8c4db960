"""A workspace host's plan, and an engine that starts nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from enclave.sandbox import Bind, SandboxProfile
from enclave.workspaces.host_plan import HostPlan


class UnsafeEngine:
    """Starts nothing; keeps what it was asked for."""

    def __init__(self) -> None:
        self.started: list[tuple[SandboxProfile, list[str]]] = []
        self.code: int | None = None
        self.signals: list[int] = []
        self.pid = 1

    def start(self, profile: SandboxProfile, argv: Sequence[str], log: IO[bytes] | int) -> UnsafeEngine:
        assert log == subprocess.DEVNULL or "enclave_jupyter" in argv
        self.started.append((profile, list(argv)))
        return self

    def poll(self) -> int | None:
        return self.code

    def signal(self, number: int) -> None:
        self.signals.append(number)

    def terminate(self) -> None:
        self.code = 0

    def kill(self) -> None:
        self.code = -9

    def wait(self, timeout: float) -> int:
        return self.code or 0


def plan(folder: Path) -> HostPlan:
    profile = SandboxProfile(binds=(Bind(Path("/usr"), Path("/opt")),), env={"A": "1"}, uid=234567, pass_fds=(7,))
    paths = {name: folder / name for name in ("ipc", "state", "log", "anchor", "home", "inside")}
    (folder / "ipc").mkdir(exist_ok=True)
    return HostPlan(
        server=profile,
        kernel=profile,
        uid=os.geteuid(),
        group="none",
        memory_mb=64,
        disk_mb=64,
        ends_at=0.5,
        **paths,
    )
