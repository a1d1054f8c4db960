"""Gaps, doubled numbers, open intents, silences, restarts and canaries, and that cutting the log changes nothing."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.completeness import Completeness, gaps, join, overlap
from audit.report import Question, Report, Status
from audit.scan import RecordScan, find_numbers

BEGUN = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def at(seconds):
    return (BEGUN + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def own(kind, seconds, **fields):
    return {"type": f"audit:{kind}", "writer": "audit", "at": at(seconds), **fields}


def beat(seconds):
    return own("heartbeat", seconds, counts={"seconds": 60})


def intent(seconds, request="r", template="t"):
    data = {"template_sha256": template}
    return {"type": "query:intent", "request_id": request, "project": "p", "data": data, "at": at(seconds)}


def outcome(seconds, request="r"):
    return {"type": "query:outcome", "request_id": request, "at": at(seconds)}


def canary(seconds, due, template="c"):
    data = {"template_sha256": template, "due": at(due), "by": "u"}
    return {"type": "canary:scheduled", "project": "p", "data": data, "at": at(seconds)}


def verdict(*leaves, pruned=False, cuts=()):
    """The verdict on these records, read in stretches that end at ``cuts``."""
    entries = [orjson.dumps(leaf) for leaf in leaves]
    completeness, report = Completeness(), Report()
    edges = [0, *sorted(set(cuts)), len(entries)]
    for start, end in pairwise(edges):
        scan = RecordScan()
        scan.take(entries[start:end], start)
        summary = scan.summary()
        overlaps = completeness.overlaps(summary)
        completeness.merge(summary, find_numbers(entries[start:end], start, overlaps) if overlaps else ())
    completeness.report(report, pruned=pruned)
    return report.verdicts[Question.COMPLETENESS]


def notices(*leaves, **more):
    return [str(item) for item in verdict(*leaves, **more).notices]


def test_a_query_that_may_still_be_running_is_no_notice():
    assert not notices(intent(0), own("read", 120))
    assert notices(intent(0), own("read", 121)) == ["entry 0: Open intent: no outcome was recorded for this query."]


def test_one_outcome_ends_one_intent():
    late = own("read", 1000)
    assert not notices(intent(0), intent(1), outcome(2), outcome(3), late)
    assert notices(intent(0), intent(1), outcome(2), late)[0].startswith("entry 0: Open intent")
    assert notices(outcome(0), intent(1), late)[0].startswith("entry 1: Open intent")


def test_a_silence_longer_than_three_intervals():
    started = own("started", 0)
    assert not notices(started, beat(60), beat(239), own("stopped", 240))
    (found,) = notices(started, beat(60), beat(241), own("stopped", 242))
    assert found == "entry 2: No heartbeat for 3 min 1 s before this record, expected every 60 s."
    assert "No heartbeat for 5 min" in notices(started, beat(60), own("stopped", 360))[0]
    assert "No heartbeat for 5 min" in notices(started, beat(60), {"at": at(360)})[0]
    assert "No heartbeat for 5 min" in notices(started, beat(300))[0]


def test_without_heartbeats_no_silence():
    assert not notices(own("started", 0), {"at": at(9000)}, own("stopped", 9999))


def test_restarts_say_how_long_the_log_was_away():
    (found,) = notices(own("started", 0), own("stopped", 10), own("started", 3610))
    assert found == "entry 2: The log's daemon started again after a stop; it was away for 1 h."
    (found,) = notices(own("started", 0), {"at": at(5)}, own("started", 10))
    assert found == "entry 2: The log's daemon started again after it was not stopped properly; it was away for 5 s."


def test_a_clock_that_goes_back():
    assert "The clock went back 30 s" in notices({"at": at(60)}, {"at": at(30)})[0]
    assert not notices({"at": at(60)}, {"at": at(59.5)})
    (found,) = notices({"at": at(60)}, own("clock-jumped", 30, counts={"seconds": 30}), {"at": at(31)})
    assert found == "entry 1: The log recorded that its clock went back 30 s."


@pytest.mark.parametrize("cuts", [(), (1,), (2,), (1, 2)])
def test_a_canary(cuts):
    late = own("read", 600 + 15 * 60 + 1)
    assert not verdict(canary(0, 600), intent(700, template="c"), outcome(701), late, cuts=cuts).problems
    assert not verdict(canary(0, 600), own("read", 600 + 15 * 60), cuts=cuts[:1]).problems, "not due yet"
    (problem,) = verdict(intent(0, template="c"), canary(1, 600), outcome(2), late, cuts=cuts).problems
    assert problem.entry == 1
    assert "has no query" in problem.message
    (problem,) = verdict(canary(0, 600), intent(600 + 15 * 60 + 2, template="c"), outcome(2000), cuts=cuts).problems
    assert "has its query too late (entry 1)" in problem.message
    assert verdict(canary(0, 600), late).status is Status.FAILED
    assert "no readable due time" in notices({"type": "canary:scheduled", "project": "p", "at": at(0)})[0]


def test_after_pruning_earlier_numbers_are_not_expected():
    leaves = [{"writer": "w", "boot": "b", "seq": number} for number in (5, 6, 8)]
    assert notices(*leaves) == ["5 number(s) missing from w (start b) from 1 on."]
    assert notices(*leaves, pruned=True) == ["1 number(s) missing from w (start b) from 7 on."]


def test_only_the_log_itself_speaks_about_itself():
    completeness = Completeness()
    completeness.add(0, {"type": "audit:pruned", "writer": "gateway", "counts": {"minimum_index": 9}})
    assert not completeness.own
    completeness.add(1, {"type": "audit:pruned", "writer": "audit", "counts": {"minimum_index": 9}})
    assert [noted.count("minimum_index") for noted in completeness.own] == [9]


RECORDS = st.one_of(
    st.builds(
        lambda writer, number, seconds: {"writer": writer, "boot": "b", "seq": number, "at": at(seconds)},
        st.sampled_from(["w", "v"]),
        st.integers(1, 12),
        st.integers(0, 900),
    ),
    st.builds(intent, st.integers(0, 900), st.sampled_from(["r", "s"]), st.sampled_from(["c", "t"])),
    st.builds(outcome, st.integers(0, 900), st.sampled_from(["r", "s"])),
    st.builds(canary, st.integers(0, 900), st.integers(-2000, 900)),
    st.builds(beat, st.integers(0, 900)),
    st.builds(own, st.sampled_from(["started", "stopped", "clock-jumped", "pruned"]), st.integers(0, 900)),
    st.just({}),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(RECORDS, max_size=25), st.lists(st.integers(0, 25), max_size=4))
def test_where_the_log_is_cut_changes_nothing(leaves, cuts):
    cuts = [cut for cut in cuts if cut <= len(leaves)]
    assert verdict(*leaves, cuts=cuts).as_json() == verdict(*leaves).as_json()


NUMBERS = st.sets(st.integers(0, 40))


def runs_of(numbers):
    found = []
    for number in numbers:
        found = join(found, [(number, number)])
    return found


@given(NUMBERS, NUMBERS)
def test_runs_are_sets(one, other):
    first, second = runs_of(one), runs_of(other)
    assert expand(join(first, second)) == one | other
    assert expand(overlap(first, second)) == one & other
    if one:
        missing = set(range(1, max(one) + 1)) - one
        assert gaps(first, 1) == (len(missing), min(missing, default=0))


def expand(runs):
    return {number for first, last in runs for number in range(first, last + 1)}
