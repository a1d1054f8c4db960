"""Where a container's use is counted: ``/proc/<pid>/cgroup`` as real machines have it, both drivers, both versions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from enclave.metering import process_groups
from enclave.metering.process_groups import counting_folders, groups_apart, parse_groups
from enclave.metering.readings import GroupTimes, Meter

ID = "3f1c0a7e9b2d4c56a1f0e8d7c6b5a493827160f5e4d3c2b1a09f8e7d6c5b4a39"
FIRST_CGROUPFS = f"""\
12:pids:/docker/{ID}
11:cpuset:/docker/{ID}
10:memory:/docker/{ID}
4:cpu,cpuacct:/docker/{ID}
1:name=systemd:/docker/{ID}
0::/system.slice/containerd.service
"""
FIRST_SYSTEMD = f"""\
11:memory:/system.slice/docker-{ID}.scope
10:freezer:/system.slice/docker-{ID}.scope
5:cpu,cpuacct:/system.slice/docker-{ID}.scope
1:name=systemd:/system.slice/docker-{ID}.scope
0::/system.slice/docker-{ID}.scope
"""
FIRST_BELOW_OURS = f"""\
9:memory:/enclave-w-0123456789ab/{ID}
2:cpuacct:/enclave-w-0123456789ab/{ID}
1:cpu:/enclave-w-0123456789ab/{ID}
0::/
"""
ON = Path("/sys/fs/cgroup")
TABLE = [
    pytest.param(
        FIRST_CGROUPFS, "unified", [f"cpuacct/docker/{ID}", f"memory/docker/{ID}"], id="version 1, cgroupfs, hybrid"
    ),
    pytest.param(
        FIRST_SYSTEMD,
        "unified",
        [f"cpuacct/system.slice/docker-{ID}.scope", f"memory/system.slice/docker-{ID}.scope"],
        id="version 1, systemd: the unified line counts nothing a second time",
    ),
    pytest.param(
        FIRST_BELOW_OURS,
        "unified",
        [f"cpuacct/enclave-w-0123456789ab/{ID}", f"memory/enclave-w-0123456789ab/{ID}"],
        id="version 1, cgroupfs below the workspace's own group",
    ),
    pytest.param(f"0::/docker/{ID}\n", "", [f"docker/{ID}"], id="version 2, cgroupfs"),
    pytest.param(
        f"0::/system.slice/docker-{ID}.scope\n", "", [f"system.slice/docker-{ID}.scope"], id="version 2, systemd"
    ),
    pytest.param(
        f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope\n",
        "",
        [f"user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope"],
        id="version 2, systemd, a daemon of a user",
    ),
    pytest.param(
        f"3:misc:/\n1:name=systemd:/a\n0::/docker/{ID}\n",
        "unified",
        [f"unified/docker/{ID}"],
        id="both mounted, only version 2 counts",
    ),
    pytest.param(
        f"0::/docker/{ID}/docker/{ID}\n", "", [f"docker/{ID}/docker/{ID}"], id="a daemon that is itself in a container"
    ),
    pytest.param("0::/system.slice/a:b.service\n", "", ["system.slice/a:b.service"], id="a colon in the name"),
    pytest.param(f"0::/../docker-{ID}.scope\n", "", [], id="outside of the reader's cgroup namespace"),
    pytest.param("4:memory:/\n3:cpuacct:/\n0::/\n", "unified", [], id="a process that has just ended, version 1"),
    pytest.param("0::/\n", "", [], id="in the root group"),
    pytest.param("", "", [], id="nothing to read"),
    pytest.param("no group\n::\nx::/a\n4:memory\n7:memory:relative\n", "", [], id="no such file"),
]


@pytest.mark.parametrize(("text", "unified_at", "wanted"), TABLE)
def test_where_it_is_counted(text: str, unified_at: str, wanted: list[str]) -> None:
    assert [str(path.relative_to(ON)) for path in counting_folders(text, unified_at=unified_at)] == wanted


def test_named_hierarchies_count_nothing() -> None:
    assert parse_groups(FIRST_SYSTEMD).keys() == {"memory", "freezer", "cpu", "cpuacct", ""}


def _group(folder: Path, cpu_usec: int, memory: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.stat").write_text(f"usage_usec {cpu_usec}\nuser_usec 0\n")
    (folder / "memory.current").write_text(f"{memory}\n")
    (folder / "memory.stat").write_text("inactive_file 100\n")


@pytest.fixture
def scopes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file system of version 2; the process that asks is in a service's group, 100 and 101 in scopes of systemd's."""
    place = {"self": "0::/system.slice/enclave.service\n"}
    place |= {str(n): f"0::/system.slice/docker-{n}.scope\n" for n in (100, 101)}
    place |= {"102": "0::/system.slice/enclave.service/below\n", "103": "0::/system.slice\n"}
    for text in place.values():
        (tmp_path / text.split("::/")[1].strip()).mkdir(parents=True, exist_ok=True)
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    monkeypatch.setattr(process_groups, "MOUNT", tmp_path)
    read = Path.read_text

    def fake(path: Path, *arguments: str) -> str:
        if path.name == "cgroup" and path.parent.parent == Path("/proc"):
            if path.parent.name not in place:
                raise FileNotFoundError(path)
            return place[path.parent.name]
        return read(path, *arguments)

    monkeypatch.setattr(Path, "read_text", fake)
    return tmp_path / "system.slice"


def test_only_groups_that_are_a_containers_own(scopes: Path) -> None:
    found = groups_apart([100, 101, 101, 102, 103, 104], [])
    assert found == (scopes / "docker-100.scope", scopes / "docker-101.scope")
    assert groups_apart([100, 101], [scopes / "docker-100.scope"]) == (scopes / "docker-101.scope",)


def test_a_workspace_of_containers_is_counted_and_keeps_what_an_ended_one_used(scopes: Path) -> None:
    own = scopes / "own"
    _group(own, 5, 1000)
    _group(scopes / "docker-100.scope", 1_000, 3_100)
    _group(scopes / "docker-101.scope", 2_000, 5_100)
    pids = [100, 101]
    meter = Meter(lambda: [own], os.getpid(), lambda: pids)
    first = meter.read()
    assert (first.cpu_ns, first.memory_bytes) == (3_005_000, 900 + 3_000 + 5_000)
    pids.remove(101)
    _group(scopes / "docker-100.scope", 1_500, 3_100)
    after = meter.read()
    assert (after.cpu_ns, after.memory_bytes) == (3_505_000, 900 + 3_000)


def test_a_group_that_goes_while_it_is_read(tmp_path: Path) -> None:
    times, there = GroupTimes(), tmp_path / "there"
    _group(there, 7, 1)
    assert times.cpu_ns([there, tmp_path / "gone"]) == 7_000
    assert times.cpu_ns([]) == 7_000
