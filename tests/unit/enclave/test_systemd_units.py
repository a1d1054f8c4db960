"""The units for systemd: what ``systemd-analyze`` says of them, and the step into a control group of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from enclave.settings import REPOSITORY

UNITS = REPOSITORY / "infra" / "systemd"
EXPOSURE = {"enclave.service": 81, "enclave-node.service": 81, "enclave-witness.service": 15}
"""The most of 100 that ``systemd-analyze security`` may count; what makes sandboxes as root is never low."""


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_each_unit_is_named_here() -> None:
    assert {path.name for path in UNITS.glob("*.service")} == set(EXPOSURE)


@pytest.mark.parametrize("name", EXPOSURE)
def test_systemd_takes_the_unit_without_a_word(tmp_path: Path, name: str) -> None:
    unit = tmp_path / name
    unit.write_text((UNITS / name).read_text().replace("/opt/enclave", str(REPOSITORY)))
    found = analyze("verify", "--man=no", str(unit))
    assert (found.returncode, _about(found.stderr, name)) == (0, [])
    rated = analyze("security", "--offline=yes", f"--threshold={EXPOSURE[name]}", str(unit))
    assert rated.returncode == 0, rated.stdout[-400:] + rated.stderr


def _about(said: str, name: str) -> list[str]:
    """Lines about our unit: the machine's own units may have faults of theirs."""
    return [line for line in said.splitlines() if name in line]


@pytest.mark.parametrize(
    ("group", "is_version_2", "moved"),
    [
        ("/system.slice/enclave.service", True, True),
        ("/system.slice/enclave.service/enclave", True, False),  # DelegateSubgroup= did it
        ("/system.slice/enclave.service", False, False),
    ],
)
def test_the_service_goes_into_a_subgroup(tmp_path: Path, group: str, is_version_2: bool, moved: bool) -> None:
    mount, own = tmp_path / "cgroup", tmp_path / "own"
    (mount / group[1:]).mkdir(parents=True)
    if is_version_2:
        (mount / "cgroup.controllers").write_text("memory pids cpu\n")
    own.write_text(f"0::{group}\n")
    environment = {"PATH": "/usr/bin:/bin", "CGROUP_MOUNT": str(mount), "CGROUP_OWN": str(own)}
    command = [str(UNITS / "in-subgroup"), "sh", "-c", "echo $$"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    processes = mount / group[1:] / "enclave" / "cgroup.procs"
    assert processes.exists() == moved
    assert not moved or processes.read_text() == done.stdout
    assert done.stderr == ""


def test_a_group_that_cannot_be_made_is_said_and_the_command_starts(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    (tmp_path / "own").write_text("0::/nowhere\n")
    (tmp_path / "nowhere").touch()  # a file where the group should be
    environment = {"PATH": "/usr/bin:/bin", "CGROUP_MOUNT": str(tmp_path), "CGROUP_OWN": str(tmp_path / "own")}
    command = [str(UNITS / "in-subgroup"), "echo", "started"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, "Set Delegate=yes" in done.stderr) == ("started\n", True)
