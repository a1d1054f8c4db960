"""What nodes say that clusters use: counted once, within bounds, and written beside the workspace's own use."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from enclave.clusters.node_use import MOST_CORES, NodeUse, NodeUses
from enclave.clusters.nodes import read_used
from enclave.clusters.records import Owner
from enclave.domain.ids import ProjectId
from enclave.domain.usage import Month
from enclave.metering.ledger import today
from enclave.metering.readings import Reading
from enclave.metering.report import workspace_days

SECOND, MB = 10**9, 1 << 20


def test_each_part_counts_from_its_own_beginning() -> None:
    now = [0.0]
    use = NodeUse(100 * MB, lambda: now[0])

    def note(part: int, seconds: int, memory: int) -> Reading:
        now[0] += 2
        use.note(part, Reading(seconds * SECOND, memory * MB))
        return use.read()

    assert note(1, 3, 10) == Reading(3 * SECOND, 10 * MB)
    assert note(2, 1, 20) == Reading(4 * SECOND, 30 * MB)
    assert note(1, 5, 40) == Reading(6 * SECOND, 60 * MB)
    use.is_away(1)
    assert use.read() == Reading(6 * SECOND, 20 * MB)
    assert note(1, 6, 40) == Reading(7 * SECOND, 60 * MB)  # it was away for a moment only
    assert note(1, 2, 40) == Reading(9 * SECOND, 60 * MB)  # the node has started anew
    use.has_ended(1)
    use.has_ended(3)
    assert use.read() == Reading(9 * SECOND, 20 * MB)
    assert note(1, 4, 0) == Reading(13 * SECOND, 20 * MB)


def test_a_node_that_lies_is_believed_within_bounds() -> None:
    now = [0.0]
    use = NodeUse(100 * MB, lambda: now[0])
    now[0] = 2.0
    use.note(1, Reading(1 << 60, 1 << 60))
    assert use.read() == Reading(2 * MOST_CORES * SECOND, 100 * MB)
    for wrong in (None, [], [1], [1, 2, 3], [1, -1], [True, 1], ["1", 1], [1.5, 1], [1 << 62, 1], {"0": 1}):
        assert read_used(wrong) is None


def test_it_stands_with_the_projects_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uses, project = NodeUses(tmp_path), ProjectId("heart-study")
    uses.begin("c" * 32, Owner("u-0123456789ab", project, "w-0123456789ab"), 100)
    uses.take_poll(1, {"c" * 32: Reading(5, 10 * MB), "d" * 32: Reading(9, 9)})
    uses.note("c" * 32, 1, Reading(8, MB))
    uses.note("c" * 32, 2, None)
    asyncio.run(uses.end("c" * 32))
    asyncio.run(uses.end("c" * 32))
    (days,) = workspace_days(tmp_path, project, Month.of(today()))
    assert days is not None and [used.cpu_ns for used in days.values()] == [8]
    assert [(used.seconds, used.memory_peak_bytes) for used in days.values()] == [(0, MB)]
    monkeypatch.setattr("enclave.clusters.node_use.begin_ledger", _full)
    uses.begin("e" * 32, Owner("u-0123456789ab", project, "w-0123456789ab"), 100)  # and the cluster goes on
    uses.take_poll(1, {"e" * 32: Reading(5, 5)})


def _full(*_: object) -> Path:
    raise OSError("no space")
