"""What holds for containers in particular: bounds, descriptors, how they end, what is said when Docker will not do.

Kernels in containers run the same tests as those in bubblewrap (``test_kernels``), and so do the attacks.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from enclave_test_docker import BASE_IMAGE  # type: ignore[import-not-found]
from enclave_test_stand import is_alive, wait_for  # type: ignore[import-not-found]

from enclave.cli.doctor import find_problems
from enclave.domain.ids import WorkspaceId
from enclave.metering.process_groups import groups_apart
from enclave.metering.readings import group_cpu_ns, group_memory_bytes
from enclave.sandbox import Bind, SandboxError, SandboxProfile
from enclave.settings import REPOSITORY, Settings
from enclave.workspaces import cgroups, docker_daemon, kernel_images, launch
from enclave.workspaces.docker_container import PROGRAMS, Place, describe, needed
from enclave.workspaces.docker_engine import DockerEngine, _meet
from enclave.workspaces.host_plan import DockerPlan
from enclave.workspaces.quota import DiskWatch

ENGINES = ("docker",)
PYTHON = "/opt/image/bin/python3.11"
UID = 200077


class Bench:
    """An engine without a hub: runs a line of Python in a container with small limits."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder, self.home = folder, folder / "home"
        self.home.mkdir()
        os.chown(self.home, UID, UID)
        group = f"enclave-test-{os.getpid()}"
        self.plan = DockerPlan(host, BASE_IMAGE, folder, "w-bench", folder, group, memory_mb=256, processes=200)
        self.engine = DockerEngine(self.plan)
        settings = Settings()
        binds = (
            Bind(settings.image, Path("/opt/image")),
            Bind(launch.base_python(settings.image), Path("/opt/python")),
        )
        self.profile = SandboxProfile(
            binds=(*binds, Bind(self.home, launch.HOME, writable=True)),
            env={"LD_LIBRARY_PATH": "/opt/python/lib", "HOME": str(launch.HOME)},
            uid=UID,
            data_mb=1024,
            processes=60,
            tmp_mb=512,
            user_name="researcher",
        )

    def start(self, code: str, **changes: Any) -> Any:
        with (self.folder / "log").open("wb") as log:
            return self.engine.start(replace(self.profile, **changes), [PYTHON, "-c", code], log)

    def said(self) -> str:
        return (self.folder / "log").read_text()

    def run(self, code: str, **changes: Any) -> tuple[int, str]:
        """Exit code and output."""
        code_at_end = self.start(code, **changes).wait(60)
        return code_at_end, self.said()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, docker_host: str) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("bench"), docker_host)
    yield made
    made.engine.close()
    docker_daemon.sweep(docker_host, made.folder)
    cgroups.remove_above(made.plan.group)
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{made.plan.group}"))
    assert {path.name for path in made.folder.iterdir()} <= {"home", "log", "in"}  # no socket, no identity file


INSIDE = """
import json, os
def attempt(act):
    try:
        act(); return "done"
    except OSError as error:
        return type(error).__name__
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "account": [os.getuid(), os.getgid(), os.getgroups()],
    "capabilities": [status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "walls": [status["NoNewPrivs"].strip(), status["Seccomp"].strip()],
    "links": sorted(os.listdir("/proc/self/fd"))[-1],
    "sys": os.listdir("/sys"),
    "masked": [open(f"/proc/{name}").read() for name in ("timer_list", "keys", "interrupts")],
    "refused": [attempt(lambda path=path: open(path, "w")) for path in ("/x", "/usr/x", "/etc/x", "/run/keeper/x",
        "/opt/enclave_keeper/x", "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern")],
    "keeper": [attempt(lambda name=name: open(f"/proc/1/{name}").read()) for name in ("mem", "environ", "maps")]
        + [attempt(lambda: os.listdir("/proc/1/fd")), attempt(lambda: os.kill(1, 9)), attempt(lambda: os.kill(1, 2))],
    "met": os.listdir("/run/keeper"),
    "machine": open("/etc/resolv.conf").read() + open("/etc/hostname").read() + open("/etc/passwd").read(),
    "networks": [line.split(":")[0].strip() for line in open("/proc/net/dev").readlines()[2:]],
}))
"""


