"""A node that lies, one whose refusals the log does not take, and one that could not be used before it went away."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any
from unittest.mock import Mock

import pytest

from enclave.clusters import nodes as module
from enclave.clusters.islands import HostAwayError
from enclave.clusters.nodes import Node, Nodes, Question
from enclave.compute_nodes.machines import Machine

GOOD = {
    "boot": "one",
    "image": "same",
    "workers": 2,
    "clusters": {"c": {"w": None}},
    "busy": [],
    "refused": {},
    "recorded": {},
}


class UnsafeNode(Node):
    """Answers what ``says`` holds; ``heard`` is what it was asked."""

    def __init__(self) -> None:
        nothing: Any = None
        super().__init__(Machine("node-1", "10.0.0.6", 1), 1, nothing, "same")
        self.says = json.dumps(GOOD).encode()
        self.heard: list[Question] = []

    async def connect(self, *_: object) -> Any:
        if self.says == b"":
            raise ConnectionRefusedError("nobody there")
        reader = asyncio.StreamReader()
        reader.feed_data(struct.pack("!I", len(self.says)) + self.says)
        writer = Mock()
        writer.write = lambda said: self.heard.append(json.loads(said)) if said.startswith(b"{") else None
        writer.drain = lambda: asyncio.sleep(0)
        return reader, writer


class Told:
    """What home was told; ``taken``: what the log answers, once it does."""

    def __init__(self) -> None:
        self.lost: list[Node] = []
        self.polled = 0
        self.recorded: list[tuple[str, str, int]] = []
        self.taken: asyncio.Future[bool] | None = None

    async def record(self, *refused: Any) -> bool:
        self.recorded.append(refused)
        return True if self.taken is None else await self.taken

    def poll(self, _: Node) -> None:
        self.polled += 1


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> UnsafeNode:
    found = UnsafeNode()
    monkeypatch.setattr(module, "connect_tls", found.connect)
    return found


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def nodes(node: UnsafeNode, told: Told) -> Nodes:
    return Nodes([node], lambda _: {}, told.record, told.lost.append, told.poll)


@pytest.mark.parametrize(
    "says",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"a":' * 40_000,
        b"9" * 10_000,
        b"\xff",
        *(
            json.dumps({**GOOD, **changed}).encode()
            for changed in (
                {"workers": float("inf")},
                {"workers": "many"},
                {"workers": None},
                {"boot": ["one"]},
                {"image": 1},
                {"clusters": []},
                {"clusters": {"c": ["w"]}},
                {"busy": None},
                {"busy": [1]},
            )
        ),
    ],
)
def test_a_node_that_answers_nonsense_is_away(nodes: Nodes, node: UnsafeNode, told: Told, says: bytes) -> None:
    async def run() -> None:
        await nodes.look(node)
        assert node.is_usable and node.members == {"c": {"w": None}}
        node.says = says
        for polls in range(1, 4):
            await nodes.look(node)
            assert (node.is_usable, told.lost) == ((True, []) if polls < 2 else (False, [node]))
        node.says = json.dumps(GOOD).encode()
        await nodes.look(node)
        assert node.is_usable and told.polled == 2

    asyncio.run(run())


def test_a_start_that_is_answered_with_nonsense_was_none(nodes: Nodes, node: UnsafeNode) -> None:
    node.says = b"[" * 100_000
    for work in (node.start({"cluster": "c", "member": "w"}), node.stop("c", "w")):
        with pytest.raises(HostAwayError):
            asyncio.run(work)


def test_one_that_could_not_be_used_is_lost_as_well(nodes: Nodes, node: UnsafeNode, told: Told) -> None:
    """Its workers of before compute until it goes away."""
    node.says = json.dumps({**GOOD, "image": "another"}).encode()
    asyncio.run(nodes.look(node))
    assert not node.is_usable
    node.says = b""
    for _ in range(3):
        asyncio.run(nodes.look(node))
    assert told.lost == [node]


def test_polls_go_on_while_the_log_hangs_and_nothing_is_recorded_twice(
    nodes: Nodes, node: UnsafeNode, told: Told
) -> None:
    def refused(times: int, recorded: int = 0, boot: str = "one") -> bytes:
        return json.dumps(
            {**GOOD, "boot": boot, "refused": {"unknown-address": times}, "recorded": {"unknown-address": recorded}}
        ).encode()

    async def settle(nodes: Nodes) -> None:
        await asyncio.gather(*nodes._recording.values())
        await asyncio.sleep(0)

    async def look(says: bytes) -> None:
        node.says = says
        await asyncio.wait_for(nodes.look(node), 60)
        await asyncio.sleep(0)

    async def run() -> None:
        told.taken = asyncio.get_running_loop().create_future()
        await look(refused(3))
        await look(refused(4))
        assert told.recorded == [("node-1", "unknown-address", 3)] and told.polled == 2
        told.taken.set_result(True)
        await settle(nodes)
        await look(refused(4))  # its answer was on its way before it could be told
        await settle(nodes)
        assert [times for *_, times in told.recorded] == [3, 1]
        await look(refused(4))
        assert node.heard[-1]["recorded"] == {"unknown-address": 4}
        told.taken = asyncio.get_running_loop().create_future()
        await look(refused(9, 4))
        await look(refused(2, boot="two"))  # it has started anew, while the last word of its life before is recorded
        told.taken.set_result(True)
        await settle(nodes)
        await look(refused(2, boot="two"))
        await settle(nodes)
        assert [times for *_, times in told.recorded] == [3, 1, 5, 2] and told.lost == [node]
        await nodes.close()

    asyncio.run(run())
