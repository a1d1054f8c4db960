"""Which machine takes a worker: the next one where one refuses or is away; home alone for a project with packages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.client import AuditClient
from enclave.clusters.islands import HostAwayError, HostRefusedError, HostSocket
from enclave.clusters.machine_records import MOST, MachineRecords
from enclave.clusters.members import Members, Terms
from enclave.clusters.nodes import Node
from enclave.clusters.records import Owner
from enclave.compute_nodes.machines import Home, Identity, Machine
from enclave.settings import Settings

CLUSTER, WORKSPACE = "c" * 32, "w-0123456789ab"
ALL = ["home", "node-1", "node-2"]
OWNER = Owner("u-0123456789ab", "heart-study", WORKSPACE)


class UnsafeMachines:
    """Says yes unless told otherwise; ``asked``: machines, each with the address of a worker it was to start."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.problems: dict[str, Exception] = {}
        self.has_packages = False
        self.lost: list[dict[str, str]] = []

    def take(self, machine: str, question: dict[str, Any]) -> None:
        self.asked.append((machine, question["at"]))
        if machine in self.problems:
            raise self.problems[machine]


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> UnsafeMachines:
    found = UnsafeMachines()

    async def start_here(self: HostSocket, question: dict[str, Any]) -> None:
        found.take("home", question)

    async def start_there(self: Node, question: dict[str, Any]) -> None:
        assert question["token"] == "token" and question["machines"].keys() == {"0", "1", "2"}
        assert question["between"] == {"part": self.part, "parts": 3, "slots": 2}
        found.take(self.machine.name, question)

    async def has_packages(self: HostSocket) -> bool:
        return found.has_packages

    async def stop(self: Any, cluster: str, member: str | None = None) -> None:
        return None

    monkeypatch.setattr(HostSocket, "start", start_here)
    monkeypatch.setattr(HostSocket, "has_packages", has_packages)
    monkeypatch.setattr(Node, "start", start_there)
    for kind in (HostSocket, Node):
        monkeypatch.setattr(kind, "stop", stop)
    return found


@pytest.fixture
def members(tmp_path: Path, machines: UnsafeMachines) -> Iterator[Members]:
    token = tmp_path / "run" / "ws" / WORKSPACE / "in" / "token"
    token.parent.mkdir(parents=True)
    token.write_text("token\n")
    nodes = tuple(Machine(name, "10.0.0.6", port) for port, name in enumerate(ALL[1:], 1))
    nothing: Any = None
    home = Home(Machine("home", "10.0.0.5", 1), nodes, Identity(nothing, nothing, nothing))
    settings = Settings(home=tmp_path, cluster_workers=2)
    found = Members(settings, home, machines.lost.append)
    for node in found._nodes.nodes.values():
        node.is_usable, node.workers = True, 2
    found.begin(CLUSTER, OWNER, Terms(WORKSPACE, "alice", 1024, 64, 64), ALL)
    yield found
    for cluster in (CLUSTER, "d" * 32):
        asyncio.run(found._use.end(cluster))


def start(members: Members, *workers: str) -> None:
    for worker in workers:
        asyncio.run(members.start_worker(CLUSTER, worker, lambda at: {"cluster": CLUSTER, "member": "w", "at": at}))


def test_workers_are_spread_and_each_has_its_address(members: Members, machines: UnsafeMachines) -> None:
    start(members, *"abcdef")
    assert machines.asked == [
        *(("home", (0, 8800)), ("node-1", (1, 8800)), ("node-2", (2, 8800))),
        *(("home", (0, 8801)), ("node-1", (1, 8801)), ("node-2", (2, 8801))),
    ]
    with pytest.raises(HostRefusedError, match="full"):
        start(members, "g")


