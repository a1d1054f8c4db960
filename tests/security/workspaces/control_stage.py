"""The unconfined control: the same probes as root, in throw-away namespaces that hold everything they aim at.

Run as ``unshare --net --mount --pid --ipc --uts --fork --mount-proc python control_stage.py BUNDLE HOUSE``. The
network, the mounts, the processes and the shared memory are the stage's own; nothing of it reaches the machine, and it
all ends with the first process. Writes ``results.json`` beside HOUSE.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import resource
import socket
import struct
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from enclave.selftest.surroundings import Surroundings

DISTANT, METADATA, METADATA6 = "198.18.0.1", "169.254.169.254", "fd00:ec2::254"
STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM


def run(*words: str) -> None:
    """A command whose failure means that this kernel lacks the thing; the probe then says so."""
    subprocess.run(words, check=False, capture_output=True)


def furnish() -> None:
    """Addresses, an interface with a route, kernel file systems, a resolver."""
    run("ip", "link", "set", "lo", "up")
    for address in (f"{DISTANT}/32", f"{METADATA}/32", f"{METADATA6}/128"):
        run("ip", "addr", "add", address, "dev", "lo")
    run("ip", "link", "add", "stage0", "type", "veth", "peer", "name", "stage1")
    run("ip", "addr", "add", "198.18.7.1/24", "dev", "stage0")
    run("ip", "link", "set", "stage0", "up")
    run("ip", "link", "set", "stage1", "up")
    run("ip", "route", "add", "default", "via", "198.18.7.2")
    for kind, place in (
        ("debugfs", "/sys/kernel/debug"),
        ("tracefs", "/sys/kernel/tracing"),
        ("securityfs", "/sys/kernel/security"),
        ("bpf", "/sys/fs/bpf"),
        ("binfmt_misc", "/proc/sys/fs/binfmt_misc"),
    ):
        run("mount", "-t", kind, "none", place)
    run("mount", "-t", "tmpfs", "none", "/opt")
    for name in ("image", "enclave_client", "project"):
        Path("/opt", name).mkdir()
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")


def build_house(folder: Path) -> dict[str, str]:
    """Files and folders with the names an installation has; contents are made up."""
    home = folder
    files = {
        "service_secret": "keys/service.secret",
        "token_key": "keys/token.key",
        "audit_key": "audit/log.key",
        "database": "portal/portal.sqlite3",
        "other_token": "run/ws/w-2/in/token",
        "server_log": "run/ws/w-1/host/server.log",
        "host_state": "run/ws/w-1/host/state.json",
        "token_file": "run/ws/w-1/in/token",
        "other_home_file": "workspaces/first/bob/file.txt",
        "other_project_file": "projects/second/permit.yaml",
        "config": "enclave.toml",
        "file_beside": "workspaces/first/beside.txt",
        "ssh_key": "ssh/id_ed25519",
        "machine_id": "machine-id",
    }
    for name in files.values():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("made up")
    folders = ("keys", "vault", "projects", "workspaces", "run", "log", "producer")
    for name in (*folders, "shared", "docker", "boot", "modules", "var_log", "root_home"):
        (home / name).mkdir(exist_ok=True)
    (home / "kernels" / "other").mkdir(parents=True)
    (home / "kernels" / "other" / "kernel.json").write_text("{}")
    targets = {name: str(home / path) for name, path in files.items()}
    targets |= {f"{name}_folder": str(home / name) for name in (*folders, "docker", "kernels")}
    targets |= {name: str(home / name) for name in ("boot", "modules", "var_log", "root_home")}
    return targets | {
        "home_folder": str(home),
        "other_kernel": "other",
        "shadow": "/etc/shadow",
        "shared": str(home / "shared"),
    }


def open_doors(around: Surroundings, home: Path) -> dict[str, Any]:
    """Every socket that an installation has, each with somebody behind it."""
    internet = around.listen(socket.AF_INET, STREAM, (DISTANT, 443))
    metadata = around.listen(socket.AF_INET, STREAM, (METADATA, 80))
    metadata6 = around.listen(socket.AF_INET6, STREAM, (METADATA6, 80))
    around.listen(socket.AF_INET, STREAM, ("127.0.0.1", 53))
    dns = around.listen(socket.AF_INET, DATAGRAM, ("127.0.0.1", 53))
    names = "docker containerd systemd dbus journal hub portal edge control audit".split()
    sockets = {f"{name}_socket": str(home / "run" / f"{name}.sock") for name in names}
    for name in ("other_gateway", "project_gateway", "listening_socket", "other_server"):
        sockets[name] = str(home / "run" / f"{name}.sock")
    for path in sockets.values():
        around.listen(socket.AF_UNIX, STREAM, path)
    sockets["own_gateway"] = str(home / "run" / "own.sock")
    threading.Thread(target=believe_everybody, args=(sockets["own_gateway"],), daemon=True).start()
    around.targets["edge"] = around.targets["tcp4"]
    return {"internet": internet, "metadata": metadata, "metadata6": metadata6[:2], "dns": dns, **sockets}


def believe_everybody(path: str) -> None:
    """A gateway that looks at no token: answers any call with one message (HTTP/2, gRPC)."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(8)
    while True:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            message = bytes(7)
            head = struct.pack(">I", len(message))[1:] + bytes([0, 0]) + struct.pack(">I", 1)
            connection.sendall(bytes(3) + bytes([4, 0]) + bytes(4) + head + message)
            connection.recv(1)


