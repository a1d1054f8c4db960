"""A task that meets a full house waits and asks for another ticket; anything else it says at once."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from enclave_client.dask import parts
from enclave_client.dask.parts import Plan, read_part
from enclave_client.errors import EnclaveError

from enclave.domain.ids import PersonId, ProjectId
from enclave.gateway.person_worker import PersonWorker, WorkerPlace
from enclave.gateway.worker_stream import QueryFailedError

PLAN = Plan("visit", "p-1", 3, 9, 8, b"")
TABLE = pa.table({"n": [1]})


def busy_sentence(tmp_path: Any) -> str:
    """What the gateway says."""
    place = WorkerPlace((ProjectId("heart-study"), PersonId("u-000000000001")), tmp_path / "s", tmp_path, 0)
    worker = PersonWorker(place, None, lambda _: None, lambda _: None)  # type: ignore[arg-type]
    worker.enter(1)
    with pytest.raises(QueryFailedError) as error:
        worker.enter(1)
    return error.value.sentence


class Gateway:
    """Answers with what it was told, one after the other; remembers what was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[bytes] = []

    def ask(self, plan: Plan, part: int, request: Any) -> bytes:
        return f"ticket {len(self.asked)} for part {part}".encode()

    def redeem(self, ticket: bytes) -> pa.Table:
        self.asked.append(ticket)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(parts, "time", SimpleNamespace(sleep=pauses.append, monotonic=time.monotonic))
    return pauses


def serve(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> Gateway:
    gateway = Gateway(*answers)
    monkeypatch.setattr(parts, "_ask", gateway.ask)
    monkeypatch.setattr(parts, "_redeem", gateway.redeem)
    return gateway


def test_a_full_house_is_waited_for_with_a_new_ticket_each_time(
    monkeypatch: pytest.MonkeyPatch, wait: list[float], tmp_path: Any
) -> None:
    busy = OSError(f"Flight error: {busy_sentence(tmp_path)}")
    gateway = serve(monkeypatch, *[busy] * 6, TABLE)
    assert read_part(PLAN, 2, {}) is TABLE
    assert len(set(gateway.asked)) == 7 and all(ticket.endswith(b"part 2") for ticket in gateway.asked)
    assert wait == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0]


def test_a_lost_connection_is_tried_again_a_few_times(monkeypatch: pytest.MonkeyPatch, wait: list[float]) -> None:
    gateway = serve(monkeypatch, *[OSError("failed to connect to all addresses")] * 3)
    with pytest.raises(EnclaveError, match="The gateway does not answer"):
        read_part(PLAN, 1, {})
    assert len(gateway.asked) == 3


def test_a_refusal_is_said_at_once(monkeypatch: pytest.MonkeyPatch, wait: list[float]) -> None:
    gateway = serve(monkeypatch, EnclaveError("The data permit allows 5 rows for one query."))
    with pytest.raises(EnclaveError, match="allows 5 rows"):
        read_part(PLAN, 1, {})
    assert len(gateway.asked) == 1 and wait == []
