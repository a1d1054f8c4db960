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
from enclave.compute_nodes import parts as parts_module
from enclave.compute_nodes.parts import Kept, Parts
from enclave.compute_nodes.requests import read_start
from enclave.workspaces.kernels import RefusedRequest

HERS, HIS = "1" * 32, "2" * 32


class UnsafePart:
    """Runs nothing; keeps its token, and what it was asked. ``may_answer``: not before that is set."""

    def __init__(self, number: int, *members: str) -> None:
        self.number, self.members, self.places = number, set(members), self
        self.token, self.asked = "", list[Any]()
        self.is_gone = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    def write_token(self, token: str) -> None:
        self.token = token

    async def read_used(self) -> tuple[int, int]:
        return 7 + self.number, 9

    async def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        if self.is_gone:
            raise ConnectionResetError("gone")
        await self.may_answer.wait()
        self.asked.append((question.get("do"), question.get("member")))
        return {"clusters": dict.fromkeys((HERS, HIS), dict.fromkeys(self.members))}


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two parts of a node that takes three workers; ``ended`` are those that were ended whole, each when it may."""
    node: Any = type("Node", (), {"workers": 3, "folder": Path("/nowhere")})
    found: Any = Parts(None, node, None)  # type: ignore[arg-type]
    found._running = {HERS: UnsafePart(0, "a", "b"), HIS: UnsafePart(1, "c")}
    found.ended, found.may_end = [], asyncio.Event()
    found.may_end.set()

    async def end(cluster: str, part: Any) -> None:
        await found.may_end.wait()
        found.ended.append(cluster)

    monkeypatch.setattr(found, "_end", end)
    return found


def test_what_home_does_not_name_is_ended(running: Any) -> None:
    hers = running._running[HERS]
    assert asyncio.run(running.keep_only({HERS: (frozenset("a"), "fresh")})) == Kept(
        {HERS: {"a": None}}, [], {HERS: (7, 9)}
    )
    assert running.ended == [HIS] and hers.token == "fresh"
    assert hers.asked == [("stop", "b"), ("poll", None)] and running.workers == 1
    assert asyncio.run(running.keep_only({})) == Kept({}, [], {})
    assert running.ended == [HIS, HERS] and running.count == 0


def test_a_part_whose_process_has_ended_is_cleared_away(running: Any) -> None:
    running._running[HERS].is_gone = True
    kept = {HERS: (frozenset("ab"), "t"), HIS: (frozenset("c"), "t"), "3" * 32: (frozenset("d"), "t")}
    assert HERS not in asyncio.run(running.keep_only(kept)).clusters
    assert running.ended == [HERS] and running.count == 1


async def all_but(late: set[str], asked: dict[str, asyncio.Task[Any]]) -> None:
    await asyncio.gather(*(task for cluster, task in asked.items() if cluster not in late))


def test_a_part_that_does_not_answer_or_does_not_end_keeps_home_waiting_for_no_other(
    running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one person's part would take the node away from all."""
    late = {HERS}
    monkeypatch.setattr(running, "_be_patient", lambda asked: all_but(late, asked))
    hers, his = running._running[HERS], running._running[HIS]
    hers.may_answer.clear()
    kept = {HERS: (frozenset("a"), "t"), HIS: (frozenset("c"), "t")}

    async def run() -> None:
        for his_token in "12":
            said = await running.keep_only({**kept, HIS: (frozenset("c"), his_token)})
            assert (said.clusters, said.busy) == ({HERS: {"a": None, "b": None}, HIS: {"c": None}}, [HERS])
            assert his.token == his_token and said.used == {HERS: (7, 9), HIS: (8, 9)}
        hers.may_answer.set()
        await asyncio.gather(*running._keeping.values())
        hers.is_gone = True
        running.may_end.clear()
        late.add(HIS)
        assert (await running.keep_only({HERS: kept[HERS]})).busy == [HERS, HIS]
        while running.count:  # one is told on a thread
            await asyncio.sleep(0)
        assert await running.keep_only({HERS: kept[HERS]}) == Kept({}, [HERS, HIS], {}) and running.ended == []
        running.may_end.set()
        await asyncio.gather(*running._keeping.values())
        assert await running.keep_only({}) == Kept({}, [], {})

    asyncio.run(run())
    assert sorted(running.ended) == [HERS, HIS]


def test_what_was_asked_before_a_poll_does_not_speak_for_it(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Home frees the addresses of what it gave up, once a poll without them was answered."""
    hers = running._running[HERS]
    late = {HERS}
    monkeypatch.setattr(running, "_be_patient", lambda asked: all_but(late, asked))
    hers.may_answer.clear()

    async def run() -> None:
        assert (await running.keep_only({HERS: (frozenset("ab"), "t")})).busy == [HERS]
        late.clear()
        hers.may_answer.set()
        for busy, left in (([HERS], "ab"), ([], "a")):
            said = await running.keep_only({HERS: (frozenset("a"), "t")})
            assert (said.busy, said.clusters) == (busy, {HERS: dict.fromkeys(left)})

    asyncio.run(run())


ASKED = {
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


def test_nothing_of_a_cluster_starts_before_its_last_part_has_ended(
    running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would share a control group, and the one that ends would end the other; nor does anybody get its account."""
    opened: list[tuple[str, int]] = []

    async def open_part(start: Any) -> Any:
        opened.append((start.cluster, running._free_number()))
        part = running._running[start.cluster] = UnsafePart(opened[-1][1])
        return part

    monkeypatch.setattr(running, "_open", open_part)

    async def run() -> None:
        running.may_end.clear()
        ending = asyncio.create_task(running.stop(HERS))
        await asyncio.sleep(0)
        starting = asyncio.create_task(running.start(read_start(ASKED, "home")))
        await running.start(read_start({**ASKED, "cluster": "3" * 32}, "home"))
        assert opened == [("3" * 32, 2)] and not starting.done()
        running.may_end.set()
        await asyncio.gather(ending, starting)
        assert opened[1:] == [(HERS, 0)]
        monkeypatch.setattr(parts_module, "_TURN_SECONDS", 0.01)
        running.may_end.clear()
        ending = asyncio.create_task(running.stop(HERS))
        await asyncio.sleep(0)
        with pytest.raises(RefusedRequest, match="found it busy"):
            await running.start(read_start(ASKED, "home"))
        running.may_end.set()
        await ending
        await running.start(read_start(ASKED, "home"))

    asyncio.run(asyncio.wait_for(run(), 60))


def test_an_answer_that_comes_too_late_is_the_answer_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "_ANSWER_SECONDS", 0.01)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    nothing: Any = None

    async def run() -> None:
        part = parts_module._Running(0, nothing, nothing, ours, nothing)
        with pytest.raises(OSError):
            await part.ask({"do": "start"})
        monkeypatch.setattr(parts_module, "_ANSWER_SECONDS", 60)
        assert theirs.recv(100) == b'{"do": "start"}' and theirs.recv(100) == b""  # and it ends
        with pytest.raises(OSError):
            theirs.send(b"{}")
        with pytest.raises(OSError):
            await part.ask({"do": "poll"})

    with ours, theirs:
        asyncio.run(asyncio.wait_for(run(), 60))


def test_a_full_node_says_so(running: Any) -> None:
    asked = ASKED
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
