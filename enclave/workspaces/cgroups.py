"""One memory, CPU and process limit for a whole workspace, by control groups where this account may make them.

A group per workspace. Version 1: below the group this process is in, per controller. Version 2: beside it, when it is
called ``enclave`` (systemd's ``Delegate=yes`` with ``infra/systemd/in-subgroup``: a group that hands controllers on may
hold no process, and other people's groups are left alone). Where no group can be made, limits per process
(``enclave.sandbox``) are all that holds; ``enclave doctor`` says which.
Non-goal: making the parent usable; that is the machine's administration.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_CONTROLLERS = ("memory", "pids", "cpu", "cpuacct")
_SUBGROUP = "enclave"
_SHARES, _WEIGHT = 512, 50
"""Half of what a process of the enclave gets when both want the processor."""


def own_groups() -> dict[str, Path]:
    """Controller → the group in which new ones are made; ``""`` is version 2."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            folder = (_MOUNT / name if name else _MOUNT) / path.lstrip("/")
            if name in _CONTROLLERS and folder.is_dir():
                found[name] = folder
            elif not name and folder.name == _SUBGROUP and (folder.parent / "cgroup.controllers").exists():
                found[""] = folder.parent
    return found


def limits(controller: str, memory_mb: int, processes: int) -> dict[str, str]:
    """File → value of one version 1 controller, or of version 2 (``""``)."""
    table = {
        "memory": {"memory.limit_in_bytes": str(memory_mb << 20)},
        "pids": {"pids.max": str(processes)},
        "cpu": {"cpu.shares": str(_SHARES)},
        "cpuacct": {},  # limits nothing: it counts
        "": {"memory.max": str(memory_mb << 20), "pids.max": str(processes), "cpu.weight": str(_WEIGHT)},
    }
    return table[controller]


def enter(name: str, memory_mb: int, processes: int) -> list[Path]:
    """Put this process and all it starts into a group of its own; the groups that could be made and hold."""
    made = []
    for controller, parent in own_groups().items():
        folder = parent / name
        try:
            if not controller:
                (parent / "cgroup.subtree_control").write_text("+memory +pids +cpu")
            folder.mkdir(exist_ok=True)
            for file, value in limits(controller, memory_mb, processes).items():
                (folder / file).write_text(value)
            (folder / "cgroup.procs").write_text(str(os.getpid()))
        except OSError:
            with contextlib.suppress(OSError):
                folder.rmdir()
            continue
        made.append(folder)
    return made


def leave(groups: list[Path], seconds: float = 5.0) -> None:
    """Go back to the parent and remove the groups, once the last process in them has ended."""
    for folder in groups:
        with contextlib.suppress(OSError):
            below = folder.parent / _SUBGROUP
            back = below if below.is_dir() and not (folder.parent / "tasks").exists() else folder.parent
            (back / "cgroup.procs").write_text(str(os.getpid()))
    _remove_all(groups, seconds)


def _remove_all(groups: list[Path], seconds: float) -> None:
    """A group can go once the last process in it is gone, which takes a moment after it was killed."""
    ends = time.monotonic() + seconds
    for folder in groups:
        while folder.exists():
            with contextlib.suppress(OSError):
                folder.rmdir()
            if time.monotonic() > ends:
                break
            time.sleep(0.02)


def groups_of(name: str) -> list[Path]:
    """The groups of this name that are there, Docker's at the top among them.

    Each once, also where a folder has several names (``cpu`` and ``cpuacct`` are links to ``cpu,cpuacct`` on many
    machines): its use would be counted twice.
    """
    found = [parent / name for parent in own_groups().values()] + _above(name)
    return list(dict.fromkeys(folder.resolve() for folder in found if folder.is_dir()))


def memory_kills(groups: list[Path]) -> dict[Path, int]:
    """How many processes the machine's kernel has killed in each group because they held more than they may.

    Version 1 counts in the group of the one that was killed, so Docker's groups below ours are asked as well.
    """
    killed: dict[Path, int] = {}
    for folder in groups:
        is_second = (folder / "memory.events").exists()  # counts everything below
        for one in (folder,) if is_second else (folder, *folder.glob("*/")):
            with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
                lines = (one / ("memory.events" if is_second else "memory.oom_control")).read_text().splitlines()
                killed[one] = next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return killed


def memory_peak(groups: list[Path]) -> tuple[int, int]:
    """The most bytes that these groups held, and what they may hold; zeros where nobody counts."""
    for folder in groups:
        for peak, most in (("memory.peak", "memory.max"), ("memory.max_usage_in_bytes", "memory.limit_in_bytes")):
            with contextlib.suppress(OSError, ValueError):
                return int((folder / peak).read_text()), int((folder / most).read_text())
    return 0, 0


def remove(name: str, seconds: float = 2.0) -> None:
    """Remove what a killed host has left, processes too; no error when there is nothing.

    A sandbox that is being made while its host is killed may miss that (``enclave.sandbox``); here it is found.
    """
    folders = [parent / name for parent in own_groups().values()]
    for folder in folders:
        with contextlib.suppress(OSError):
            for pid in (folder / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
    _remove_all(folders, seconds)


def make_above(name: str, memory_mb: int, processes: int) -> bool:
    """A group at the top, with the workspace's limits, for containers that Docker makes below it; False: there is none.

    Docker gives one path for all controllers, so this group cannot be below our own. Needs the driver ``cgroupfs``.
    """
    is_second = (_MOUNT / "cgroup.controllers").exists()
    try:
        if is_second:
            (_MOUNT / "cgroup.subtree_control").write_text("+memory +pids +cpu")
        for controller in ("",) if is_second else _CONTROLLERS:
            folder = _MOUNT / controller / name
            folder.mkdir(exist_ok=True)
            for file, value in limits(controller, memory_mb, processes).items():
                (folder / file).write_text(value)
    except OSError:
        remove_above(name, 0.0)
        return False
    return True


def remove_above(name: str, seconds: float = 5.0) -> None:
    """Remove that group under every controller: Docker makes it where we did not."""
    _remove_all(_above(name), seconds)


def _above(name: str) -> list[Path]:
    return [_MOUNT / name, *_MOUNT.glob(f"*/{name}")]


def usable_groups() -> list[str]:
    """Controllers of which this process may make groups; version 2 as one. Makes one of each and removes it."""
    name = f"enclave-probe-{os.getpid()}"
    able = []
    for controller, parent in own_groups().items():
        try:
            (parent / name).mkdir()
            (parent / name).rmdir()
        except OSError:
            continue
        delegated = controller or "memory" in (parent / "cgroup.controllers").read_text().split()
        able += [controller or "memory, pids, cpu"] if delegated else []
    return able


def describe() -> str:
    """What limits a workspace on this machine, in words."""
    able = usable_groups()
    return f"control groups ({', '.join(able)}) per workspace" if able else "limits per process only, no control group"
