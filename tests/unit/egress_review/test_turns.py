"""Turns: in the order of asking, one for each person, few who wait. No time is measured."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from enclave_test_waiting import wait_for  # type: ignore[import-not-found]

from egress_review.parsing.turns import BusyError, Turns


class Asking:
    """A thread that asks for a turn and keeps it until it is let go."""

    def __init__(self, turns: Turns, person: str, order: list[str], at_once: int) -> None:
        self._let_go, self.refusal = threading.Event(), ""
        self._thread = threading.Thread(target=self._run, args=(turns, person, order, at_once), daemon=True)
        self._thread.start()

    def _run(self, turns: Turns, person: str, order: list[str], at_once: int) -> None:
        try:
            with turns.turn(person, at_once):
                order.append(person)
                assert self._let_go.wait(60)
        except BusyError as busy:
            self.refusal = str(busy)

    def end(self) -> None:
        self._let_go.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


@contextmanager
def asking(turns: Turns, order: list[str], at_once: int, *people: str) -> Iterator[list[Asking]]:
    """One after the other: the next asks when the one before has a turn or waits."""
    asked: list[Asking] = []
    try:
        for number, person in enumerate(people, start=1):
            asked.append(Asking(turns, person, order, at_once))
            wait_for(lambda number=number: sum(turns.counts()) == number, "the one who asks")
        yield asked
    finally:
        for one in asked:
            one.end()


def test_in_the_order_of_asking() -> None:
    turns, order = Turns(own=1, all_waiting=5), []
    with asking(turns, order, 1, "amelie", "karim", "nora") as (amelie, karim, nora):
        assert (order, turns.counts()) == (["amelie"], (1, 2))
        for one in (amelie, karim, nora):
            one.end()
    assert (order, turns.counts()) == (["amelie", "karim", "nora"], (0, 0))


def test_who_has_a_turn_waits_behind_those_who_have_none() -> None:
    turns, order = Turns(own=1, all_waiting=5), []
    with asking(turns, order, 2, "amelie", "amelie", "karim"):
        wait_for(lambda: len(order) == 2, "two turns")
        assert (order, turns.counts()) == (["amelie", "karim"], (2, 1))
    assert order == ["amelie", "karim", "amelie"]


@pytest.mark.parametrize(
    ("people", "person", "sentence"),
    [
        (("amelie", "amelie"), "amelie", "Files of yours"),
        (("amelie", "karim", "nora"), "paul", "The files of other people"),
    ],
)
def test_who_would_wait_behind_too_many_is_refused_at_once(people: tuple[str, ...], person: str, sentence: str) -> None:
    turns, order = Turns(own=1, all_waiting=2), []
    with asking(turns, order, 1, *people):
        with pytest.raises(BusyError, match=sentence), turns.turn(person, 1):
            pass
        assert sum(turns.counts()) == len(people)


def test_who_waits_too_long_is_refused() -> None:
    turns, order = Turns(own=1, all_waiting=2, seconds=0), []
    with asking(turns, order, 1, "amelie"), pytest.raises(BusyError, match="other people"), turns.turn("karim", 1):
        pass
    assert turns.counts() == (0, 0)


def test_a_turn_is_given_back_when_reading_fails() -> None:
    turns = Turns(own=0, all_waiting=0)
    with pytest.raises(ZeroDivisionError), turns.turn("amelie", 1):
        raise ZeroDivisionError
    assert turns.counts() == (0, 0)
