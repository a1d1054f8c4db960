"""Records that are made up for: one that cannot be tidied away holds up none of the others."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

from audit.client import AuditClient, AuditUnavailable
from audit.event import AuditEvent, Envelope
from enclave.domain.events import EventType
from enclave.gateway.late_records import LateRecords


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