@pytest.mark.needs_root
def test_the_container_keeps_bubblewraps_promise(bench: Bench) -> None:
    code, printed = bench.run(INSIDE)
    assert code == 0, printed
    seen = json.loads(printed)
    assert seen["account"] == [UID, UID, [UID]]  # its own group alone
    assert set(seen["capabilities"]) == {"0" * 16}
    assert seen["walls"] == ["1", "2"]
    assert seen["sys"] == [] and seen["met"] == [] and not any(seen["masked"])
    assert not {"done"} & set(seen["refused"]), seen["refused"]
    assert seen["keeper"] == ["PermissionError"] * 4 + ["done"] * 2  # signals from inside go nowhere
    assert seen["machine"] == f"workspace\nresearcher:x:{UID}:{UID}::/home/researcher:/bin/sh\n"
    assert seen["networks"] == ["lo"]


BOMBS = {
    "memory": (
        "import mmap\nheld = []\nwhile True:\n m = mmap.mmap(-1, 16 << 20); m.write(b'x' * (16 << 20)); held.append(m)",
        -9,
        "",
    ),
    "shared memory": ("f = open('/dev/shm/x', 'wb')\nwhile True: f.write(b'x' * (1 << 20))", -9, ""),
    "private memory": ("bytearray(2 << 30)", 1, "MemoryError"),
    "processes": ("import os, time\nwhile True:\n if os.fork() == 0: time.sleep(600)", 1, "BlockingIOError"),
    "descriptors": ("import os\nwhile True: os.dup(0)", 1, "Too many open files"),
    "disk": ("f = open('/tmp/x', 'wb')\nwhile True: f.write(b'x' * (1 << 20))", 1, "No space left"),
    "one file": (
        "f = open('/home/researcher/x', 'wb')\nwhile True: f.write(b'x' * (1 << 20)); f.flush()",
        1,
        "File too large",
    ),
}


@pytest.mark.needs_root
@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_are_bounded(bench: Bench, kind: str) -> None:
    """The sandbox ends or is refused, and with it everything it has started."""
    code, ends_with, words = BOMBS[kind]
    changes = {"tmp_mb": 32} if kind == "disk" else {"files_mb": 8} if kind == "one file" else {}
    assert bench.run(code, **changes)[0] == ends_with, bench.said()
    assert words in bench.said()


@pytest.mark.needs_root
def test_a_workspaces_containers_share_one_memory_limit(bench: Bench) -> None:
    """Two containers, each below its own limit, are together above the workspace's: one of them has to go."""
    if not bench.engine._parent:
        assert not (Path("/sys/fs/cgroup/memory") / bench.plan.group).exists()
        return
    fill = "import mmap, time\nm = mmap.mmap(-1, 180 << 20)\nfor _ in range(180): m.write(b'x' * (1 << 20))\n"
    fill += "print('full', flush=True); time.sleep(600)"
    first = bench.start(fill)
    wait_for(lambda: "full" in bench.said(), "the first container to be full")
    second = bench.start(fill)
    wait_for(lambda: first.poll() is not None or second.poll() is not None, "the limit to act")
    for sandbox in (first, second):
        sandbox.kill()
        sandbox.wait(60)


@pytest.mark.needs_root
def test_a_container_outside_of_our_groups_is_counted(bench: Bench) -> None:
    """As with the driver ``systemd``: Docker puts it where it likes, and /proc/<pid>/cgroup says where."""
    apart = DockerEngine(bench.plan)
    with docker_daemon.connected(bench.plan.host) as client:
        apart._found = replace(docker_daemon.look(client, bench.plan.image), makes_groups=False)
    with (bench.folder / "log").open("wb") as log:
        sandbox = apart.start(bench.profile, [PYTHON, "-c", "while True: pass"], log)
    try:
        groups = groups_apart([sandbox.pid], [])
        assert groups and groups_apart([sandbox.pid], groups) == (), "nothing is counted twice"
        wait_for(lambda: (group_cpu_ns(groups) or 0) > 10**8, "its processor time")
        assert (group_memory_bytes(groups) or 0) > 1 << 20
    finally:
        sandbox.kill()
        sandbox.wait(60)


