"""Where the members of clusters run: the scheduler at home, workers at home and on compute nodes (ADR 27, 32).

At home the workspace's host keeps a cluster's island; on each node there is a part of its own. Which machines a cluster
may use is fixed at its start: all of the settings, or home alone where a project has packages of its own, which nodes
do not have. Contract: a machine that is away or refuses is passed over for the next one; a worker that could not be
ended keeps its address until its node says that it is gone. Non-goal: when a member starts or ends (dask-gateway).
SATRE 2.1.15.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from enclave.clusters.islands import HostAwayError, HostRefusedError, HostSocket
from enclave.clusters.machine_records import MachineRecords
from enclave.clusters.node_use import NodeUses
from enclave.clusters.nodes import Node, Nodes
from enclave.clusters.records import Owner
from enclave.clusters.relay import Address, Between
from enclave.clusters.relay import Streams as Pair
from enclave.clusters.slots import HOME, Slot, Slots
from enclave.compute_nodes.image import image_of
from enclave.compute_nodes.listener import Listener, Names
from enclave.compute_nodes.machines import HOME_NAME, Home, Machine
from enclave.compute_nodes.refusals import Refusal, Refusals
from enclave.compute_nodes.streams import Part, Streams
from enclave.compute_nodes.wire import LONGEST_HEADER
from enclave.settings import Settings

_log = structlog.get_logger()
Question = dict[str, Any]
MakeQuestion = Callable[[Address | None], Question]


@dataclass(frozen=True)
class Terms:
    """What a part on a node is made with."""

    workspace: str
    username: str
    memory_mb: int
    processes: int
    disk_mb: int


class Members:
    """One per service; ``lost`` is told the workers of a node that went away, or started anew."""

    def __init__(self, settings: Settings, home: Home | None, lost: Callable[[dict[str, str]], None]) -> None:
        self._workspaces, self._most = settings.run_dir / "ws", settings.cluster_workers
        self._home, self._lost = home, lost
        self._records = MachineRecords(settings)
        self._terms: dict[str, Terms] = {}
        self._spread: dict[str, Between] = {}
        """Clusters that may use nodes."""
        self._use = NodeUses(settings.metering_dir)
        self._slots = Slots(self._most)
        self._left: dict[int, list[Slot]] = {}
        self._refusals = Refusals()
        self._settling: asyncio.Task[None] | None = None
        if home is None:
            return
        self._streams = Streams(home.identity.client, self._refusals)
        self._listener = Listener(home.identity.server, self._refusals, self._longest, self._answer)
        image = image_of(settings)
        nodes = [Node(node, part, home.identity.client, image) for part, node in enumerate(home.nodes, HOME + 1)]
        self._nodes = Nodes(nodes, self._kept, self._records.refused, self._on_lost, self._on_polled)

    def open(self) -> None:
        """Listen for nodes and poll them, if there are any. Raises OSError."""
        if self._home is not None:
            self._listener.open(self._home.address)
            self._nodes.follow()

    async def close(self) -> None:
        """When all clusters have ended."""
        if self._settling is not None:
            self._settling.cancel()
        if self._home is not None:
            await self._listener.close()
            await self._nodes.close()

    async def machines_for(self, workspace: str) -> list[str]:
        """Names of the machines that a new cluster may use; home comes first."""
        names = [HOME_NAME]
        if self._home is not None:
            try:
                if not await self.host(workspace).has_packages():
                    names += [node.name for node in self._home.nodes]
            except (HostAwayError, HostRefusedError) as error:
                _log.info("home-only", workspace=workspace, reason=str(error))  # and its scheduler will not start
        return names

    def begin(self, cluster: str, owner: Owner, terms: Terms, machines: list[str]) -> None:
        """Before anything of it starts; ``machines``: as they were recorded."""
        self._terms[cluster] = terms
        if len(machines) > 1:
            self._spread[cluster] = Between(HOME, len(machines), self._most)
            self._use.begin(cluster, owner, terms.memory_mb)

    def open_streams(self, cluster: str, folder: Path) -> None:
        """The ways to other machines; ``folder``: the island's. Raises OSError."""
        between = self._spread.get(cluster)
        if between is not None and self._home is not None:
            gateway = self._workspaces / self._terms[cluster].workspace / "in" / "gateway.sock"
            machines = dict(enumerate(self._home.nodes, HOME + 1))
            self._streams.open(Part(cluster, between, machines, folder, gateway))

    async def start_scheduler(self, cluster: str, question: Question) -> None:
        """Raises HostAwayError, HostRefusedError."""
        await self._start_here(cluster, question)

    async def start_worker(self, cluster: str, worker: str, make: MakeQuestion) -> None:
        """On the least loaded machine that takes it; ``make``: the question for an address. Raises as above."""
        if cluster not in self._spread:
            return await self._start_here(cluster, make(None))
        problem: HostAwayError | HostRefusedError = HostRefusedError("All machines are full. Stop a worker first.")
        for part in self._slots.choose(cluster, self._capacities()):
            if (slot := self._slots.take(worker, cluster, part)) is None:
                continue
            try:
                return await self._start_at(slot, make(slot.address))
            except (HostAwayError, HostRefusedError) as error:
                problem = error
                _log.warning("worker-not-started", cluster=cluster, part=part, reason=str(error))
                await self._give_up(slot, worker)
        raise problem

    async def _give_up(self, slot: Slot, worker: str) -> None:
        """What was not started for certain keeps its address."""
        if slot.part == HOME:
            await self._quietly(self.host(self._terms[slot.cluster].workspace).stop(slot.cluster, worker))
            self._slots.free(worker)
        else:
            self._slots.leave(worker)

    async def _start_at(self, slot: Slot, question: Question) -> None:
        if slot.part == HOME or self._home is None:
            return await self._start_here(slot.cluster, question)
        machines = {HOME: self._home.address, **dict(enumerate(self._home.nodes, HOME + 1))}
        terms, between = self._terms[slot.cluster], self._spread[slot.cluster]
        return await self._nodes.nodes[slot.part].start(
            {
                **question,
                **asdict(terms),
                "do": "start",
                "token": self._token(terms.workspace),
                "between": asdict(Between(slot.part, between.parts, between.slots)),
                "machines": {str(part): _said(machine) for part, machine in machines.items()},
            }
        )

    async def _start_here(self, cluster: str, question: Question) -> None:
        between = self._spread.get(cluster)
        more = {"between": asdict(between)} if between is not None else {}
        await self.host(self._terms[cluster].workspace).start({**question, **more})

    async def runs(self, cluster: str, member: str) -> bool:
        """Workers on a node that is away are ``lost``'s business."""
        node = self._node_of(member)
        if node is not None:
            members = node.members.get(cluster, {})
            return not node.is_usable or (member in members and members[member] is None)
        if (terms := self._terms.get(cluster)) is None:
            return False
        try:
            members = (await self.host(terms.workspace).poll()).get(cluster, {})
        except (HostAwayError, HostRefusedError):
            return False
        return member in members and members[member] is None

    def is_replaced(self, worker: str) -> bool:
        """It ended before it ran: should another machine be tried, without a word of failure? On a node that was not
        doubted yet, yes: one broken machine shall not fail every cluster."""
        slot = self._slots.find(worker)
        if slot is None or slot.part == HOME:
            return False
        self._slots.doubt(slot)
        return not slot.is_doubted

    async def stop_worker(self, cluster: str, worker: str) -> None:
        """Raises HostAwayError, HostRefusedError."""
        node, terms = self._node_of(worker), self._terms.get(cluster)
        if node is None and terms is not None:
            await self.host(terms.workspace).stop(cluster, worker)
            self._slots.free(worker)
        if node is None:
            return
        try:
            if not node.is_usable:
                raise HostAwayError(f"The compute node {node.machine.name} is away. It ends what it has by itself.")
            await node.stop(cluster, worker)
            self._slots.free(worker)
        except (HostAwayError, HostRefusedError):
            self._slots.leave(worker)
            raise

    async def stop_cluster(self, cluster: str) -> None:
        """All of it, on all machines. Never raises: what is away ends it by itself."""
        terms = self._terms.pop(cluster, None)
        waiting = [self._quietly(self.host(terms.workspace).stop(cluster))] if terms else []
        if self._spread.pop(cluster, None) is not None and self._home is not None:
            waiting += [self._quietly(self._stop_part(node, cluster)) for node in self._nodes.nodes.values()]
            await self._streams.close(cluster)
        await asyncio.gather(*waiting)
        self._slots.free_cluster(cluster)
        await self._use.end(cluster)

    async def _stop_part(self, node: Node, cluster: str) -> None:
        if node.is_usable:
            self._use.note(cluster, node.part, await node.stop(cluster))

    def host(self, workspace: str) -> HostSocket:
        """The workspace's own."""
        return HostSocket(self._workspaces / workspace / "host")

    def settle(self) -> None:
        """Record what home's own port has refused; a log that hangs is not waited for."""
        if self._settling is None or self._settling.done():
            self._settling = asyncio.create_task(self._settle())

    async def _settle(self) -> None:
        said = self._refusals.said()
        for rule, times in said["refused"].items():
            new = times - said["recorded"].get(rule, 0)
            if new > 0 and await self._records.refused(HOME_NAME, rule, new):
                self._refusals.note(self._refusals.boot, {rule: times})

    def _capacities(self) -> dict[int, int]:
        usable = {node.part: node.workers for node in self._nodes.nodes.values() if node.is_usable}
        return {HOME: self._most, **usable}

    def _node_of(self, member: str) -> Node | None:
        slot = self._slots.find(member)
        return self._nodes.nodes[slot.part] if slot is not None and slot.part != HOME else None

    def _kept(self, node: Node) -> dict[str, Question]:
        self._left[node.part] = self._slots.left_at(node.part)
        kept: dict[str, Question] = {}
        for worker, cluster in self._slots.workers_at(node.part).items():
            if cluster not in self._spread:
                continue
            try:
                token = self._token(self._terms[cluster].workspace)
            except HostAwayError:
                continue  # the workspace is gone, and so is its cluster soon
            kept.setdefault(cluster, {"cluster": cluster, "token": token, "members": []})["members"].append(worker)
        return kept

    def _on_polled(self, node: Node) -> None:
        """What nobody wanted any more when it was asked is gone, but for what the node could not end yet."""
        self._slots.free_left([slot for slot in self._left.get(node.part, []) if slot.cluster not in node.busy])
        self._use.take_poll(node.part, node.used)

    def _on_lost(self, node: Node) -> None:
        _log.warning("node-lost", node=node.machine.name)
        self._streams.drop(node.machine.name)
        self._use.lose(node.part)
        self._lost(self._slots.workers_at(node.part))

    def _token(self, workspace: str) -> str:
        try:
            return (self._workspaces / workspace / "in" / "token").read_text().strip()
        except OSError as error:
            raise HostAwayError("The workspace has no token. Restart the workspace.") from error

    def _longest(self, names: Names) -> int:
        known = self._home is not None and any(node.name in names for node in self._home.nodes)
        return LONGEST_HEADER if known else 0

    async def _answer(self, names: Names, header: Question, there: Pair) -> None:
        if "do" in header:
            self._refusals.add(Refusal.NOT_HOME)
        else:
            await self._streams.lead_in(names, header, there)

    async def _quietly(self, work: Any) -> None:
        try:
            await work
        except (HostAwayError, HostRefusedError) as error:
            _log.info("not-stopped", reason=str(error))


def _said(machine: Machine) -> list[str]:
    host = f"[{machine.host}]" if ":" in machine.host else machine.host
    return [machine.name, f"{host}:{machine.port}"]
