"""Resource bombs of Alice's while Bob works in the same project: each ends within its time, and Bob notices nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from adbc_driver_manager import Error
from sql_attack_row import MARKERS
from sql_bombs import BOMBS, Bomb

from enclave.domain.ids import PersonId, ProjectId

PROJECT = ProjectId("bomb-study")
ALICE, BOB = PersonId("u-000000000001"), PersonId("u-000000000002")
_CAP_SECONDS = 2
_LONGEST = 60.0
_BOB_LONGEST = 30.0
_BOB_SQL = "SELECT count(*) FROM person"


class Colleague(threading.Thread):
    """Bob: one small query after another, on one connection, until told to stop."""

    def __init__(self, gateway: Any) -> None:
        super().__init__()
        self._gateway = gateway
        self._over = threading.Event()
        self.answers: list[float] = []
        self.failure: Error | None = None

    def run(self) -> None:
        token, socket = self._gateway.token(BOB, PROJECT), self._gateway.socket(PROJECT)
        with self._gateway.connect(token, socket) as connection, connection.cursor() as cursor:
            while not self._over.is_set():
                started_at = time.monotonic()
                try:
                    cursor.execute(_BOB_SQL)
                    assert cursor.fetchall() == [(1000,)]
                except Error as error:
                    self.failure = error
                    return
                self.answers.append(time.monotonic() - started_at)
                self._over.wait(0.1)

    def end(self) -> None:
        self._over.set()
        self.join(60)


@pytest.fixture(scope="module")
def bombed(baited: Any) -> Any:
    """A project whose permit allows two seconds for a query; both workers are up."""
    baited.add_project(PROJECT, members=frozenset({ALICE, BOB}), seconds=_CAP_SECONDS, rows=500_000)
    for person in (ALICE, BOB):
        assert baited.fetch(_BOB_SQL, baited.token(person, PROJECT), baited.socket(PROJECT)) == [(1000,)]
    return baited


@pytest.fixture
def colleague(bombed: Any) -> Iterator[Colleague]:
    bob = Colleague(bombed)
    bob.start()
    bombed.wait_for(lambda: bob.answers, what="Bob's first answer")
    yield bob
    bob.end()


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.id)
def test_bomb(bombed: Any, colleague: Colleague, bomb: Bomb) -> None:
    before, started_at = len(colleague.answers), time.monotonic()
    with pytest.raises(Error) as failure:
        bombed.fetch(bomb.sql, bombed.token(ALICE, PROJECT), bombed.socket(PROJECT))
    took = time.monotonic() - started_at
    bombed.wait_for(lambda: len(colleague.answers) > before or colleague.failure, what="Bob's next answer")
    colleague.end()
    assert took < _LONGEST, bomb.sql
    assert colleague.failure is None, f"{bomb.sql}: {colleague.failure}"
    assert max(colleague.answers) < _BOB_LONGEST, bomb.sql
    assert not [marker for marker in MARKERS if marker in str(failure.value)]
    print(bomb.id, round(took, 1), round(max(colleague.answers), 2), str(failure.value)[:90])


def test_alice_can_go_on_at_once(bombed: Any) -> None:
    assert bombed.fetch(_BOB_SQL, bombed.token(ALICE, PROJECT), bombed.socket(PROJECT)) == [(1000,)]
