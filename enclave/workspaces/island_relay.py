"""Starts the relay that holds an island, and opens the network namespace it has made."""

from __future__ import annotations

import json
import os
import select
import socket
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

from enclave.clusters.relay import API_PORT, CONTROL_PORT, SCHEDULER_PORT, Between
from enclave.listening import listen_in
from enclave.process_table import children
from enclave.sandbox import Bind, SandboxError, SandboxProfile
from enclave.settings import REPOSITORY
from enclave.workspaces.engines import Engine, Sandboxed

SCHEDULER_SOCKET, CONTROL_SOCKET, API_SOCKET = "scheduler.sock", "control.sock", "api.sock"
IN_SOCKET, OUT_SOCKET = "in.sock", "out.sock"
"""From and to the cluster's parts on other machines (ADR 32)."""
_FOLDER = Path("/run/island")
_PROGRAM = Path("/opt/enclave_relay/relay.py")
_PYTHON = ("/opt/image/bin/python3.11", "-I", "-S", "-B")
_PROGRAMS = (Path("/opt/image"), Path("/opt/python"), Path("/usr"), Path("/etc"))
_START_SECONDS = 20.0
_READY = b"ready\n"


def start_relay(engine: Engine, kernel: SandboxProfile, folder: Path, between: Between | None = None) -> Sandboxed:
    """The relay between ``folder``'s sockets and a new island, once it listens on both sides. Raises SandboxError.

    Sockets that lead in are opened out here and inherited, and the folder is read-only inside: so nothing in it can be
    replaced by a link that a service would follow. A part on another machine (``between``) has no scheduler.
    """
    is_home = between is None or between.part == 0
    led = {SCHEDULER_SOCKET: SCHEDULER_PORT, CONTROL_SOCKET: CONTROL_PORT} if is_home else {}
    names = (*led, *((IN_SOCKET,) if between is not None else ()))
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as told:
        with ExitStack() as opened:
            opened.callback(os.close, writing)
            given = {name: opened.enter_context(listen_in(folder, name)) for name in names}
            command = (*_PYTHON, str(_PROGRAM), _plan(led, given, between))
            relay = engine.start(_profile(kernel, folder, given), command, writing)
        said = _hear(told.fileno())
    if said != _READY:
        relay.kill()
        relay.wait(10)
        raise SandboxError(f"Expected the cluster's relay to be ready, found: {said[-500:].decode(errors='replace')!r}")
    return relay


def _plan(led: dict[str, int], given: dict[str, socket.socket], between: Between | None) -> str:
    """What the relay is told; ``led`` is empty where there is no scheduler."""
    plan = {
        "in": [(given[name].fileno(), port) for name, port in led.items()],
        "out": [(API_PORT, str(_FOLDER / API_SOCKET))] if led else [],
        "between": between and (given[IN_SOCKET].fileno(), str(_FOLDER / OUT_SOCKET), asdict(between)),
    }
    return json.dumps(plan)


def _profile(kernel: SandboxProfile, folder: Path, given: dict[str, socket.socket]) -> SandboxProfile:
    return replace(
        kernel,
        binds=(
            *(bind for bind in kernel.binds if any(bind.target.is_relative_to(path) for path in _PROGRAMS)),
            Bind(REPOSITORY / "enclave" / "clusters" / "relay.py", _PROGRAM),
            Bind(folder, _FOLDER),
        ),
        env={name: kernel.env[name] for name in ("LD_LIBRARY_PATH", "PATH") if name in kernel.env},
        pass_fds=tuple(one.fileno() for one in given.values()),
    )


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
            with os.fdopen(os.open("stat", os.O_RDONLY, dir_fd=folder), "rb") as stat:  # a name may be no UTF-8
                parent = int(stat.read().rsplit(b")", 1)[1].split()[1])
            network = os.open("ns/net", os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
        if parent == bwrap and not os.path.samestat(os.fstat(network), Path("/proc/self/ns/net").stat()):
            return network
        os.close(network)
    raise SandboxError("Expected the relay's own network namespace, found none.")
