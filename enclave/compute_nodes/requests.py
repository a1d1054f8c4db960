"""What home asks of a node, checked word for word although only home can ask: a mistake there is no command here. Pure.

``start`` names everything a part is made with, so that a node keeps no state of a cluster between two parts of it.
Raises RefusedRequest with a sentence for home's log. What a sandbox is started with is checked where sandboxes are
(``enclave.workspaces.islands``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from enclave.clusters.relay import Between
from enclave.compute_nodes.machines import Machine
from enclave.domain.ids import USERNAME, Username, WorkspaceId
from enclave.workspaces.islands import read_between, read_cluster, read_member
from enclave.workspaces.kernels import RefusedRequest

_WORKSPACE = re.compile(r"w-[0-9a-f]{12}", re.ASCII)
_LONGEST_TOKEN = 8192
_HIGHEST = 1 << 31


@dataclass(frozen=True)
class Start:
    """A worker, and the part of its cluster that it belongs to."""

    cluster: str
    member: str
    workspace: WorkspaceId
    username: Username
    between: Between
    machines: Mapping[int, Machine]
    """The other parts' machines; 0 is home's."""
    token: str = field(repr=False)
    memory_mb: int
    processes: int
    disk_mb: int
    island: Mapping[str, Any] = field(repr=False)
    """The question to the island: command, variables, files."""


def read_start(asked: Mapping[str, Any], home: str) -> Start:
    """``home``: the name that this node knows it by, whatever it calls itself."""
    between = read_between(asked)
    if between is None or not 0 < between.part < between.parts:
        raise RefusedRequest("Expected a part of a cluster that is not home's, found another. Update home or node.")
    workspace, username = asked.get("workspace"), asked.get("username")
    if not (isinstance(workspace, str) and _WORKSPACE.fullmatch(workspace)):
        raise RefusedRequest("Expected a workspace's id, found something else.")
    if not (isinstance(username, str) and USERNAME.fullmatch(username)):
        raise RefusedRequest("Expected a username, found something else.")
    numbers = {name: asked.get(name) for name in ("memory_mb", "processes", "disk_mb")}
    if not all(type(number) is int and 0 < number < _HIGHEST for number in numbers.values()):
        raise RefusedRequest("Expected memory_mb, processes and disk_mb as numbers, found something else.")
    kept = ("do", "cluster", "member", "command", "env", "files", "between")
    return Start(
        read_cluster(asked),
        read_member(asked),
        WorkspaceId(workspace),
        Username(username),
        between,
        _machines(asked.get("machines"), between, home),
        read_token(asked.get("token")),
        island={name: asked[name] for name in kept if name in asked},
        **{name: int(number or 0) for name, number in numbers.items()},
    )


def read_token(given: object) -> str:
    """A workspace's token: one line of ASCII."""
    if not isinstance(given, str) or not given.isascii() or not given.isprintable() or len(given) > _LONGEST_TOKEN:
        raise RefusedRequest("Expected a workspace's token, found something else.")
    return given


def read_kept(asked: Mapping[str, Any]) -> dict[str, tuple[frozenset[str], str]]:
    """What home's poll names: by cluster, the workers that may go on and the workspace's token."""
    given = asked.get("clusters")
    if not isinstance(given, dict) or not all(isinstance(one, dict) for one in given.values()):
        raise RefusedRequest("Expected the clusters that go on, found something else.")
    found = {}
    for one in given.values():
        members = one.get("members")
        if not isinstance(members, list) or not all(isinstance(member, str) for member in members):
            raise RefusedRequest("Expected the workers that go on, found something else.")
        found[read_cluster(one)] = frozenset(members), read_token(one.get("token"))
    return found


def _machines(given: object, between: Between, home: str) -> dict[int, Machine]:
    """One for every part but this one."""
    found: dict[int, Machine] = {}
    for part in set(range(between.parts)) - {between.part}:
        named = given.get(str(part)) if isinstance(given, dict) else None
        is_pair = isinstance(named, list) and len(named) == 2 and all(isinstance(text, str) for text in named)
        machine = Machine.at(named[0], named[1]) if isinstance(named, list) and is_pair else None
        if machine is None:
            raise RefusedRequest("Expected name and address of every other machine of the cluster, found not all.")
        found[part] = machine if part else replace(machine, name=home)
    return found