@pytest.mark.needs_root
def test_the_disk_watch_reaches_into_containers(bench: Bench) -> None:
    """They are not children of the host: the keeper lowers the limit of all processes inside."""
    inside = bench.folder / "in"
    inside.mkdir(exist_ok=True)
    write = (
        "import os, time\nwhile True:\n with open('/home/researcher/big', 'ab') as f: f.write(os.urandom(1 << 18))\n"
    )
    write += " time.sleep(0.05)"
    sandbox = bench.start(write)
    with subprocess.Popen(["sleep", "600"]) as host:
        watch = DiskWatch((bench.home,), inside, 3, host.pid, tell=sandbox.allow_writing)

        def stopped() -> bool:
            watch.look()
            return sandbox.poll() is not None

        wait_for(stopped, "writing to be stopped")
        host.kill()
    assert sandbox.wait(60) > 0  # its last words are nowhere: they would make the log grow
    assert (inside / "disk.json").exists()
    (bench.home / "big").unlink()


@pytest.mark.needs_root
def test_descriptors_arrive_at_their_numbers_and_no_others(bench: Bench) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        number = theirs.fileno()
        code = "import json, os, socket\nfolder = os.open('/proc/self/fd', 0)\nseen = os.listdir(folder)\n"
        code += f"socket.socket(fileno={number}).send(json.dumps([seen, folder]).encode())"
        assert bench.run(code, pass_fds=(number,))[0] == 0, bench.said()
        seen, folder = json.loads(ours.recv(4096))
        assert set(seen) - {str(folder)} - {"0", "1", "2", str(number)} <= {str(folder + 1)}  # listdir's own
        assert set(seen) > {"0", "1", "2", str(number)}


@pytest.mark.needs_root
def test_signals_reach_the_program_and_codes_come_back(bench: Bench) -> None:
    sleeper = "import time\nprint('up', flush=True)\ntime.sleep(600)"
    for number, words in ((signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, ""), (signal.SIGKILL, "")):
        sandbox = bench.start(sleeper)
        wait_for(lambda: "up" in bench.said(), "the program to run")
        assert sandbox.poll() is None
        sandbox.signal(number)
        assert sandbox.wait(60) == -number
        assert words in bench.said()
    assert bench.run("raise SystemExit(7)")[0] == 7
    assert bench.engine.start(bench.profile, ["/no/such/program"], subprocess.DEVNULL).wait(30) == 127


@pytest.mark.needs_root
def test_only_the_containers_first_process_gets_the_descriptors(bench: Bench) -> None:
    """Somebody else who finds the socket is turned away, with nothing handed over."""
    path = bench.folder / "log.socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, subprocess.Popen(["sleep", "600"]) as other:
        listener.bind(str(path))
        listener.listen(1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
            stranger.connect(str(path))
            with pytest.raises(SandboxError, match="another one"):
                _meet(listener, other.pid, bench.profile, subprocess.DEVNULL)
            assert stranger.recv(100) == b""
        other.kill()
    path.unlink()


def test_a_profile_that_docker_is_not_for_is_refused(bench: Bench) -> None:
    place = Place("x", {}, UID, 256, "", ())
    for changes in ({"network": True}, {"seccomp": False}, {"memory_mb": 100}):
        with pytest.raises(SandboxError, match="Docker is not used for"):
            describe(replace(bench.profile, **changes), ["true"], place)


def test_what_the_image_brings_is_not_mounted(bench: Bench) -> None:
    assert [b.target for b in needed(bench.profile, PROGRAMS)] == [launch.HOME]
    assert needed(bench.profile, ()) == bench.profile.binds
    with pytest.raises(SandboxError, match="neither"):
        needed(replace(bench.profile, binds=()), PROGRAMS[:1])


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


# --- a whole workspace: hub, edge, containers ---


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
def test_r_in_a_container_sees_its_own_file_system(bench: Bench) -> None:
    profile = kernel_images.other_kernels(Settings(), bench.profile)[kernel_images.R]
    code = "cat(R.version$language, file.exists('/.dockerenv'), 'enclave' %in% search(), list.files('/sys'))"
    with (bench.folder / "log").open("wb") as log:
        assert bench.engine.start(profile, ["Rscript", "-e", code], log).wait(60) == 0, bench.said()
    assert bench.said() == "R TRUE TRUE "


@pytest.mark.needs_root
def test_leftovers_of_this_enclave_are_swept_and_others_are_not(bench: Bench, docker_host: str) -> None:
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
        assert "control groups" in cgroups.describe() or not bench.engine._parent
