"""What a killed front left open, or could not record in time, is closed once. A real audit daemon, no front."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.client import AuditClient, AuditUnavailable
from audit.event import AuditEvent
from enclave.domain.events import EventType
from enclave.gateway.late_records import LateRecords
from enclave.gateway.open_intents import OpenIntents

ALICE = "u-000000000001"


@pytest.fixture
def log(stack_parts: Any) -> Iterator[Any]:
    """A stack of which only the audit daemon runs."""
    stack = stack_parts.Stack()
    try:
        stack.start_daemon()
        yield stack
    finally:
        stack.stop()


def record(log: Any, *events: tuple[EventType, str], writer: str = "gateway", by: AuditClient | None = None) -> None:
    """Record, and wait until it is published. ``by``: the client of a front that runs; else of one that is gone."""
    client = by or AuditClient(log.settings.audit_socket, writer)
    for kind, request in events:
        receipt = client.record(AuditEvent(kind, ALICE, project="heart-study", subject="v1", request_id=request))
    client.wait_published(receipt.index, log.settings.log_dir)
    client.close()


def looker(log: Any, writer: str = "gateway") -> tuple[OpenIntents, AuditClient]:
    client = AuditClient(log.settings.audit_socket, writer)
    mark = log.settings.usage_dir / f"intents-closed-{writer}.json"
    return OpenIntents(log.settings.log_dir, mark, client, LateRecords(folder(log), client)), client


def folder(log: Any) -> Path:
    return Path(log.settings.usage_dir / "late-gateway")


def an_outcome(request: str) -> AuditEvent:
    counts, data, payload = {"rows": 7}, {"status": "cap"}, {"columns": ["'a literal'"]}
    return AuditEvent(
        EventType.QUERY_OUTCOME, ALICE, project="p", request_id=request, counts=counts, data=data, payload=payload
    )


def outcomes(log: Any) -> list[tuple[str, str]]:
    return [(leaf["request_id"], leaf["data"].get("status", "")) for leaf in log.events("query:outcome")]


def lost(log: Any) -> list[str]:
    return [leaf["request_id"] for leaf in log.events("query:outcome") if leaf["data"].get("status") == "lost"]


def test_only_what_an_earlier_front_left_open_is_closed(log: Any) -> None:
    record(log, (EventType.QUERY_INTENT, "q-1"), (EventType.QUERY_OUTCOME, "q-1"), (EventType.QUERY_INTENT, "q-2"))
    record(log, (EventType.QUERY_INTENT, "q-3"), writer="another")
    intents, client = looker(log)
    record(log, (EventType.QUERY_INTENT, "q-4"), by=client)  # however the clocks of front and log differ
    assert intents.turn() == 1
    assert intents.turn() == 0
    log.wait_for(lambda: lost(log) == ["q-2"], what="the outcome of q-2")
    (leaf,) = [leaf for leaf in log.events("query:outcome") if leaf["request_id"] == "q-2"]
    assert (leaf["actor"], leaf["project"], leaf["subject"]) == (ALICE, "heart-study", "v1")
    assert not leaf["counts"]
    client.close()


def test_a_second_start_closes_nothing_again(log: Any) -> None:
    record(log, (EventType.QUERY_INTENT, "q-1"))
    intents, client = looker(log)
    assert intents.turn() == 1
    log.wait_for(lambda: lost(log) == ["q-1"], what="the outcome")
    again, other = looker(log)
    assert again.turn() == 0
    client.close()
    other.close()


def test_fronts_that_share_a_log_close_only_their_own(log: Any) -> None:
    record(log, (EventType.QUERY_INTENT, "q-1"), writer="gateway")
    record(log, (EventType.QUERY_INTENT, "q-2"), writer="gateway-2")
    second, client = looker(log, "gateway-2")
    assert second.turn() == 1
    log.wait_for(lambda: lost(log) == ["q-2"], what="the outcome of q-2")
    first, other = looker(log)
    assert first.turn() == 1
    log.wait_for(lambda: lost(log) == ["q-2", "q-1"], what="the outcome of q-1")
    assert second.turn() == first.turn() == 0
    client.close()
    other.close()


def test_a_record_whose_receipt_was_lost_is_not_made_twice(log: Any) -> None:
    client = AuditClient(log.settings.audit_socket, "gateway")
    late, envelope = LateRecords(folder(log), client), client.new_envelope()
    client.record(an_outcome("q-1"), envelope=envelope)
    late.keep(an_outcome("q-1"), envelope)
    log.wait_for(lambda: not list(folder(log).glob("*.json")), what="the file's end")
    record(log, (EventType.QUERY_INTENT, "q-9"))
    assert outcomes(log) == [("q-1", "cap")]
    client.close()


def test_what_was_kept_while_the_daemon_was_away_is_made_in_order_when_it_is_back(log: Any) -> None:
    client = AuditClient(log.settings.audit_socket, "gateway")
    late = LateRecords(folder(log), client)
    log.kill_daemon()
    for number in range(3):
        intent = AuditEvent(EventType.QUERY_INTENT, ALICE, request_id=f"q-{number}")
        with pytest.raises(AuditUnavailable):
            client.record(intent, timeout=0.1)
        late.keep(intent, client.new_envelope())
        late.keep(an_outcome(f"q-{number}"), client.new_envelope())
    files = list(folder(log).glob("*.json"))
    assert len(files) == 3 and "literal" not in files[0].read_text()
    log.start_daemon()
    log.wait_for(lambda: len(outcomes(log)) == 3, what="the late records")
    ours = [(leaf["type"], leaf["request_id"]) for leaf in log.events() if leaf["type"].startswith("query:")]
    assert ours == [(f"query:{kind}", f"q-{number}") for number in range(3) for kind in ("intent", "outcome")]
    (leaf,) = [leaf for leaf in log.events("query:outcome") if leaf["request_id"] == "q-1"]
    assert leaf["data"]["late"] is True and leaf["counts"] == {"rows": 7} and "payload" in leaf
    client.close()


def test_an_outcome_left_on_disk_closes_its_intent_once_over_two_starts(log: Any) -> None:
    record(log, (EventType.QUERY_INTENT, "q-1"), (EventType.QUERY_INTENT, "q-2"))
    killed = AuditClient(log.settings.audit_socket / "nowhere", "gateway")
    LateRecords(folder(log), killed).keep(an_outcome("q-1"), killed.new_envelope())
    intents, client = looker(log)
    assert intents.turn() == 2
    again, other = looker(log)  # started before the first could tidy up: the file is still there
    log.wait_for(lambda: len(outcomes(log)) == 2, what="the outcomes")
    assert again.turn() == intents.turn() == 0
    assert outcomes(log) == [("q-1", "cap"), ("q-2", "lost")]
    late = LateRecords(folder(log), client)
    assert late.find_earlier("q-1") is not None
    late.settle_earlier()
    assert not list(folder(log).glob("*.json"))
    client.close()
    other.close()


def test_an_outcome_the_log_refuses_for_good_is_set_aside_and_holds_up_no_other(log: Any) -> None:
    record(log, (EventType.QUERY_INTENT, "q-1"), (EventType.QUERY_INTENT, "q-2"))
    killed = AuditClient(log.settings.audit_socket / "nowhere", "gateway")
    kept = LateRecords(folder(log), killed)
    for request in ("q-1", "q-2"):
        kept.keep(an_outcome(request), killed.new_envelope())
    left = folder(log) / "q-1.json"
    left.write_bytes(left.read_bytes().replace(b"query:outcome", b"audit:started"))  # only the log itself records that
    intents, client = looker(log)
    assert intents.turn() == 2
    log.wait_for(lambda: len(outcomes(log)) == 2, what="the outcomes")
    assert sorted(outcomes(log)) == [("q-1", "lost"), ("q-2", "cap")]
    (notice,) = log.events("record:set-aside")
    (file,) = (folder(log) / "set-aside").iterdir()
    assert (notice["subject"], notice["request_id"], notice["data"]["kind"]) == (file.name, "q-1", "audit:started")
    assert notice["data"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert "only the log itself" in notice["data"]["reason"]
    assert (notice["boot"], notice["seq"]) == (killed.boot, 1)  # no number is missing
    assert not left.exists()
    client.close()


def test_a_late_record_the_log_refuses_for_good_gives_way_to_the_next(log: Any) -> None:
    client = AuditClient(log.settings.audit_socket, "gateway")
    late = LateRecords(folder(log), client)
    late.keep(AuditEvent("audit:started", ALICE, payload={"sql": "'a literal'"}), client.new_envelope())
    late.keep(AuditEvent(EventType.QUERY_INTENT, ALICE, data={"tables": ["t" * 70_000]}), client.new_envelope())
    late.keep(an_outcome("q-1"), client.new_envelope())
    log.wait_for(lambda: outcomes(log) == [("q-1", "cap")], what="the outcome")
    notices = log.events("record:set-aside")
    assert [(notice["data"]["kind"], notice["seq"]) for notice in notices] == [
        ("audit:started", 1),
        ("query:intent", 2),
    ]
    for notice in notices:
        content = (folder(log) / "set-aside" / notice["subject"]).read_bytes()
        assert notice["data"]["sha256"] == hashlib.sha256(content).hexdigest()
        assert b"literal" not in content
    client.close()