@pytest.mark.parametrize("problem", [HostAwayError("away"), HostRefusedError("full")])
def test_a_machine_that_does_not_take_it_is_passed_over(
    members: Members, machines: UnsafeMachines, problem: Exception
) -> None:
    machines.problems = {"home": problem, "node-1": problem}
    start(members, "a")
    assert [name for name, _ in machines.asked] == ALL
    machines.problems = {}
    start(members, "b", "c")
    assert machines.asked[3:] == [("home", (0, 8800)), ("node-1", (1, 8801))]  # what may be there keeps its address
    machines.problems = dict.fromkeys(ALL, problem)
    with pytest.raises(type(problem)):
        start(members, "d")


def test_a_node_that_went_away_is_told_by_its_workers(members: Members, machines: UnsafeMachines) -> None:
    start(members, *"abc")
    node = members._nodes.nodes[1]
    node.is_usable = False
    members._on_lost(node)
    assert machines.lost == [{"b": CLUSTER}]
    with pytest.raises(HostAwayError, match="ends what it has by itself"):
        asyncio.run(members.stop_worker(CLUSTER, "b"))
    start(members, "d")
    assert machines.asked[-1] == ("home", (0, 8801))
    assert members._kept(node) == {}
    node.is_usable = True
    start(members, "e")
    assert machines.asked[-1] == ("node-1", (1, 8801))
    members._on_polled(node)  # it was asked before "e", and "b" was not named
    start(members, "f", "g")
    assert ("node-1", (1, 8800)) in machines.asked[-2:]
    assert sorted(members._kept(node)[CLUSTER]["members"]) == ["e", "f"]


def test_a_worker_that_ends_on_a_broken_node_is_tried_elsewhere(members: Members, machines: UnsafeMachines) -> None:
    """It would be chosen again and again, and three workers that end before they run fail a cluster."""
    start(members, *"abcde")
    assert [members.is_replaced(worker) for worker in ("a", "b", "e", "x")] == [False, True, True, False]
    for worker in ("b", "e"):
        asyncio.run(members.stop_worker(CLUSTER, worker))
    start(members, "f", "g")
    assert machines.asked[5:] == [("node-2", (2, 8801)), ("node-1", (1, 8800))]
    assert not members.is_replaced("g")


def test_what_a_node_could_not_end_yet_keeps_its_address(members: Members, machines: UnsafeMachines) -> None:
    start(members, *"abc")
    node = members._nodes.nodes[1]
    members._slots.leave("b")
    for node.busy, port in ((frozenset({CLUSTER}), 8801), (frozenset(), 8800)):
        members._kept(node)
        members._on_polled(node)
        slot = members._slots.take("d", CLUSTER, 1)
        assert slot is not None and slot.address == (1, port)


@pytest.mark.parametrize(("has_packages", "expected"), [(False, ALL), (True, ["home"])])
def test_which_machines_a_cluster_may_use(
    members: Members, machines: UnsafeMachines, has_packages: bool, expected: list[str]
) -> None:
    machines.has_packages = has_packages
    assert asyncio.run(members.machines_for(WORKSPACE)) == expected
    members.begin("d" * 32, OWNER, Terms(WORKSPACE, "alice", 1024, 64, 64), expected)
    work = members.start_worker("d" * 32, "a", lambda at: {"cluster": "d" * 32, "member": "w", "at": at})
    asyncio.run(work)
    assert machines.asked == [("home", None if has_packages else (0, 8800))]


def test_the_log_is_not_filled_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, events = [0.0], list[Any]()
    records = MachineRecords(Settings(home=tmp_path), lambda: now[0])
    monkeypatch.setattr(records._client, "record", events.append)

    async def refuse(machine: str, times: int) -> bool:
        return await records.refused(machine, "malformed-header", times)

    assert all(asyncio.run(refuse("node-1", 1)) for _ in range(MOST))
    assert not asyncio.run(refuse("node-1", 5)) and asyncio.run(refuse("node-2", 1))
    now[0] = 3600.0
    assert asyncio.run(refuse("node-1", 9)) and len(events) == MOST + 2
    assert (events[-1].subject, dict(events[-1].counts)) == ("node-1", {"times": 9})
    monkeypatch.setattr(records, "_client", AuditClient(tmp_path / "nobody.sock", "clusters"))
    assert not asyncio.run(refuse("node-3", 1))
