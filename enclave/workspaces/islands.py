"""Dask clusters of one workspace: each on an *island*, a network namespace with nothing but loopback (ADR 27).

A small relay (``enclave.clusters.relay``) holds the namespace; scheduler and workers, the researcher's own code, join
it in sandboxes of the kernel's profile, without home and shared folder. Who asks is the clusters service, over a socket
in a folder of root's own; even so it can choose only a command, variables that begin with ``DASK_`` and the two files
of a cluster's TLS. Everything else is the plan's.
Contract of ``answer``: a dictionary in, a dictionary out; ``problem`` holds a sentence when it was refused. Non-goals:
who may have a cluster, and any record of it (``enclave.clusters`` does both). SATRE 2.1.14.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from enclave.clusters.relay import Between
from enclave.sandbox import SandboxError, SandboxProfile
from enclave.workspaces.added_packages import PACKAGES
from enclave.workspaces.engines import Engine, Sandboxed
from enclave.workspaces.host_plan import INSIDE_HOME, HostPlan
from enclave.workspaces.island_relay import open_network, start_relay
from enclave.workspaces.kernels import RefusedRequest, get_command, is_word

FOLDER = "islands"
"""Beside the host's state: a folder per cluster with its two sockets."""
SCHEDULER = "scheduler"
MOST_ISLANDS = 8
MOST_PARTS, MOST_SLOTS = 9, 256
"""Machines of one cluster, and workers on each: the relay listens for all of them (ADR 32)."""
FILES = ("dask.crt", "dask.pem")
INSIDE_FILES = Path("/run/dask")
_SCRATCH = "/tmp"  # noqa: S108  (the sandbox's own)
_CLUSTER = re.compile(r"[0-9a-f]{32}")
_MEMBER = re.compile(r"[a-z0-9-]{1,64}")
_VARIABLE = re.compile(r"DASK_[A-Z0-9_]{1,120}")
_MOST_VARIABLES = 64
_LONGEST_FILE = 1 << 14
_KILL_SECONDS = 10


@dataclass
class Island:
    """One cluster."""

    folder: Path
    relay: Sandboxed
    network: int
    """Descriptor of the namespace: it cannot become another one, as a process's number can."""
    members: dict[str, Sandboxed] = field(default_factory=dict)


class Islands:
    """See the module."""

    def __init__(self, plan: HostPlan, engine: Engine) -> None:
        self._plan = plan
        self._engine = engine
        self._folder = plan.state.parent / FOLDER
        self._islands: dict[str, Island] = {}
        self._actions: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "start": self._start,
            "poll": self._poll,
            "stop": self._stop,
        }

    def answer(self, request: object) -> dict[str, Any]:
        """One request of the clusters service."""
        try:
            action = self._actions.get(str(request.get("do"))) if isinstance(request, dict) else None
            if action is None or not isinstance(request, dict):
                raise RefusedRequest(f"Expected a request to {', '.join(self._actions)}, found something else.")
            return action(request)
        except (RefusedRequest, SandboxError, OSError) as error:
            return {"problem": str(error)}

    def end_all(self) -> None:
        """Kill every cluster and take its folder away."""
        for cluster in tuple(self._islands):
            self._end(cluster)

    def reap(self) -> None:
        """Collect what has ended. Without its relay an island ends: a member could answer in the relay's place."""
        for island in self._islands.values():
            for member in island.members.values():
                member.poll()
            if island.relay.poll() is not None:
                _kill(tuple(island.members.values()))

    def sandboxes(self) -> tuple[Sandboxed, ...]:
        """All members that were started and not stopped since; for another thread."""
        return tuple(member for island in tuple(self._islands.values()) for member in tuple(island.members.values()))

    def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        cluster, member = read_cluster(request), read_member(request)
        command, profile = get_command(request.get("command")), self._profile(request)
        self._check_room(cluster, member)
        island = self._islands.get(cluster) or self._open(cluster, read_between(request))
        try:
            if island.relay.poll() is not None:
                raise RefusedRequest("Expected a cluster whose relay runs, found it ended. Stop the cluster.")
            joined = replace(profile, network_namespace=island.network)
            island.members[member] = self._engine.start(joined, command, subprocess.DEVNULL)
        finally:
            if not island.members:
                self._end(cluster)
        return {}

    def _check_room(self, cluster: str, member: str) -> None:
        if self._plan.docker is not None or os.geteuid() != 0:
            raise RefusedRequest("Clusters need the engine bubblewrap and a hub that runs as root. Ask your admin.")
        island = self._islands.get(cluster)
        if island is None and len(self._islands) >= MOST_ISLANDS:
            raise RefusedRequest(f"{MOST_ISLANDS} clusters run already in this workspace. Stop one first.")
        if island is not None and member in island.members and island.members[member].poll() is None:
            raise RefusedRequest(f"Expected a new member, found {member} running. Stop it first.")
        others = [name for island in self._islands.values() for name in island.members if name != SCHEDULER]
        if member != SCHEDULER and len(others) >= self._plan.clusters:
            raise RefusedRequest(f"{self._plan.clusters} workers run already in this workspace. Stop one first.")

    def _open(self, cluster: str, between: Between | None) -> Island:
        folder = self._folder / cluster
        folder.mkdir(parents=True, exist_ok=True)
        for path, mode in ((self._folder, 0o700), (folder, 0o755)):
            path.chmod(mode)
        try:
            relay = start_relay(self._engine, self._plan.kernel, folder, between)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        try:
            self._islands[cluster] = Island(folder, relay, open_network(relay.pid))
        except BaseException:
            _kill((relay,))
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return self._islands[cluster]

    def _profile(self, request: dict[str, Any]) -> SandboxProfile:
        """The kernel's, without any place that outlives the sandbox."""
        kernel = self._plan.kernel
        binds = tuple(b for b in kernel.binds if not b.writable and not b.target.is_relative_to(INSIDE_HOME))
        kept = {name: value for name, value in kernel.env.items() if name != "ENCLAVE_DASK_GATEWAY"}
        return replace(
            kernel,
            binds=binds,
            env={**kept, "HOME": _SCRATCH, **_variables(request)},
            files=_files(request),
            pass_fds=(),
            working_dir=Path(_SCRATCH),
        )

    def _poll(self, request: dict[str, Any]) -> dict[str, Any]:
        codes = {
            cluster: {name: member.poll() for name, member in island.members.items()}
            for cluster, island in self._islands.items()
        }
        return {"clusters": codes, "packages": any(bind.target == PACKAGES for bind in self._plan.kernel.binds)}

    def _stop(self, request: dict[str, Any]) -> dict[str, Any]:
        cluster = read_cluster(request)
        if request.get("member") is None:
            self._end(cluster)
        elif (island := self._islands.get(cluster)) is not None:
            member = island.members.pop(read_member(request), None)
            _kill(() if member is None else (member,))
        return {}

    def _end(self, cluster: str) -> None:
        """No error when there is none."""
        island = self._islands.pop(cluster, None)
        if island is None:
            return
        _kill((*island.members.values(), island.relay))
        os.close(island.network)
        shutil.rmtree(island.folder, ignore_errors=True)


