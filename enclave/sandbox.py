"""One sandbox for everything that runs untrusted code or touches raw data: bubblewrap (workspaces, workers, builds).

Promise: the process sees only the binds of its profile, no network unless the profile says so, no capability, its own
PID, IPC and UTS namespaces, an empty environment, and it dies with the process that started it. As root, mounts are
made by root and the program then runs under the profile's own uid (so a folder that only root can traverse may still
be bound); without root, a user namespace does the same under the caller's uid. SATRE 2.1.14, 2.2.10 and 2.2.11.

Non-goals: CPU shares and disk quotas (the workspace engine of a later issue), and programs that need a set-uid helper.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enclave.seccomp import filter_descriptor

_REPOSITORY = Path(__file__).resolve().parent.parent
_FOUNDATION = (Path("/etc/ld.so.cache"), Path("/etc/localtime"), Path("/etc/ssl/certs"), Path("/etc/fonts"))
_USR_LINKS = ("bin", "lib", "lib64", "sbin")


@dataclass(frozen=True)
class Bind:
    """One host path made visible at ``target``; read-only unless ``writable``."""

    source: Path
    target: Path
    writable: bool = False


@dataclass(frozen=True)
class SandboxProfile:
    """What one sandboxed process gets. Sizes in MiB; None means no limit of ours."""

    binds: tuple[Bind, ...]
    env: dict[str, str] = field(default_factory=dict)
    network: bool = False
    """The machine's network. Otherwise none but a loopback interface, the sandbox's own or that of the next field."""
    network_namespace: int | None = None
    """Descriptor of a network namespace to join instead of a new one (as root only). It is not inherited."""
    hosts: tuple[tuple[str, str], ...] = ()
    """Further names that resolve inside, each with its address; there is no other way to look one up."""
    uid: int | None = None
    """Numeric uid and gid to run as; only used when we are root."""
    memory_mb: int | None = None
    """Address space (RLIMIT_AS): for programs whose reservations we know, such as a query worker."""
    data_mb: int | None = None
    """Writable private memory (RLIMIT_DATA): for programs with runtimes that reserve far more than they touch."""
    processes: int | None = None
    files_mb: int | None = None
    open_files: int = 4096
    tmp_mb: int = 512
    pass_fds: tuple[int, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    """Absolute path → content of read-only files that exist in this sandbox alone; the folder above may be new."""
    seccomp: bool = True
    working_dir: Path = Path("/")
    user_name: str = "enclave"


class SandboxError(Exception):
    """The engine is missing or unfit, or a bind's source is not there; says what to do."""


class ImageNotThereError(SandboxError):
    """The engine works, and has no image to start from; says how to build it."""


def python_binds() -> tuple[Bind, ...]:
    """Binds that make this Python, its environment and our packages importable at their own paths."""
    paths = [Path(sys.base_prefix), Path(sys.prefix)]
    paths += [_REPOSITORY / name for name in ("enclave", "audit", "egress_review", "access_policies")]
    return tuple(Bind(path, path) for path in paths if not path.is_relative_to("/usr"))


def _parents(targets: Sequence[Path]) -> list[Path]:
    """Every folder above the targets, outermost first: bubblewrap would make them readable to root alone."""
    found = {parent for target in targets for parent in target.parents if parent != Path("/")}
    return sorted(found, key=lambda path: (len(path.parts), str(path)))


def _covered(path: Path, binds: Sequence[Bind]) -> bool:
    return any(path.is_relative_to(bind.target) for bind in binds) or path.is_relative_to("/usr")


def _mount_arguments(profile: SandboxProfile) -> list[str]:
    system = [Bind(path, path) for path in _FOUNDATION if path.exists()]
    binds = [*system, *profile.binds]
    arguments = ["--ro-bind", "/usr", "/usr"]
    for link in _USR_LINKS:
        arguments += ["--symlink", f"usr/{link}", f"/{link}"]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    for volatile, size in (("/tmp", profile.tmp_mb), ("/dev/shm", profile.tmp_mb)):  # noqa: S108
        arguments += ["--perms", "1777", "--size", str(size << 20), "--tmpfs", volatile]
    arguments += ["--perms", "0755", "--dir", "/run", "--perms", "0755", "--dir", "/etc"]
    fixed = {Path(p) for p in ("/proc", "/dev", "/tmp", "/run", "/etc", "/usr")}  # noqa: S108
    made: list[Bind] = []
    folders = _parents([bind.target for bind in binds])
    for bind in sorted(binds, key=lambda b: len(b.target.parts)):
        for folder in folders:
            if bind.target.is_relative_to(folder) and folder not in fixed and not _covered(folder, made):
                arguments += ["--perms", "0755", "--dir", str(folder)]
                fixed.add(folder)
        arguments += ["--bind" if bind.writable else "--ro-bind", str(bind.source), str(bind.target)]
        made.append(bind)
    return arguments


def identity_files(profile: SandboxProfile, uid: int) -> dict[str, str]:
    """Path → content of what names accounts and hosts in the sandbox; nothing of the machine's own."""
    return {
        "/etc/passwd": f"{profile.user_name}:x:{uid}:{uid}::{profile.env.get('HOME', '/')}:/bin/sh\n",
        "/etc/group": f"{profile.user_name}:x:{uid}:\n",
        "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n" + _host_lines(profile),
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }


