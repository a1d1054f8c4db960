"""Near threshold: fires / just below does not / what it does not see."""

from dataclasses import replace
from datetime import timedelta

import pytest
from record_table import NOW, days_ago, found, outcome

RULE = "near-threshold"


def results(number: int = 20, **columns):
    return [outcome(NOW - timedelta(minutes=minute), **columns) for minute in range(number)]


def test_many_results_just_over_the_small_count(thresholds):
    (alert,) = found(results(persons=12), RULE, thresholds)
    assert (alert.actor, alert.facts["dataset"], alert.facts["results"]) == ("u-1", "d@v1", 20)
    assert (alert.facts["small_count"], alert.facts["band"]) == (11, 3)


def test_one_less_is_chance(thresholds):
    assert found(results(19, persons=12), RULE, thresholds) == []


@pytest.mark.parametrize(("persons", "fires"), [(10, False), (11, True), (14, True), (15, False), (None, False)])
def test_the_band(persons, fires, thresholds):
    assert bool(found(results(persons=persons), RULE, thresholds)) is fires
    assert bool(found(results(persons=5000, min_cell=persons), RULE, thresholds)) is fires


def test_population_and_smallest_cell_add_up(thresholds):
    assert len(found([*results(10, persons=11), *results(10, min_cell=12)], RULE, thresholds)) == 1


def test_datasets_are_counted_apart(thresholds):
    rows = [*results(19, persons=12), *results(19, persons=12, dataset="other@v1")]
    assert found(rows, RULE, thresholds) == []
    assert len(found(results(20, persons=12, dataset=None), RULE, thresholds)) == 1


def test_a_permit_with_another_small_count(thresholds):
    strict = replace(thresholds, site=replace(thresholds.site, small_count_by_project={"p-1": 30}))
    assert found(results(persons=12), RULE, strict) == []
    (alert,) = found(results(persons=33), RULE, strict)
    assert alert.facts["small_count"] == 30
    assert len(found(results(persons=12, project="p-2"), RULE, strict)) == 1


def test_blind_spot_over_several_days(thresholds):
    assert found([outcome(days_ago(day), persons=12) for day in range(25)], RULE, thresholds) == []
