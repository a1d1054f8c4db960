"""The workspace host: what a Jupyter server may ask of it (the server is not trusted), and when it ends by itself."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from enclave.sandbox import Bind, SandboxProfile
from enclave.workspaces.host import Host
from enclave.workspaces.host_plan import INSIDE_IPC, HostPlan
from enclave.workspaces.host_process import HostIdentity, HostProcess
from enclave.workspaces.kernels import MOST_KERNELS, Kernels

ID = "01234567-89ab-cdef-0123-456789abcdef"
START = {"do": "start", "kernel": ID, "argv": ["python", "-m", "kernel"], "cwd": "/home/researcher"}


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


@pytest.fixture
def engine() -> UnsafeEngine:
    return UnsafeEngine()


@pytest.fixture
def kernels(tmp_path: Path, engine: UnsafeEngine) -> Kernels:
    return Kernels(plan(tmp_path), engine)


def test_a_plan_survives_its_way_through_the_pipe(tmp_path: Path) -> None:
    assert HostPlan.from_json(plan(tmp_path).to_json()) == plan(tmp_path)


def test_a_kernel_gets_the_plans_profile_and_its_own_folder_only(
    kernels: Kernels, engine: UnsafeEngine, tmp_path: Path
) -> None:
    assert kernels.answer({"do": "prepare", "kernel": ID}) == {}
    assert "problem" not in kernels.answer({**START, "env": {"LD_PRELOAD": "/home/researcher/x.so"}})
    profile, argv = engine.started[0]
    assert profile.env == {"A": "1"}
    assert profile.binds[1:] == (Bind(tmp_path / "ipc" / ID, INSIDE_IPC / ID, writable=True),)
    assert argv == ["/usr/bin/env", "--chdir=/home/researcher", "--", "python", "-m", "kernel"]


def test_the_server_chooses_a_name_and_the_plan_what_is_behind_it(engine: UnsafeEngine, tmp_path: Path) -> None:
    made = plan(tmp_path)
    r = replace(made.kernel, env={"R": "1"}, binds=(Bind(tmp_path, Path("/usr")),))
    with_r = replace(made, other_kernels={"r": r})
    assert HostPlan.from_json(with_r.to_json()) == with_r
    kernels = Kernels(with_r, engine)
    for image in ("julia", "", None, ["r"], "../r"):
        kernels.answer({"do": "prepare", "kernel": ID})
        assert "python, r" in kernels.answer({**START, "image": image})["problem"]
    assert engine.started == []
    assert "problem" not in kernels.answer({**START, "image": "r", "binds": []})
    profile, _ = engine.started[0]
    assert profile.env == r.env and profile.binds[:1] == r.binds and len(profile.binds) == 2


def test_a_kernel_in_the_shared_folder_reads_no_start_file_of_a_colleague(tmp_path: Path, engine: UnsafeEngine) -> None:
    kernels = Kernels(replace(plan(tmp_path), launcher=("confine",)), engine)
    assert kernels.answer({"do": "prepare", "kernel": ID}) == {}
    assert "problem" not in kernels.answer({**START, "cwd": "/home/researcher/other/../shared/b"})
    home = "/home/researcher"
    own = [f"R_PROFILE_USER={home}/.Rprofile", f"R_ENVIRON_USER={home}/.Renviron"]
    command = ["confine", "/usr/bin/env", f"--chdir={home}/other/../shared/b", "--", *own, "python", "-m", "kernel"]
    assert engine.started[0][1] == command


def test_a_folder_is_made_anew_without_following_what_was_planted(kernels: Kernels, tmp_path: Path) -> None:
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "kept").touch()
    folder = tmp_path / "ipc" / ID
    folder.mkdir()
    (folder / "kernel.json").symlink_to(treasure / "kept")
    (folder / "more").symlink_to(treasure)
    assert kernels.answer({"do": "prepare", "kernel": ID}) == {}
    assert list(folder.iterdir()) == [] and (treasure / "kept").exists()


def test_a_link_in_a_folders_place_is_not_mounted(kernels: Kernels, engine: UnsafeEngine, tmp_path: Path) -> None:
    """Where all is one account (no root), the server could plant one; elsewhere the folder above is root's."""
    assert kernels.answer({"do": "prepare", "kernel": ID}) == {}
    (tmp_path / "ipc" / ID).rmdir()
    (tmp_path / "ipc" / ID).symlink_to(tmp_path)
    assert "prepared" in kernels.answer(START)["problem"]
    assert engine.started == []