def _kill(sandboxes: tuple[Sandboxed, ...]) -> None:
    """All at once; then wait for each."""
    for sandbox in sandboxes:
        sandbox.kill()
    for sandbox in sandboxes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            sandbox.wait(_KILL_SECONDS)


def read_cluster(request: Mapping[str, Any]) -> str:
    """Raises RefusedRequest."""
    cluster = request.get("cluster")
    if not isinstance(cluster, str) or not _CLUSTER.fullmatch(cluster):
        raise RefusedRequest("Expected a cluster's id of 32 hexadecimal digits, found something else.")
    return cluster


def read_member(request: Mapping[str, Any]) -> str:
    """Raises RefusedRequest."""
    member = request.get("member")
    if not isinstance(member, str) or not _MEMBER.fullmatch(member):
        raise RefusedRequest("Expected a member's name of at most 64 of a-z, 0-9 and -, found something else.")
    return member


def read_between(request: Mapping[str, Any]) -> Between | None:
    """Which part of the cluster this is, where it has several (ADR 32). Raises RefusedRequest."""
    given = request.get("between")
    if given is None:
        return None
    bounds = {"part": (0, MOST_PARTS - 1), "parts": (2, MOST_PARTS), "slots": (1, MOST_SLOTS)}
    if not isinstance(given, dict) or given.keys() != bounds.keys():
        raise RefusedRequest("Expected part, parts and slots of a cluster on several machines, found something else.")
    if not all(type(given[name]) is int and least <= given[name] <= most for name, (least, most) in bounds.items()):
        raise RefusedRequest(f"Expected at most {MOST_PARTS} parts of {MOST_SLOTS} slots, found other numbers.")
    return Between(**given)


def _variables(request: dict[str, Any]) -> dict[str, str]:
    """An ``LD_PRELOAD`` would run before the privileges are gone; so the names are a positive list."""
    given = request.get("env", {})
    if not isinstance(given, dict) or len(given) > _MOST_VARIABLES:
        raise RefusedRequest(f"Expected at most {_MOST_VARIABLES} environment variables, found something else.")
    if not all(_VARIABLE.fullmatch(name) and is_word(value) for name, value in given.items()):
        raise RefusedRequest("Expected environment variables that begin with DASK_, found others.")
    return given


def _files(request: dict[str, Any]) -> dict[str, str]:
    given = request.get("files", {})
    is_known = isinstance(given, dict) and all(name in FILES for name in given)
    if not is_known or not all(isinstance(v, str) and v.isascii() and len(v) <= _LONGEST_FILE for v in given.values()):
        raise RefusedRequest(f"Expected the files {' and '.join(FILES)}, in PEM, found others.")
    return {str(INSIDE_FILES / name): content for name, content in given.items()}