def check_binds(profile: SandboxProfile) -> None:
    """Raises SandboxError when there is nothing to mount; no engine may make an empty folder of it."""
    for bind in profile.binds:
        if not bind.source.exists():
            raise SandboxError(f"Expected {bind.source} to mount into the sandbox, found nothing there.")


def account(profile: SandboxProfile) -> int:
    """The uid the program runs under: the profile's own when we are root, else ours."""
    return profile.uid if os.geteuid() == 0 and profile.uid is not None else os.geteuid()


def _identity_arguments(profile: SandboxProfile, uid: int) -> tuple[list[str], list[int]]:
    """Those files and the profile's own, through descriptors that bubblewrap reads."""
    arguments, descriptors = [], []
    for folder in sorted({str(Path(target).parent) for target in profile.files}):
        arguments += ["--perms", "0755", "--dir", folder]
    for target, text in {**profile.files, **identity_files(profile, uid)}.items():
        descriptors.append(_in_memory(text))
        arguments += ["--perms", "0444", "--ro-bind-data", str(descriptors[-1]), target]
    return arguments, descriptors


def _in_memory(text: str) -> int:
    """Descriptor of a file that holds ``text`` and has no name."""
    descriptor = os.memfd_create("sandbox", 0)
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(text.encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _environment(profile: SandboxProfile) -> int:
    """Descriptor of the arguments that set it: what is on a command line everybody on this machine may read."""
    env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **profile.env}
    return _in_memory("".join(f"--setenv\0{name}\0{value}\0" for name, value in env.items()))


def _host_lines(profile: SandboxProfile) -> str:
    return "".join(f"{address} {name}\n" for name, address in profile.hosts)


def _namespaces(profile: SandboxProfile, root: bool) -> list[str]:
    arguments = ["--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try", "--hostname", "workspace"]
    if not profile.network and profile.network_namespace is None:
        arguments.append("--unshare-net")
    if not root:
        arguments.append("--unshare-user")
    arguments += ["--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    if root and profile.uid is not None:
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):  # for setpriv alone; gone before the program
            arguments += ["--cap-add", capability]
    return arguments


def _joining(profile: SandboxProfile, root: bool) -> list[str]:
    """What goes before bubblewrap. It opens our descriptor for itself: one that is handed down would be seen inside."""
    if profile.network_namespace is None:
        return []
    if not root or profile.network:
        raise SandboxError("Expected root, and one network, to join a network namespace; found otherwise.")
    return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{profile.network_namespace}", "--"]


def _inner_command(profile: SandboxProfile, root: bool) -> list[str]:
    """What runs first inside: drop to the uid, then set the limits, then the program."""
    command: list[str] = []
    if root and profile.uid is not None:
        uid = profile.uid
        command += ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs"]
        command += ["--inh-caps=-all", "--bounding-set=-all"]
    command += ["prlimit", "--core=0", f"--nofile={profile.open_files}"]
    limits = (
        ("as", profile.memory_mb, 20),
        ("data", profile.data_mb, 20),
        ("nproc", profile.processes, 0),
        ("fsize", profile.files_mb, 20),
    )
    command += [f"--{name}={value << shift}" for name, value, shift in limits if value is not None]
    return [*command, "--"]


def popen(
    profile: SandboxProfile, argv: Sequence[str], *, first: Sequence[str] = (), **options: Any
) -> subprocess.Popen[bytes]:
    """Start ``argv`` in the sandbox. ``options`` go to ``subprocess.Popen`` (stdin, stdout, stderr).

    ``first``: a program that becomes process 1 in bubblewrap's place, and runs what follows it as process 2.

    Raises SandboxError when bubblewrap or a bind's source is missing. The start happens on one long-lived thread,
    because ``--die-with-parent`` ties the child to the *thread* that started it.
    """
    check_binds(profile)
    root = os.geteuid() == 0
    joined = _joining(profile, root)
    identity, descriptors = _identity_arguments(profile, account(profile))
    try:
        arguments = [*joined, "bwrap", *_namespaces(profile, root), *_mount_arguments(profile), *identity]
        if profile.seccomp:
            descriptors.append(filter_descriptor())
            arguments += ["--seccomp", str(descriptors[-1])]
        descriptors.append(_environment(profile))
        arguments += ["--args", str(descriptors[-1])]
        arguments += ["--as-pid-1"] if first else []
        arguments += ["--remount-ro", "/", "--chdir", str(profile.working_dir)]
        arguments += ["--", *first, *_inner_command(profile, root)]
        options["pass_fds"] = (*profile.pass_fds, *descriptors)
        return _SPAWNER.submit(_start, [*arguments, *argv], options).result()
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _start(command: list[str], options: dict[str, Any]) -> subprocess.Popen[bytes]:
    """With an empty environment: without root, what runs inside may read that of bubblewrap's process 1."""
    if shutil.which("bwrap") is None:
        raise SandboxError("Expected bubblewrap on this machine, found none: apt-get install bubblewrap")
    return subprocess.Popen(command, start_new_session=True, env={}, executable=shutil.which(command[0]), **options)


_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-spawner")
