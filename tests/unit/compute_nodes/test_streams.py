"""Whose streams lead where: a machine's own clusters, their own addresses, and not too many."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enclave import descriptors
from enclave.clusters.relay import Between
from enclave.compute_nodes import streams as module
from enclave.compute_nodes.machines import Machine
from enclave.compute_nodes.refusals import Refusals
from enclave.compute_nodes.streams import Part, Streams

HERS, HIS = "1" * 32, "2" * 32
HOME, FIRST, SECOND = (Machine(name, "10.0.0.1", 1) for name in ("home", "first", "second"))


@pytest.fixture
def led(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Where streams of this node were led."""
    found: list[Any] = []

    async def lead(self: Streams, part: Part, address: Any, there: Any) -> None:
        found.append((part.cluster, address))

    monkeypatch.setattr(Streams, "_lead_here", lead)
    yield found


async def _refused(tmp_path: Path, names: set[str], header: dict[str, Any]) -> dict[str, int]:
    """This machine is the first node; the second one is in his cluster alone."""
    refusals = Refusals()
    streams = Streams(ssl.create_default_context(), refusals)
    for cluster, machines in ((HERS, {0: HOME}), (HIS, {0: HOME, 2: SECOND})):
        folder = tmp_path / cluster
        folder.mkdir()
        between = Between(1, max(machines) + 1 if machines.keys() - {0} else 2, 2)
        streams.open(Part(cluster, between, machines, folder, folder / "gateway.sock"))
    assert streams.knows(frozenset({"second"})) and not streams.knows(frozenset({"third", "first"}))
    await streams.lead_in(frozenset(names), header, Any)
    for cluster in (HERS, HIS):
        await streams.close(cluster)
        await streams.lead_in(frozenset({"second"}), {"cluster": cluster, "to": [1, 8800]}, Any)  # has just ended
    found: dict[str, int] = refusals.said()["refused"]
    return found


@pytest.mark.parametrize(
    ("names", "cluster", "to", "rule"),
    [
        ({"second"}, HIS, [1, 8800], ""),
        ({"home"}, HERS, [1, 8801], ""),
        ({"second"}, HERS, [1, 8800], "machine-not-in-cluster"),
        ({"third"}, HIS, [1, 8800], "machine-not-in-cluster"),
        ({"second"}, HIS, [1, 8802], "unknown-address"),
        ({"second"}, HIS, [2, 8800], "unknown-address"),
        ({"second"}, HIS, [0, 8786], "unknown-address"),
        ({"second"}, HIS, [0, 0], "unknown-address"),
        ({"second"}, HIS, [True, 8800], "unknown-address"),
        ({"second"}, HIS, [1, 8800, 1], "unknown-address"),
        ({"second"}, HIS, {"1": 8800}, "unknown-address"),
        ({"second"}, "3" * 32, [1, 8800], "unknown-cluster"),
        ({"second"}, None, [1, 8800], "unknown-cluster"),
    ],
)
def test_a_positive_list(led: list[Any], tmp_path: Path, names: set[str], cluster: Any, to: Any, rule: str) -> None:
    assert asyncio.run(_refused(tmp_path, names, {"cluster": cluster, "to": to})) == ({rule: 1} if rule else {})
    assert led == ([] if rule else [(cluster, tuple(to))])


def test_a_part_has_so_many_streams(led: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 0)
    header = {"cluster": HERS, "to": [1, 8800]}
    assert asyncio.run(_refused(tmp_path, {"home"}, header)) == {"too-many-streams": 1}
    assert led == []


def test_all_parts_together_leave_room_to_speak_to_this_machine(
    led: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster that takes all descriptors would take the machine from everybody else."""
    monkeypatch.setattr(descriptors, "limit", lambda: 8)
    held = asyncio.Event()

    async def lead(*_: object) -> None:
        led.append(len(led))
        await held.wait()

    monkeypatch.setattr(Streams, "_lead_here", lead)

    async def run() -> None:
        refusals = Refusals()
        streams = Streams(ssl.create_default_context(), refusals)
        for cluster in (HERS, HIS):
            (tmp_path / cluster).mkdir()
            streams.open(Part(cluster, Between(1, 2, 2), {0: HOME}, tmp_path / cluster, tmp_path / cluster / "g"))
        names = frozenset({"home"})

        def lead_in(cluster: str) -> asyncio.Task[None]:
            return asyncio.create_task(streams.lead_in(names, {"cluster": cluster, "to": [1, 8800]}, Any))

        first = [lead_in(HERS) for _ in range(2)]
        await asyncio.sleep(0)
        await lead_in(HIS)
        assert led == [0, 1] and refusals.said()["refused"] == {"too-many-streams": 1}
        held.set()
        await asyncio.gather(*first)
        await lead_in(HIS)
        assert led == [0, 1, 2] and refusals.said()["refused"] == {"too-many-streams": 1}
        for cluster in (HERS, HIS):
            await streams.close(cluster)

    asyncio.run(asyncio.wait_for(run(), 60))
