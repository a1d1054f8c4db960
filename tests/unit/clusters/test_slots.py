"""Where a cluster's next worker starts, and when an address is free again."""

from __future__ import annotations

from enclave.clusters.slots import HOME, Slots

ONE, OTHER = "1" * 32, "2" * 32
ALL = {HOME: 2, 1: 4, 2: 1}


def test_the_least_loaded_machine_comes_first() -> None:
    slots = Slots(4)
    started = []
    for worker in "abcdefg":
        (best, *_) = slots.choose(ONE, ALL)
        started.append(best)
        assert slots.take(worker, ONE, best) is not None
    assert started == [0, 1, 2, 1, 0, 1, 1]
    assert slots.choose(ONE, ALL) == []
    assert slots.choose(OTHER, ALL) == [HOME]  # home's places are per workspace, a node's for all
    assert slots.choose(OTHER, {HOME: 2, 2: 1}) == [HOME]


def test_an_address_is_free_again_when_its_worker_has_ended_for_certain() -> None:
    slots = Slots(2)
    first, second = slots.take("a", ONE, 1), slots.take("b", ONE, 1)
    assert first is not None and second is not None
    assert (first.address, second.address) == ((1, 8800), (1, 8801))
    assert slots.take("c", ONE, 1) is None
    other = slots.take("d", OTHER, 1)
    assert other is not None and other.address == (1, 8800)  # another cluster's addresses are another island's
    slots.leave("a")
    told = slots.left_at(1)
    slots.leave("b")
    assert slots.find("a") is None and slots.workers_at(1) == {"d": OTHER} and slots.take("c", ONE, 1) is None
    slots.free_left(told)  # what was left after the node was asked is not among it
    third = slots.take("c", ONE, 1)
    assert third is not None and third.address == (1, 8800) and slots.take("e", ONE, 1) is None
    slots.free_cluster(ONE)
    assert slots.workers_at(1) == {"d": OTHER} and slots.left_at(1) == []


def test_a_machine_on_which_a_clusters_workers_end_comes_last_for_that_cluster() -> None:
    slots = Slots(2)
    first = slots.take("a", ONE, 2)
    assert first is not None and not first.is_doubted
    slots.doubt(first)
    slots.free("a")
    assert slots.choose(ONE, ALL) == [0, 1, 2] and slots.choose(OTHER, {2: 1, 1: 4}) == [1, 2]
    slots.take("b", ONE, 0)
    slots.take("c", ONE, 1)
    assert slots.choose(ONE, ALL) == [1, 0, 2] and slots.choose(OTHER, ALL)[1] == 2
    again = slots.take("d", ONE, 2)
    assert again is not None and again.is_doubted
    slots.free_cluster(ONE)
    once_more = slots.take("e", ONE, 2)
    assert once_more is not None and not once_more.is_doubted
