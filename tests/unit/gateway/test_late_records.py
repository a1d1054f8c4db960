"""Records that are made up for: one that cannot be tidied away, or that the log refuses, holds up no other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from audit.client import AuditClient, AuditRefused, AuditUnavailable
from audit.event import AuditEvent, Envelope
from enclave.domain.events import EventType
from enclave.gateway.late_records import LateRecords
from enclave.gateway.set_aside import FOLDER


class Log:
    """Away until told otherwise; ``made`` are the requests whose outcomes it has."""

    def __init__(self) -> None:
        self.is_there = threading.Event()
        self.made: list[str | None] = []
        self.is_whole = threading.Event()

    def record(self, event: AuditEvent, **_: object) -> None:
        if not self.is_there.is_set():
            raise AuditUnavailable("away")
        self.made.append(event.request_id)
        if len(self.made) == 2:
            self.is_whole.set()


def _outcome(request: str) -> AuditEvent:
    return AuditEvent(type=EventType.QUERY_OUTCOME, actor="u-0123456789ab", request_id=request)


def test_a_file_that_cannot_be_removed_keeps_no_record_back(tmp_path: Path) -> None:
    log = Log()
    late = LateRecords(tmp_path, cast(AuditClient, cast(Any, log)))
    late.keep(_outcome("q-1"), Envelope("e1", "gateway", "b", 1))
    (tmp_path / "q-1.json").unlink()
    (tmp_path / "q-1.json").mkdir()  # as on a disk that has become read-only: it stays where it is
    log.is_there.set()
    late.keep(_outcome("q-2"), Envelope("e2", "gateway", "b", 2))
    assert log.is_whole.wait(60)
    assert log.made == ["q-1", "q-2"]


class Picky:
    """Takes what ``takes`` says, and has no room before ``has_room`` is set; ``made`` are (type, number, event id)."""

    writer = "gateway"

    def __init__(self, takes: Callable[[AuditEvent], bool]) -> None:
        self._takes = takes
        self.has_room = True
        self.made: list[tuple[str, int, str]] = []

    def record(self, event: AuditEvent, *, envelope: Envelope, **_: object) -> None:
        if not self.has_room:
            raise AuditRefused("full", is_full=True)
        if not self._takes(event):
            raise AuditRefused("no such field")
        self.made.append((event.type, envelope.seq, envelope.event_id))


def _waiting(log: Picky, folder: Path, monkeypatch: pytest.MonkeyPatch) -> LateRecords:
    """Two outcomes that wait; the test takes the turns."""
    monkeypatch.setattr(LateRecords, "_run", lambda _: None)
    late = LateRecords(folder, cast(AuditClient, cast(Any, log)))
    for number in (1, 2):
        late.keep(_outcome(f"q-{number}"), Envelope(f"e{number}", "gateway", "b", number))
    return late


def test_what_a_full_log_refuses_is_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Picky(lambda _: True)
    late, log.has_room = _waiting(log, tmp_path, monkeypatch), False
    with pytest.raises(AuditRefused):
        late.turn()
    assert not (tmp_path / FOLDER).exists()
    log.has_room = True
    assert late.turn() == 2
    assert [item[1:] for item in log.made] == [(1, "e1"), (2, "e2")]


def test_a_log_that_takes_nothing_at_all_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Picky(lambda _: False)
    late = _waiting(closed, tmp_path, monkeypatch)
    for _ in range(2):
        with pytest.raises(AuditRefused):
            late.turn()
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["q-1.json", "q-2.json"]  # nothing was let go
    log = Picky(lambda event: event.request_id != "q-1" or event.type == EventType.RECORD_SET_ASIDE)
    late._client = cast(AuditClient, cast(Any, log))
    assert late.turn() == 2
    (name,) = {path.stem for path in (tmp_path / FOLDER).iterdir()}
    assert log.made == [(EventType.RECORD_SET_ASIDE, 1, name), (EventType.QUERY_OUTCOME, 2, "e2")]
    assert not list(tmp_path.glob("*.json"))
