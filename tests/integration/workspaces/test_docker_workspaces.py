"""Whole workspaces in containers: what outlives what; the daemon and image they need, and what is said without."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from enclave_test_docker import BASE_IMAGE  # type: ignore[import-not-found]
from enclave_test_stand import is_alive, wait_for  # type: ignore[import-not-found]

from enclave.cli.doctor import find_problems
from enclave.domain.ids import WorkspaceId
from enclave.sandbox import SandboxError
from enclave.settings import REPOSITORY, Settings
from enclave.workspaces import docker_daemon, launch
from enclave.workspaces.docker_container import PROGRAMS

ENGINES = ("docker",)


@pytest.fixture(scope="module")
def alice(stand: Any) -> Any:
    browser = stand.browser("alice")
    browser.here = browser.start_workspace("containers")
    browser.wid = next(wid for wid, who in stand.portal.started.items() if who == "alice/containers")
    return browser


def test_the_gateways_socket_and_the_token_are_there(alice: Any) -> None:
    code = (
        "import os, socket\ns = socket.socket(socket.AF_UNIX); s.connect('/run/enclave/gateway.sock')\n"
        "print(s.recv(99).decode().strip(), open('/run/enclave/token').read()[:11], os.getcwd())\n"
        "import pandas, polars, pyarrow, matplotlib.pyplot, adbc_driver_flightsql, enclave_client, sqlite3, ssl, lzma"
    )
    assert alice.run_cell(alice.here, code, 120) == "gateway here test-token- /home/researcher\n"


def test_a_killed_hub_takes_no_container_along(stand: Any, alice: Any) -> None:
    kernel = alice.open_kernel(alice.here)
    alice.execute(alice.here, kernel, "kept = 6 * 7")
    before = stand.containers_of(alice.wid)
    stand.hub.kill()
    stand.hub.wait(60)
    stand.hub = stand.start("enclave.workspaces.serve")
    wait_for(lambda: stand.answers(stand.hub_url("/hub/api")), "the new hub")
    assert alice.execute(alice.here, kernel, "print(kept)") == "42\n"
    assert stand.containers_of(alice.wid) == before and len(before) == 2


def test_a_refusal_is_shown_in_words(stand: Any, alice: Any) -> None:
    """The image goes while the hub runs: the page and the hub's log say so, and nothing is left of the attempt."""
    with docker_daemon.connected(stand.settings.docker_host) as client:
        client.tag(BASE_IMAGE, "kept-aside")
        client.remove_image(BASE_IMAGE)
        try:
            bob = stand.browser("bob")
            bob.get("/hub/spawn/bob/containers")
            page = "/hub/spawn-pending/bob/containers"
            wait_for(lambda: "The software of workspaces is not installed" in bob.get(page).text, "the page to say so")
            assert "build-docker" in (stand.root / "enclave.workspaces.serve.log").read_text()
        finally:
            client.tag("kept-aside", *BASE_IMAGE.split(":"))
            client.remove_image("kept-aside")
    wid = next(wid for wid, who in stand.portal.started.items() if who.startswith("bob/"))
    wait_for(lambda: wid in stand.portal.stopped, "the attempt to be reported as ended")
    assert not launch.Places(stand.root, WorkspaceId(wid)).folder.exists()


def test_a_host_that_is_killed_leaves_no_container(stand: Any, alice: Any) -> None:
    alice.open_kernel(alice.here)
    pids, containers = stand.processes_of(alice.wid), stand.containers_of(alice.wid)
    assert len(containers) >= 2
    os.kill(stand.host_of(alice.wid), signal.SIGKILL)
    wait_for(lambda: not any(is_alive(pid) for pid in pids), "everything inside to end")
    wait_for(lambda: not stand.containers_of(alice.wid), "the containers to be gone")
    wait_for(lambda: alice.wid in stand.portal.stopped, "the hub to report the end")
    group = launch.control_group(WorkspaceId(alice.wid))
    wait_for(lambda: not list(Path("/sys/fs/cgroup").glob(f"*/{group}")), "its control groups to go")


def test_a_revoked_workspaces_containers_end(stand: Any) -> None:
    stand.portal.token_seconds = 4
    try:
        carol = stand.browser("carol")
        carol.start_workspace("containers")
        wid = next(wid for wid, who in stand.portal.started.items() if who.startswith("carol/"))
        pids = stand.processes_of(wid)
        stand.portal.revoked.add(wid)
        wait_for(lambda: wid in stand.portal.stopped, "the end of the revoked workspace")
        wait_for(lambda: not any(is_alive(pid) for pid in pids), "its processes to end")
    finally:
        stand.portal.token_seconds = 600


