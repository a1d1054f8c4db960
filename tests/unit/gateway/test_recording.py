"""What the log would refuse: cut so that it takes it, or handed on so that something takes its place."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from audit.canonical import CanonicalError
from audit.client import AuditClient, AuditRefused
from audit.event import AuditEvent, EventError
from enclave.domain.ids import PersonId, ProjectId
from enclave.domain.person_rules import NO_RULES
from enclave.gateway.admission import Door
from enclave.gateway.gate import ExaminedStatement
from enclave.gateway.recording import OutgoingRecord, Recorder, RecordingFailedError
from enclave.gateway.statements import Prepared

ALICE = PersonId("u-000000000001")
DOOR = Door(ProjectId("heart-study"), Path("gateway.sock"))
CALLER: Any = SimpleNamespace(
    claims=SimpleNamespace(person=ALICE, project=DOOR.project, workspace=None, token_id="t-1"),
    record=SimpleNamespace(extract_version="v1"),
    files=SimpleNamespace(manifest=SimpleNamespace(dataset="sample", dataset_version="1")),
    policies=(),
    rules=NO_RULES,
)


class Late:
    """Keeps what could not be recorded."""

    def __init__(self) -> None:
        self.kept: list[AuditEvent] = []

    def keep(self, event: AuditEvent, envelope: object) -> None:
        self.kept.append(event)


class Log(AuditClient):
    """Checks events as the real client does, then takes them or answers like ``failure``."""

    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__("nowhere", "gateway")
        self.failure = failure
        self.taken: list[AuditEvent] = []

    def send(self, event: AuditEvent, **options: Any) -> Any:
        super().send(event, **{**options, "timeout": 0.0})
        self.taken.append(event)
        return SimpleNamespace(is_sent=True, wait=self._answer, is_answered=lambda: True)

    def _answer(self, *_: object) -> None:
        if self.failure is not None:
            raise self.failure


TOO_LONG = AuditEvent("query:intent", ALICE, data={"tables": ["t" * 70_000]})
NO_COUNT = AuditEvent("query:outcome", ALICE, counts={"rows": 2**60})


@pytest.mark.parametrize(("event", "kind"), [(TOO_LONG, CanonicalError), (NO_COUNT, EventError)])
def test_a_record_that_cannot_even_be_sent_is_kept_and_said(event: AuditEvent, kind: type[Exception]) -> None:
    late = Late()
    record = OutgoingRecord(Log(), cast(Any, late), event)
    assert not record.is_sent and record.is_answered()
    for _ in range(2):
        with pytest.raises(RecordingFailedError, match="does not take the record") as failure:
            record.wait()
    assert isinstance(failure.value.__cause__, kind)
    assert late.kept == [event]


def test_a_full_log_is_called_away_and_one_that_refuses_is_not() -> None:
    for is_full, sentence in ((True, "does not answer"), (False, "does not take the record")):
        late = Late()
        record = OutgoingRecord(Log(AuditRefused("no", is_full=is_full)), cast(Any, late), AuditEvent("a:b", ALICE))
        with pytest.raises(RecordingFailedError, match=sentence):
            record.wait()
        assert len(late.kept) == 1


def test_a_refusal_that_cannot_be_recorded_as_it_is_is_kept() -> None:
    late = Late()
    caller = SimpleNamespace(claims=CALLER.claims, policies=("p" * 70_000,))
    Recorder(Log(), cast(Any, late)).statement_refused(DOOR, cast(Any, caller), "table", "No.", "SELECT 1")
    assert [event.type for event in late.kept] == ["query:refused"]


def test_more_tables_than_a_leaf_has_room_for_are_counted_and_listed_in_the_payload() -> None:
    """A person's own views may stand for a thousand of their own tables, each with a name of 63 characters."""
    tables = tuple(f"scratch.{number:04}{'é' * 59}" for number in range(1000))
    log = Log()
    statement, examined = Prepared(ALICE, "FROM everything", 0.0), ExaminedStatement(tables, "0" * 64)
    Recorder(log, cast(Any, Late())).intent(DOOR, CALLER, "q-1", statement, examined, None, "rows")
    (event,) = log.taken
    listed = event.data["tables"]
    assert isinstance(listed, list) and 0 < len(listed) < 1000 and listed == list(tables[: len(listed)])
    assert event.counts["tables"] == 1000
    assert event.payload is not None
    assert len(event.payload["tables"]) > len(listed) and len(event.payload["tables_sha256"]) == 64


def test_a_few_tables_stand_in_the_leaf_alone() -> None:
    log = Log()
    statement, examined = Prepared(ALICE, "FROM visit", 0.0), ExaminedStatement(("visit",), "0" * 64)
    Recorder(log, cast(Any, Late())).intent(DOOR, CALLER, "q-1", statement, examined, None, "rows")
    (event,) = log.taken
    assert (event.data["tables"], event.payload) == (["visit"], {"sql": "FROM visit"})
