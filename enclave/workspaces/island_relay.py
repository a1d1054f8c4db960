"""Starts the relay that holds an island, and opens the network namespace it has made."""

from __future__ import annotations

import os
import select
import time
from dataclasses import replace
from pathlib import Path

from enclave.listening import listen_in
from enclave.sandbox import Bind, SandboxError, SandboxProfile
from enclave.settings import REPOSITORY
from enclave.workspaces.engines import Engine, Sandboxed, children

SCHEDULER_SOCKET, CONTROL_SOCKET, API_SOCKET = "scheduler.sock", "control.sock", "api.sock"
_FOLDER = Path("/run/island")
_PROGRAM = Path("/opt/enclave_relay/relay.py")
_PYTHON = ("/opt/image/bin/python3.11", "-I", "-S", "-B")
_PROGRAMS = (Path("/opt/image"), Path("/opt/python"), Path("/usr"), Path("/etc"))
_START_SECONDS = 20.0
_READY = b"ready\n"


def start_relay(engine: Engine, kernel: SandboxProfile, folder: Path) -> Sandboxed:
    """The relay between ``folder``'s sockets and a new island, once it listens on both sides. Raises SandboxError.

    The scheduler's sockets are opened out here and inherited, and the folder is read-only inside: so nothing in it can
    be replaced by a link that a service would follow.
    """
    reading, writing = os.pipe()
    with (
        listen_in(folder, SCHEDULER_SOCKET) as scheduler,
        listen_in(folder, CONTROL_SOCKET) as control,
        os.fdopen(reading, "rb", buffering=0) as told,
    ):
        inherited = (scheduler.fileno(), control.fileno())
        profile = replace(
            kernel,
            binds=(
                *(bind for bind in kernel.binds if any(bind.target.is_relative_to(path) for path in _PROGRAMS)),
                Bind(REPOSITORY / "enclave" / "clusters" / "relay.py", _PROGRAM),
                Bind(folder, _FOLDER),
            ),
            env={name: kernel.env[name] for name in ("LD_LIBRARY_PATH", "PATH") if name in kernel.env},
            pass_fds=inherited,
        )
        command = (*_PYTHON, str(_PROGRAM), *map(str, inherited), str(_FOLDER / API_SOCKET))
        try:
            relay = engine.start(profile, command, writing)
        finally:
            os.close(writing)
        said = _hear(told.fileno())
    if said != _READY:
        relay.kill()
        relay.wait(10)
        raise SandboxError(f"Expected the cluster's relay to be ready, found: {said[-500:].decode(errors='replace')!r}")
    return relay


def _hear(reading: int) -> bytes:
    """Until it is ready, has closed its end, or takes too long."""
    said, ends = b"", time.monotonic() + _START_SECONDS
    while said != _READY and (left := ends - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            more = os.read(reading, 4096)
            if not more:
                break
            said += more
    return said


def open_network(bwrap: int) -> int:
    """Descriptor of the network namespace of this ``bwrap``'s sandbox, for the caller to close.

    Raises SandboxError, OSError. The process's folder is opened first and everything read through it: a number that
    went to another process in between leads nowhere.
    """
    for child in children(bwrap):
        folder = os.open(f"/proc/{child}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with os.fdopen(os.open("stat", os.O_RDONLY, dir_fd=folder)) as stat:
                parent = int(stat.read().rsplit(")", 1)[1].split()[1])
            network = os.open("ns/net", os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
        if parent == bwrap and not os.path.samestat(os.fstat(network), Path("/proc/self/ns/net").stat()):
            return network
        os.close(network)
    raise SandboxError("Expected the relay's own network namespace, found none.")