@pytest.mark.needs_root
def test_the_image_is_built_from_any_base_and_says_what_it_brings(docker_host: str, tmp_path: Path) -> None:
    """With the builder of 20.10 and no network; the whole environment would take a minute, two files do."""
    for name in ("python", "image"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    shutil.copy(REPOSITORY / "workspace_images" / "python" / "Dockerfile", tmp_path)
    environment = {**os.environ, "DOCKER_HOST": docker_host, "DOCKER_BUILDKIT": "0"}
    build = ["docker", "build", "--quiet", "--network=none", f"--build-arg=BASE_IMAGE={BASE_IMAGE}", "--tag=small"]
    subprocess.run([*build, tmp_path], check=True, capture_output=True, timeout=120, env=environment)
    assert docker_daemon.check(docker_host, "small").provides == PROGRAMS
    with docker_daemon.connected(docker_host) as client:
        client.remove_image("small")


FIT = {"SecurityOptions": ["name=seccomp,profile=default"], "CgroupDriver": "cgroupfs"}
UNFIT: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "20.10 or newer": ("1.40", FIT, {}),
    "filters system calls": ("1.41", {"SecurityOptions": []}, {}),
    "userns-remap": ("1.41", {"SecurityOptions": ["name=seccomp", "name=userns"]}, {}),
    "without VOLUME": ("1.41", FIT, {"Volumes": {"/data": {}}}),
}


@pytest.mark.parametrize("words", UNFIT)
def test_an_unfit_daemon_is_refused(words: str) -> None:
    version, info, config = UNFIT[words]

    class Client:
        version: Callable[..., Any] = staticmethod(lambda: {"ApiVersion": version})
        info: Callable[..., Any] = staticmethod(lambda: info)
        inspect_image: Callable[..., Any] = staticmethod(lambda _: {"Id": "x", "Config": config})

    with pytest.raises(SandboxError, match=words):
        docker_daemon.look(Client(), "x")


def test_a_daemon_that_is_away_or_has_no_image_is_told_in_a_sentence(docker_host: str, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="Start it"):
        docker_daemon.check(f"unix://{tmp_path}/none.sock", BASE_IMAGE)
    with pytest.raises(SandboxError, match="build-docker no-such-image"):
        docker_daemon.check(docker_host, "no-such-image")
    with pytest.raises(SandboxError, match="local daemon"):
        docker_daemon.check("tcp://127.0.0.1:2375", BASE_IMAGE)


def test_doctor_looks_at_the_engine_chosen(docker_host: str, tmp_path: Path) -> None:
    def problems(host: str, image: str) -> dict[str, str]:
        settings = Settings(home=tmp_path, engine="docker", docker_host=host, docker_image=image)
        return {found.name: found.problem for found in find_problems(settings)}

    assert "engine: docker" not in problems(docker_host, BASE_IMAGE)
    assert "Start it" in problems(f"unix://{tmp_path}/none.sock", BASE_IMAGE)["engine: docker"]
    assert "found none" in problems(docker_host, "no-such-image")["engine: docker"]


@pytest.mark.needs_root
def test_leftovers_of_this_enclave_are_swept_and_others_are_not(docker_host: str) -> None:
    """A keeper that hangs: here a container that only looks like ours, since a real one does not outlive its host."""
    with docker_daemon.connected(docker_host) as client:

        def leave(home: str, workspace: str) -> str:
            labels = {docker_daemon.LABEL_HOME: home, docker_daemon.LABEL_WORKSPACE: workspace}
            config = {"Image": BASE_IMAGE, "Cmd": ["sleep", "600"], "Labels": labels, "NetworkDisabled": True}
            made = client.create_container_from_config(config)["Id"]
            client.start(made)
            return str(made)

        def left() -> set[str]:
            return {c["Id"] for c in client.containers(all=True)}

        one, two, other = leave("/a", "w-1"), leave("/a", "w-2"), leave("/b", "w-1")
        assert docker_daemon.sweep(docker_host, Path("/a"), "w-1") == 1
        assert {one, two, other} & left() == {two, other}
        assert docker_daemon.sweep(docker_host, Path("/a")) == 1
        assert {one, two, other} & left() == {other}
        docker_daemon.remove(client, other)
        docker_daemon.remove(client, other)
