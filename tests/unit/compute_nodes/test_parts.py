"""What of a node goes on after home's poll: what home names, and nothing else."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from enclave.compute_nodes import part_process
from enclave.compute_nodes.parts import Parts
from enclave.compute_nodes.requests import read_start
from enclave.workspaces.kernels import RefusedRequest

HERS, HIS = "1" * 32, "2" * 32


class UnsafePart:
    """Runs nothing; keeps its token, and what it was asked."""

    def __init__(self, *members: str) -> None:
        self.members, self.places = set(members), self
        self.token, self.asked = "", list[Any]()
        self.is_gone = False

    def write_token(self, token: str) -> None:
        self.token = token

    async def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        if self.is_gone:
            raise ConnectionResetError("gone")
        self.asked.append((question.get("do"), question.get("member")))
        return {"clusters": {HERS: dict.fromkeys(self.members)}}


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two parts of a node that takes three workers; ``ended`` are those that were ended whole."""
    node: Any = type("Node", (), {"workers": 3})
    found: Any = Parts(None, node, None)  # type: ignore[arg-type]
    found._running = {HERS: UnsafePart("a", "b"), HIS: UnsafePart("c")}
    found.ended = []

    async def end(cluster: str, part: Any) -> None:
        found.ended.append(cluster)

    monkeypatch.setattr(found, "_end", end)
    return found


def test_what_home_does_not_name_is_ended(running: Any) -> None:
    hers = running._running[HERS]
    assert asyncio.run(running.keep_only({HERS: (frozenset("a"), "fresh")})) == {HERS: {"a": None}}
    assert running.ended == [HIS] and hers.token == "fresh"
    assert hers.asked == [("stop", "b"), ("poll", None)] and running.workers == 1
    assert asyncio.run(running.keep_only({})) == {}
    assert running.ended == [HIS, HERS] and running.count == 0


def test_a_part_whose_process_has_ended_is_cleared_away(running: Any) -> None:
    running._running[HERS].is_gone = True
    kept = {HERS: (frozenset("ab"), "t"), HIS: (frozenset("c"), "t"), "3" * 32: (frozenset("d"), "t")}
    assert HERS not in asyncio.run(running.keep_only(kept))
    assert running.ended == [HERS] and running.count == 1


def test_a_full_node_says_so(running: Any) -> None:
    asked = {
        "cluster": HERS,
        "member": "d",
        "command": ["work"],
        "workspace": "w-0123456789ab",
        "username": "alice",
        "between": {"part": 1, "parts": 2, "slots": 2},
        "machines": {"0": ["home", "10.0.0.5:1"]},
        "token": "t",
        "memory_mb": 1,
        "processes": 1,
        "disk_mb": 1,
    }
    with pytest.raises(RefusedRequest, match="3 workers run already on this node"):
        asyncio.run(running.start(read_start(asked, "home")))
    running._running[HIS].members.clear()
    asyncio.run(running.start(read_start(asked, "home")))
    assert running.workers == 3
    running._running[HERS].members.discard("a")
    with pytest.raises(RefusedRequest, match="Expected a new worker"):
        asyncio.run(running.start(read_start(asked, "home")))


@pytest.mark.parametrize("ending", ["closed", "silent"])
def test_a_parts_process_ends_when_its_node_is_gone_or_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    said: list[Any] = []

    class UnsafeIslands:
        def __init__(self, plan: Any, engine: Any) -> None:
            said.append("made")

        def answer(self, request: Any) -> dict[str, Any]:
            said.append(request)
            return {"heard": True}

        def reap(self) -> None:
            return None

        def end_all(self) -> None:
            said.append("ended")

    monkeypatch.setattr(part_process, "Islands", UnsafeIslands)
    monkeypatch.setattr(part_process, "cgroups", Mock())
    state = tmp_path / "part" / "host" / "state.json"
    state.parent.mkdir(parents=True)
    plan: Any = Mock(state=state, kernel=Mock(processes=1))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    wake, sending = socket.socketpair()
    with ours, theirs, wake, sending:
        ours.send(b'{"do": "poll"}')
        if ending == "closed":
            ours.shutdown(socket.SHUT_WR)
        times = iter([0.0, 0.0, 0.0, part_process.ALONE_SECONDS])
        part_process.keep(plan, theirs, wake, lambda: next(times) if ending == "silent" else 0.0)
        assert ours.recv(10) == b"{}" and json.loads(ours.recv(100)) == {"heard": True}
    assert said == ["made", {"do": "poll"}, "ended"] and not (tmp_path / "part").exists()