def unlimited() -> None:
    """As a program has it that nobody confines (as far as this machine's root may)."""
    infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    wanted = {name: infinite for name in ("RLIMIT_NPROC", "RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_DATA")}
    for name, value in {**wanted, "RLIMIT_NOFILE": (20000, 20000), "RLIMIT_MEMLOCK": infinite}.items():
        number = getattr(resource, name)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(number, value)
            continue
        hard = resource.getrlimit(number)[1]
        resource.setrlimit(number, (hard, hard))


def attack(bundle: str, targets: Path, results: Path) -> int:
    """The probes, with a terminal and open files they should not have; returns the exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            become_the_attacker(bundle, targets, results)
        finally:
            traceback.print_exc()
            os._exit(99)
    said = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(terminal, 4096):
            said += chunk
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        sys.stderr.write(said.decode(errors="replace"))
    return code


def become_the_attacker(bundle: str, targets: Path, results: Path) -> None:
    """Never returns."""
    unlimited()
    os.setgroups([0, 4])
    os.set_inheritable(os.open("/", os.O_RDONLY), True)
    channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)[0]
    os.set_inheritable(channel.fileno(), True)
    home = json.loads(targets.read_text())["home_folder"]
    environment = {**os.environ, "JUPYTERHUB_API_TOKEN": "made up", "ENCLAVE_HOME": home}
    os.dup2(os.open(__file__, os.O_RDONLY), 0)
    os.execve(sys.executable, [sys.executable, bundle, str(targets), str(results), "control"], environment)


def main() -> int:
    bundle, folder = sys.argv[1], Path(sys.argv[2]).parent
    furnish()
    targets = build_house(Path(sys.argv[2]))
    resolver = folder / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\n")
    run("mount", "--bind", str(resolver), "/etc/resolv.conf")
    run("mount", "--bind", targets["home_folder"], targets["home_folder"])
    server_mark = f"enclave-selftest-server-{os.getpid()}"
    with Surroundings(DISTANT) as around:
        doors = open_doors(around, Path(targets["home_folder"]))
        server = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()", server_mark], stdin=subprocess.PIPE
        )
        all_targets = {
            **around.targets,
            **targets,
            **doors,
            "server_mark": server_mark,
            "scratch": str(Path(targets["home_folder"]) / "workspaces" / "scratch"),
            "host_name": os.uname().nodename,
            **{name: "made-up-token" for name in ("stolen_token", "forged_token", "tcp_token")},
            "processes": 200,
            "memory_mb": 256,
            "disk_mb": 16,
            "disk_seconds": 1,
            "inodes": 2000,
            "inode_seconds": 0,
            "unconfined": True,
        }
        (folder / "targets.json").write_text(json.dumps(all_targets))
        code = attack(bundle, folder / "targets.json", folder / "results.json")
        server.terminate()
        server.wait()
    return code


if __name__ == "__main__":
    raise SystemExit(main())
