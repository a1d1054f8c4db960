"""Events, leaves and completeness."""

from datetime import UTC, datetime

import pytest

from audit.completeness import Completeness
from audit.event import AuditEvent, Envelope, EventError, Peer, check_envelope, event_fields, event_from_fields, leaf_of
from audit.report import Question, Report

ENVELOPE = Envelope("e1", "gateway", "b1", 1)


def test_a_leaf_omits_what_is_not_there():
    fields = event_fields(AuditEvent("query:intent", "u-1", counts={"rows": 2}))
    leaf = leaf_of(fields, ENVELOPE, Peer(1000, 42), datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC), None)
    assert leaf == {
        "v": 1,
        "at": "2026-01-02T03:04:05.678Z",
        "type": "query:intent",
        "actor": "u-1",
        "event_id": "e1",
        "writer": "gateway",
        "boot": "b1",
        "seq": 1,
        "peer": {"uid": 1000, "pid": 42},
        "policies": [],
        "counts": {"rows": 2},
        "data": {},
    }


def test_an_event_survives_the_socket():
    event = AuditEvent(
        "query:refused", "u-1", "p", "w", "s", "deny", ("a", "b"), "r", {"n": 1}, {"t": "x", "l": ["y"], "b": True}
    )
    assert event_from_fields(event_fields(event)) == event


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"type": "query:intent"},
        {"type": "Query", "actor": "u"},
        {"type": "query:intent", "actor": ""},
        {"type": "query:intent", "actor": "u" * 2001},
        {"type": "query:intent", "actor": "u", "decision": "maybe"},
        {"type": "query:intent", "actor": "u", "policies": "p"},
        {"type": "query:intent", "actor": "u", "policies": [1]},
        {"type": "query:intent", "actor": "u", "counts": {"n": "1"}},
        {"type": "query:intent", "actor": "u", "counts": {"n": True}},
        {"type": "query:intent", "actor": "u", "counts": []},
        {"type": "query:intent", "actor": "u", "data": {"n": 1.5}},
        {"type": "query:intent", "actor": "u", "data": {"n": [1]}},
        {"type": "query:intent", "actor": "u", "data": {"n": {"deep": 1}}},
        {"type": "query:intent", "actor": "u", "at": "2020-01-01T00:00:00Z"},
        {"type": 1, "actor": "u"},
    ],
)
def test_malformed_events_are_refused(fields):
    with pytest.raises(EventError):
        event_from_fields(fields)


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope("", "w", "b", 1),
        Envelope("e" * 129, "w", "b", 1),
        Envelope("e", "w w", "b", 1),
        Envelope("e", "w", "b", 0),
        Envelope("e", "w", "b", True),
        Envelope(1, "w", "b", 1),
    ],
)
def test_malformed_envelopes_are_refused(envelope):
    with pytest.raises(EventError):
        check_envelope(envelope)


def leaf(seq, **fields):
    return {"writer": "w", "boot": "b", "seq": seq, **fields}


def verdict(*leaves):
    completeness, report = Completeness(), Report()
    for index, item in enumerate(leaves):
        completeness.add(index, item)
    completeness.report(report)
    return report.verdicts[Question.COMPLETENESS]


def test_numbers_out_of_order_are_complete():
    assert not verdict(leaf(2), leaf(1), leaf(3)).notices


def test_a_gap_is_a_notice():
    found = verdict(leaf(1), leaf(4), leaf(5))
    assert not found.problems
    assert "2 number(s) missing from w (start b) from 2 on" in str(found.notices[0])


def test_one_number_twice_is_a_problem():
    assert [finding.entry for finding in verdict(leaf(1), leaf(2), leaf(1)).problems] == [2]


def test_open_intents_are_listed_and_closed_ones_are_not():
    found = verdict(
        leaf(1, type="query:intent", request_id="a"),
        leaf(2, type="query:intent", request_id="b"),
        leaf(3, type="query:outcome", request_id="b"),
        {"type": "query:intent"},
    )
    assert [finding.entry for finding in found.notices] == [0]
