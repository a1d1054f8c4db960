"""What each front has for itself, and what all share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from enclave.domain.ids import ProjectId
from enclave.gateway.replicas import ReplicaError, hold_name, place_of
from enclave.gateway.shared_files import is_locked, locked
from enclave.gateway.worker_process import FIRST_UID
from enclave.gateway.worker_stream import QueryFailedError
from enclave.gateway.worker_uids import WorkerUids
from enclave.processes import service_specs
from enclave.settings import Settings

HEART, LUNG = ProjectId("heart-study"), ProjectId("lung-study")
HOLD = "import fcntl,sys; f=open(sys.argv[1],'ab'); fcntl.lockf(f,fcntl.LOCK_EX); print('held',flush=True); input()"


def held(file: Path) -> subprocess.Popen[str]:
    """Another process that holds a lock on the file until its input ends."""
    command = [sys.executable, "-c", HOLD, str(file)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_the_first_front_keeps_its_paths_and_a_replica_has_a_folder_of_its_own(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    first, other = place_of(settings), place_of(settings, "b")
    assert (first.folder, first.control_socket, first.writer) == (
        settings.run_dir,
        settings.gateway_control_socket,
        "gateway",
    )
    assert (other.folder, other.control_socket, other.writer) == (
        tmp_path / "run" / "gw-b",
        tmp_path / "run" / "gw-b" / "gateway.sock",
        "gateway-b",
    )
    assert first.serves_workspaces and not other.serves_workspaces


@pytest.mark.parametrize("name", ["../b", "B", "b-1", "1b", "b" * 13, "b\n"])
def test_a_name_of_another_shape_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ReplicaError, match="Expected a replica's name"):
        place_of(Settings(home=tmp_path), name)


def test_a_name_is_held_by_one_front_at_a_time(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    place = place_of(settings, "b")
    hold_name(settings, place).close()
    other = held(settings.usage_dir / "gateway-b.lock")
    with pytest.raises(ReplicaError, match="no other front that writes as gateway-b"):
        hold_name(settings, place)
    other.communicate("\n", timeout=30)
    hold_name(settings, place).close()


def test_a_lock_of_another_process_is_seen_without_taking_it(tmp_path: Path) -> None:
    file = tmp_path / "scratch.duckdb"
    assert not is_locked(file)
    other = held(file)
    assert is_locked(file)
    other.communicate("\n", timeout=30)
    assert not is_locked(file)


def test_all_fronts_give_a_project_the_same_uid(tmp_path: Path) -> None:
    first, other = WorkerUids(tmp_path / "uids.json"), WorkerUids(tmp_path / "uids.json")
    assert [first.uid(HEART), other.uid(LUNG), other.uid(HEART), first.uid(LUNG)] == [
        FIRST_UID,
        FIRST_UID + 1,
        FIRST_UID,
        FIRST_UID + 1,
    ]


def test_no_uid_is_guessed_when_the_register_is_damaged(tmp_path: Path) -> None:
    with locked(tmp_path / "uids.json") as file:
        file.write(b"[1")
    with pytest.raises(QueryFailedError, match="register of the workers' accounts"):
        WorkerUids(tmp_path / "uids.json").uid(HEART)


def test_replicas_on_one_machine_are_processes_at_the_ports_that_follow(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, gateway_replicas=2, gateway_tcp="10.0.0.5:31337")
    found = {spec.name: spec for spec in service_specs(settings)}
    assert found["gateway-r2"].argv[-4:] == ("--replica", "r2", "--tcp", "10.0.0.5:31339")
    assert found["gateway-r1"].ready == tmp_path / "run" / "gw-r1" / "gateway.sock"
    assert not any("gateway-" in spec.name for spec in service_specs(Settings(home=tmp_path)))


def test_a_run_folder_may_be_this_machine_s_own(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "shared", run_folder=tmp_path / "own")
    assert settings.audit_socket == tmp_path / "own" / "audit" / "audit.sock"
    assert place_of(settings, "b").control_socket == tmp_path / "own" / "gw-b" / "gateway.sock"