REFUSED: dict[str, Any] = {
    "no object": ["start"],
    "nothing": {},
    "unknown verb": {"do": "mount", "kernel": ID},
    "an id that climbs": {"do": "prepare", "kernel": "../../../../etc"},
    "an id with a newline": {"do": "prepare", "kernel": ID + "\n"},
    "no command": {**START, "argv": []},
    "a command that is text": {**START, "argv": "python"},
    "a word that is no text": {**START, "argv": ["python", 1]},
    "a word with a zero": {**START, "argv": ["python\0"]},
    "a long word": {**START, "argv": ["x" * 5000]},
    "many words": {**START, "argv": ["x"] * 65},
    "a relative folder": {**START, "cwd": "home"},
    "no folder": {**START, "cwd": None},
    "a signal that is none": {"do": "signal", "kernel": ID, "number": 99},
    "a signal as text": {"do": "signal", "kernel": ID, "number": "9"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused_with_a_sentence(name: str, kernels: Kernels, engine: UnsafeEngine) -> None:
    kernels.answer({"do": "prepare", "kernel": ID})
    assert kernels.answer(REFUSED[name])["problem"].startswith("Expected ")
    assert engine.started == []


def test_a_running_kernel_is_neither_prepared_nor_started_nor_removed(kernels: Kernels) -> None:
    kernels.answer({"do": "prepare", "kernel": ID})
    kernels.answer(START)
    for what in ("prepare", "remove"):
        assert "running" in kernels.answer({"do": what, "kernel": ID})["problem"]
    assert "problem" in kernels.answer(START)
    assert kernels.answer({"do": "poll", "kernel": ID}) == {"code": None}


def test_the_host_writes_the_connection_file_where_no_link_leads(kernels: Kernels, tmp_path: Path) -> None:
    connect = {"do": "connect", "kernel": ID, "content": '{"key": "k"}'}
    assert "problem" in kernels.answer(connect), "not prepared"
    kernels.answer({"do": "prepare", "kernel": ID})
    assert kernels.answer(connect) == {}
    file = tmp_path / "ipc" / ID / "kernel.json"
    assert file.read_text() == '{"key": "k"}' and file.stat().st_mode & 0o777 == 0o600
    assert "problem" in kernels.answer(connect), "once for each start"
    for content in (None, 5, "x" * 20_000):
        assert "connection file" in kernels.answer({**connect, "content": content})["problem"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    file.unlink()
    file.parent.rmdir()
    file.parent.symlink_to(elsewhere)
    assert "problem" in kernels.answer(connect) and list(elsewhere.iterdir()) == []
    assert "problem" in kernels.answer(START), "nor is it mounted"


def test_an_unprepared_kernel_is_not_started(kernels: Kernels) -> None:
    assert "prepared" in kernels.answer(START)["problem"]


def test_there_is_a_most(kernels: Kernels) -> None:
    for n in range(MOST_KERNELS):
        kernel = f"{n:08x}{ID[8:]}"
        kernels.answer({"do": "prepare", "kernel": kernel})
        assert "problem" not in kernels.answer({**START, "kernel": kernel})
    assert "Shut one down" in kernels.answer({"do": "prepare", "kernel": ID})["problem"]


def reasons(folder: Path) -> dict[str, HostPlan]:
    """One plan per reason for a host to end by itself, and one without any."""
    given = plan(folder)
    given.state.touch()
    ends_at = time.time() + 3600
    free, old = folder / "free.lock", folder / "old.state"
    free.touch()
    old.touch()
    os.utime(old, (0, 0))
    return {
        "none": replace(given, ends_at=ends_at),
        "hours": replace(given, ends_at=time.time() - 1),
        "enclave": replace(given, ends_at=ends_at, anchor=free),
        "folder": replace(given, ends_at=ends_at, state=folder / "gone"),
        "hub": replace(given, ends_at=ends_at, state=old),
    }


@pytest.mark.parametrize("why", ["hours", "enclave", "folder", "hub"])
def test_a_host_ends_by_itself(why: str, tmp_path: Path, engine: UnsafeEngine) -> None:
    assert run_host(reasons(tmp_path)[why], engine, turns=10) < 10
    assert engine.code == -9


def test_a_host_goes_on_while_there_is_no_reason(tmp_path: Path, engine: UnsafeEngine) -> None:
    assert run_host(reasons(tmp_path)["none"], engine, turns=10) == 10


def test_a_host_goes_on_while_the_supervisor_holds_its_lock(tmp_path: Path, engine: UnsafeEngine) -> None:
    with (tmp_path / "free.lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert run_host(reasons(tmp_path)["enclave"], engine, turns=10) == 10


def run_host(given: HostPlan, engine: UnsafeEngine, turns: int) -> int:
    """How many turns it took to end; its pauses end at once because a signal seems to have come."""
    count = 0
    wake, waking = socket.socketpair()

    def should_stop() -> bool:
        nonlocal count
        waking.send(b"x")
        count += 1
        return count >= turns

    with wake, waking:
        UnsafeHost(given, engine).keep(should_stop, wake)
    return count


class UnsafeHost(Host):
    """Without control group and disk watch: it must not move the test's own process."""

    def keep(self, should_stop: Callable[[], bool], wake: socket.socket) -> int:
        return self._keep(should_stop, wake)


def test_a_number_that_another_process_has_now_is_not_the_host() -> None:
    own = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    found = HostProcess.find(HostIdentity(os.getpid(), own))
    assert found is not None and found.is_running()
    found.close()
    assert HostProcess.find(HostIdentity(os.getpid(), own + 1)) is None
    assert HostProcess.find(HostIdentity(2**22 + 1, own)) is None


def test_no_kernel_runs_while_they_are_barred(kernels: Kernels, engine: UnsafeEngine) -> None:
    kernels.answer({"do": "prepare", "kernel": ID})
    assert "problem" not in kernels.answer(START)
    kernels.bar("Too many files.")
    assert engine.code == -9 and kernels.is_barred
    kernels.answer({"do": "prepare", "kernel": ID})
    assert kernels.answer(START)["problem"] == "Too many files."
    kernels.bar("")
    assert "problem" not in kernels.answer(START)
