"""The workspace host: what a Jupyter server may ask of it (the server is not trusted)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from host_doubles import UnsafeEngine, plan  # type: ignore[import-not-found]

from enclave.domain.ids import WorkspaceId
from enclave.sandbox import Bind
from enclave.workspaces.host import Host, most_processes
from enclave.workspaces.host_plan import INSIDE_IPC, HostPlan
from enclave.workspaces.islands import MOST_ISLANDS
from enclave.workspaces.kernels import MOST_KERNELS, Kernels
from enclave.workspaces.launch import Places

ID = "01234567-89ab-cdef-0123-456789abcdef"
START = {"do": "start", "kernel": ID, "argv": ["python", "-m", "kernel"], "cwd": "/home/researcher"}


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


def test_a_server_that_prepares_more_than_may_run_starts_none_of_the_rest(kernels: Kernels) -> None:
    names = [f"{n:08x}{ID[8:]}" for n in range(MOST_KERNELS + 1)]
    for kernel in names:
        assert kernels.answer({"do": "prepare", "kernel": kernel}) == {}
    answers = [kernels.answer({**START, "kernel": kernel}) for kernel in names]
    assert ["problem" in answer for answer in answers] == [False] * MOST_KERNELS + [True]


def test_a_folder_made_deep_on_purpose_ends_neither_host_nor_hub(
    kernels: Kernels, engine: UnsafeEngine, tmp_path: Path
) -> None:
    """A kernel owns its folder. Python's own way of removing a tree gives up with an error of its own."""
    kernels.answer({"do": "prepare", "kernel": ID})
    places = Places(tmp_path, WorkspaceId("w-0123456789ab"))
    places.create()
    try:
        for folder in (tmp_path / "ipc" / ID, places.ipc):
            dig(folder, 1100)
        assert kernels.answer({"do": "prepare", "kernel": ID}) == {}
        assert kernels.answer({"do": "remove", "kernel": ID}) == {} and list((tmp_path / "ipc").iterdir()) == []
        places.remove()
        assert not places.folder.exists()
    finally:  # pytest would give up at it as well
        subprocess.run(["rm", "-rf", str(tmp_path / "ipc"), str(places.folder)], check=True)


def test_who_starts_all_the_processes_they_may_keeps_the_host_from_nothing(tmp_path: Path) -> None:
    """Each sandbox has two processes of our own in the group, and the host starts others to measure the home."""
    for clusters, sandboxes in ((0, 1 + MOST_KERNELS), (5, 1 + MOST_KERNELS + 5 + 2 * MOST_ISLANDS)):
        given = replace(plan(tmp_path), clusters=clusters)
        given = replace(given, kernel=replace(given.kernel, processes=100))
        assert most_processes(given) - 100 - 2 * sandboxes >= 16


def dig(folder: Path, depth: int) -> None:
    here = os.open(folder, os.O_PATH)
    for _ in range(depth):
        os.mkdir("down", dir_fd=here)
        below = os.open("down", os.O_PATH, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_no_kernel_runs_while_they_are_barred(kernels: Kernels, engine: UnsafeEngine) -> None:
    kernels.answer({"do": "prepare", "kernel": ID})
    assert "problem" not in kernels.answer(START)
    kernels.bar("Too many files.")
    assert engine.code == -9 and kernels.is_barred
    kernels.answer({"do": "prepare", "kernel": ID})
    assert kernels.answer(START)["problem"] == "Too many files."
    kernels.bar("")
    assert "problem" not in kernels.answer(START)


def test_words_that_are_no_request_are_answered_and_end_nothing(tmp_path: Path, engine: UnsafeEngine) -> None:
    ours, servers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    host = Host(plan(tmp_path), engine)
    with ours, servers:
        for words in (b"[" * 60_000, b"\xff", b"1", b"{}"):
            servers.send(words)
            assert host._serve(ours)
            assert "Expected" in json.loads(servers.recv(4096))["problem"]
