"""What holds for one container in particular: bounds, descriptors, how it ends.

Kernels in containers run the same tests as those in bubblewrap (``test_kernels``), and so do the attacks.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from enclave_test_docker import BASE_IMAGE  # type: ignore[import-not-found]
from enclave_test_stand import wait_for  # type: ignore[import-not-found]

from enclave.metering.process_groups import groups_apart
from enclave.metering.readings import group_cpu_ns, group_memory_bytes
from enclave.sandbox import Bind, SandboxError, SandboxProfile
from enclave.settings import Settings
from enclave.workspaces import cgroups, docker_daemon, kernel_images, launch
from enclave.workspaces.docker_container import PROGRAMS, Place, describe, needed
from enclave.workspaces.docker_engine import DockerEngine, _meet
from enclave.workspaces.host_plan import DockerPlan
from enclave.workspaces.quota import DiskWatch

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
    assert "control groups" in cgroups.describe()
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
def test_r_in_a_container_sees_its_own_file_system(bench: Bench) -> None:
    profile = kernel_images.other_kernels(Settings(), bench.profile)[kernel_images.R]
    code = "cat(R.version$language, file.exists('/.dockerenv'), 'enclave' %in% search(), list.files('/sys'))"
    with (bench.folder / "log").open("wb") as log:
        assert bench.engine.start(profile, ["Rscript", "-e", code], log).wait(60) == 0, bench.said()
    assert bench.said() == "R TRUE TRUE "
