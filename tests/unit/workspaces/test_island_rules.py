"""What a cluster's member is started with, and where there are none; how it holds is tested with real sandboxes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from enclave.sandbox import Bind, SandboxError, SandboxProfile, popen
from enclave.workspaces import islands as module
from enclave.workspaces.docker_container import Place, describe
from enclave.workspaces.host_plan import DockerPlan, HostPlan
from enclave.workspaces.islands import Islands

START = {"do": "start", "cluster": "c" * 32, "member": "worker-1", "command": ["work"]}
READ_ONLY = (Bind(Path("/srv/image"), Path("/opt/image")), Bind(Path("/srv/in"), Path("/run/enclave")))


class UnsafeEngine:
    """Starts nothing; keeps what it was asked for."""

    pid = 1

    def __init__(self) -> None:
        self.started: list[tuple[SandboxProfile, list[str]]] = []
        self.code: int | None = None

    def start(self, profile: SandboxProfile, argv: Sequence[str], log: IO[bytes] | int) -> UnsafeEngine:
        assert log == subprocess.DEVNULL
        self.started.append((profile, list(argv)))
        return self

    def poll(self) -> int | None:
        return self.code

    def kill(self) -> None:
        self.code = -9

    def wait(self, timeout: float) -> int:
        return self.code or 0


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostPlan:
    """Of a root's hub, with two workers; the island's relay is nobody."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(module, "start_relay", lambda engine, kernel, folder, between: UnsafeEngine())
    monkeypatch.setattr(module, "open_network", lambda pid: os.open("/proc/self/ns/net", os.O_RDONLY))
    home = Bind(tmp_path, Path("/home/researcher"), writable=True)
    colleagues = Bind(tmp_path, Path("/home/researcher/shared"))
    elsewhere = Bind(tmp_path, Path("/srv/writable"), writable=True)
    env = {"PATH": "/opt/image/bin", "HOME": "/home/researcher", "ENCLAVE_DASK_GATEWAY": "unix:/run/enclave/dask.sock"}
    kernel = SandboxProfile(binds=(*READ_ONLY, home, colleagues, elsewhere), env=env, uid=234567, processes=5)
    paths: dict[str, Any] = {name: tmp_path / name for name in ("ipc", "state", "log", "anchor", "home", "inside")}
    return HostPlan(kernel, kernel, uid=0, group="none", memory_mb=64, disk_mb=64, ends_at=0.5, clusters=2, **paths)


def test_a_member_gets_the_kernels_walls_and_nothing_that_lasts(plan: HostPlan) -> None:
    engine = UnsafeEngine()
    asked = {**START, "env": {"DASK_GATEWAY_API_TOKEN": "t"}, "files": {"dask.pem": "key"}}
    assert Islands(plan, engine).answer(asked) == {}
    ((profile, argv),) = engine.started
    assert argv == ["work"] and profile.network_namespace is not None
    assert profile == replace(
        plan.kernel,
        binds=READ_ONLY,
        env={"PATH": "/opt/image/bin", "HOME": "/tmp", "DASK_GATEWAY_API_TOKEN": "t"},
        files={"/run/dask/dask.pem": "key"},
        working_dir=Path("/tmp"),
        network_namespace=profile.network_namespace,
    )


def test_places_are_counted_over_all_clusters_and_free_again(plan: HostPlan) -> None:
    islands = Islands(plan, UnsafeEngine())
    for number in range(module.MOST_ISLANDS):
        assert islands.answer({**START, "cluster": f"{number:032x}", "member": "scheduler"}) == {}
    assert f"{module.MOST_ISLANDS} clusters run" in islands.answer({**START, "member": "scheduler"})["problem"]
    one, other = ({"cluster": f"{number:032x}"} for number in (1, 2))
    assert islands.answer({**START, **one}) == {} == islands.answer({**START, **other})
    assert "2 workers run" in islands.answer({**START, **one, "member": "worker-2"})["problem"]
    assert islands.answer({"do": "stop", **other}) == {}
    assert islands.answer({**START, **one, "member": "worker-2"}) == {}
    islands.end_all()
    assert islands.answer({"do": "poll"}) == {"clusters": {}, "packages": False}


def test_where_an_island_cannot_be_made_it_is_told(plan: HostPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = UnsafeEngine()
    docker = DockerPlan("unix:///d", "image", Path("/"), "w-0123456789ab", Path("/"), "none", 64, 64)
    said = [Islands(replace(plan, docker=docker), engine).answer(START)["problem"]]
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    said.append(Islands(plan, engine).answer(START)["problem"])
    assert all("the engine bubblewrap and a hub that runs as root" in sentence for sentence in said)
    assert engine.started == []


@pytest.mark.parametrize("change", [{"network_namespace": 0}, {"files": {"/run/dask/dask.pem": "key"}}])
def test_the_other_engine_refuses_what_it_cannot_keep(change: dict[str, Any]) -> None:
    place = Place.__new__(Place)
    with pytest.raises(SandboxError, match="Docker is not used for"):
        describe(SandboxProfile(binds=(), **change), ["true"], place)


def test_one_network_at_a_time() -> None:
    with pytest.raises(SandboxError, match="one network"):
        popen(SandboxProfile(binds=(), network=True, network_namespace=0), ["true"])
