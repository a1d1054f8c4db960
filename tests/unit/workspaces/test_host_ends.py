"""When a workspace host ends by itself, what ends with it, and how one is found again."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from host_doubles import UnsafeEngine, plan  # type: ignore[import-not-found]

from enclave.workspaces.host import Host
from enclave.workspaces.host_plan import HostPlan
from enclave.workspaces.host_process import HostIdentity, HostProcess


def pidfds() -> int:
    """How many this process has open."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own
            found += str(link.readlink()).endswith("[pidfd]")
    return found


def reasons(folder: Path) -> dict[str, HostPlan]:
    """One plan per reason for a host to end by itself, and one without any."""
    given = plan(folder)
    given.state.touch()
    os.utime(given.state, (0, 0))  # whatever the clock of the day says
    ends_at = time.time() + 3600
    free = folder / "free.lock"
    free.touch()
    return {
        "none": replace(given, ends_at=ends_at),
        "hours": replace(given, ends_at=time.time() - 1),
        "enclave": replace(given, ends_at=ends_at, anchor=free),
        "folder": replace(given, ends_at=ends_at, state=folder / "gone"),
        "hub": replace(given, ends_at=ends_at, orphan_seconds=0.0),
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


def test_a_host_whose_state_cannot_be_written_does_not_live_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could find it again: it ends at once, and leaves no descriptor in the hub."""
    started: list[subprocess.Popen[bytes]] = []

    class Kept(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    def write(path: Path, content: bytes, *, mode: int) -> None:
        if started:
            raise OSError("No space left on device")

    before = pidfds()
    monkeypatch.setattr(subprocess, "Popen", Kept)
    monkeypatch.setattr("enclave.workspaces.host_process.write_atomically", write)
    with pytest.raises(OSError, match="No space left"):
        HostProcess.start(plan(tmp_path), 0)
    (child,) = started
    assert child.returncode is not None
    assert pidfds() == before
