"""Differencing: fires / just below does not / what it does not see; the windows against comparing every pair."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from record_table import NOW, found, outcome

from audit.alerts.thresholds import load_thresholds

RULE = "differencing"
DAY = timedelta(hours=24)


def two(first: int, second: int, apart: timedelta = timedelta(hours=1), **columns):
    return [outcome(NOW - apart, persons=first), outcome(NOW, **{"persons": second, **columns})]


def test_populations_that_differ_by_a_few(thresholds):
    (alert,) = found(two(500, 510), RULE, thresholds)
    assert (alert.actor, alert.project, alert.records) == ("u-1", "p-1", (0, 1))
    assert (alert.facts["populations"], alert.facts["smallest_population"]) == (2, 500)
    assert (alert.first_at, alert.last_at) == (NOW - timedelta(hours=1), NOW)


def test_a_difference_of_the_small_count_is_allowed(thresholds):
    assert found(two(500, 511), RULE, thresholds) == []
    assert found(two(511, 500), RULE, thresholds) == []


def test_the_same_population_tells_nothing(thresholds):
    assert found(two(500, 500), RULE, thresholds) == []


def test_over_the_border_of_two_episodes(thresholds):
    assert len(found(two(500, 501, DAY), RULE, thresholds)) == 1
    assert found(two(500, 501, DAY + timedelta(milliseconds=1)), RULE, thresholds) == []


def test_the_evidence_holds_the_partner_before_the_border(thresholds):
    rows = [outcome(NOW - timedelta(hours=20), persons=400), *two(500, 501, timedelta(hours=18))]
    (alert,) = found(rows, RULE, thresholds)
    assert alert.records == (1, 2)


def test_other_templates_persons_or_unknown_populations(thresholds):
    assert found(two(500, 501, template="t-2"), RULE, thresholds) == []
    assert found(two(500, 501, actor="u-2"), RULE, thresholds) == []
    assert found(two(500, None), RULE, thresholds) == []


def test_two_projects_of_one_person_are_compared(thresholds):
    (alert,) = found(two(500, 501, project="p-2"), RULE, thresholds)
    assert alert.project is None


def test_a_permit_with_another_small_count(thresholds):
    strict = replace(thresholds, site=replace(thresholds.site, small_count_by_project={"p-1": 50}))
    assert len(found(two(500, 549), RULE, strict)) == 1
    assert found(two(500, 550), RULE, strict) == []


def test_blind_spot_like_sizes_of_different_people(thresholds):
    """Two hospitals of like size fire although nobody is in both."""
    assert len(found(two(500, 505), RULE, thresholds)) == 1


def test_blind_spot_two_templates_or_two_persons(thresholds):
    assert found(two(500, 501, template="t-2", actor="u-2"), RULE, thresholds) == []


def episodes_by_hand(results, small: int, hours: int, first: datetime):
    """Every pair compared: (person, template, episode of the later one)."""
    window = timedelta(hours=hours)
    flagged = set()
    for (at, *who, persons), (later, *whose, others) in combinations(sorted(results), 2):
        if who == whose and later - at <= window and 0 < abs(persons - others) < small:
            episode = (later - datetime(1970, 1, 1, tzinfo=UTC)) // window
            if episode >= (first - datetime(1970, 1, 1, tzinfo=UTC)) // window:
                flagged.add((*who, episode))
    return flagged


RESULTS = st.lists(
    st.tuples(
        st.integers(0, 60).map(lambda hours: NOW - timedelta(hours=hours)),
        st.sampled_from(["u-1", "u-2"]),
        st.sampled_from(["t-1", "t-2"]),
        st.integers(0, 30),
    ),
    max_size=14,
)


@settings(max_examples=80, deadline=None)
@given(results=RESULTS, small=st.integers(1, 6), hours=st.sampled_from([1, 7, 24, 48]))
@example(results=[(NOW, "u-1", "t-1", 5), (NOW, "u-1", "t-1", 6)], small=1, hours=24)
def test_same_episodes_as_comparing_every_pair(results, small, hours):
    shipped = load_thresholds()
    thresholds = replace(
        shipped, site=replace(shipped.site, small_count=small), differencing=replace(shipped.differencing, hours=hours)
    )
    rows = [outcome(at, actor, template=template, persons=persons) for at, actor, template, persons in results]
    alerts = found(rows, RULE, thresholds)
    expected = episodes_by_hand(results, small, hours, NOW - timedelta(days=30))
    assert len(alerts) == len({alert.key for alert in alerts}) == len(expected)
    assert {(alert.actor, alert.facts["template"]) for alert in alerts} == {(who, what) for who, what, _ in expected}
    assert all(alert.facts["populations"] >= 2 for alert in alerts)
