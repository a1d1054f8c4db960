"""What a killed front left open is closed once, whatever else the log holds. A real audit daemon, no front."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from audit.client import AuditClient
from audit.event import AuditEvent
from enclave.domain.events import EventType
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


def record(log: Any, *events: tuple[EventType, str], writer: str = "gateway") -> None:
    """Record, and wait until it is published."""
    client = AuditClient(log.settings.audit_socket, writer)
    for kind, request in events:
        receipt = client.record(AuditEvent(kind, ALICE, project="heart-study", subject="v1", request_id=request))
    client.wait_published(receipt.index, log.settings.log_dir)
    client.close()


def looker(log: Any, writer: str = "gateway") -> tuple[OpenIntents, AuditClient]:
    client = AuditClient(log.settings.audit_socket, writer)
    mark = log.settings.usage_dir / f"intents-closed-{writer}.json"
    return OpenIntents(log.settings.log_dir, mark, client, datetime.now(UTC)), client


def lost(log: Any) -> list[str]:
    return [leaf["request_id"] for leaf in log.events("query:outcome") if leaf["data"].get("status") == "lost"]


def test_only_what_an_earlier_front_left_open_is_closed(log: Any) -> None:
    record(log, (EventType.QUERY_INTENT, "q-1"), (EventType.QUERY_OUTCOME, "q-1"), (EventType.QUERY_INTENT, "q-2"))
    record(log, (EventType.QUERY_INTENT, "q-3"), writer="another")
    intents, client = looker(log)
    record(log, (EventType.QUERY_INTENT, "q-4"))
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
