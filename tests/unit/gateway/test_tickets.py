"""One-time tickets: once, for one person in one project, for fifteen minutes – over several stores on one folder."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from enclave.domain.ids import PersonId, ProjectId
from enclave.gateway import tickets
from enclave.gateway.row_ranges import RowRange
from enclave.gateway.tickets import LIFETIME_SECONDS, RangeTicket, TicketRefusedError, TicketStore, is_ticket

HEART, LUNG = ProjectId("heart-study"), ProjectId("lung-study")
ALICE, BOB = PersonId("u-000000000001"), PersonId("u-000000000002")
TICKET = RangeTicket("SELECT sex FROM visit", "visit", RowRange(1, 2, 0, 122_879), "v1", "p-1")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def refused(store: TicketStore, content: bytes, project: ProjectId = HEART, person: PersonId = ALICE) -> str:
    with pytest.raises(TicketRefusedError) as error:
        store.redeem(content, project, person)
    assert "Ask for the partitions again." in error.value.sentence
    return error.value.rule


def test_what_one_replica_hands_out_another_redeems_once(tmp_path: Path) -> None:
    one, other = TicketStore(tmp_path / "t"), TicketStore(tmp_path / "t")
    first, second = one.hand_out(HEART, ALICE, [TICKET, TICKET])
    assert is_ticket(first) and first != second and b"SELECT" not in first
    assert other.redeem(first, HEART, ALICE) == TICKET
    assert refused(one, first) == refused(other, first) == "ticket-used"
    assert one.redeem(second, HEART, ALICE) == TICKET


def test_of_many_at_once_one_wins(tmp_path: Path) -> None:
    (content,) = TicketStore(tmp_path).hand_out(HEART, ALICE, [TICKET])

    def attempt(_: int) -> bool:
        try:
            return TicketStore(tmp_path).redeem(content, HEART, ALICE) == TICKET
        except TicketRefusedError as error:
            assert error.rule == "ticket-used"
            return False

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(attempt, range(64))) == 1


def test_it_opens_for_nobody_else_and_stays_good(tmp_path: Path) -> None:
    store = TicketStore(tmp_path)
    (content,) = store.hand_out(HEART, ALICE, [TICKET])
    assert refused(store, content, person=BOB) == "ticket-foreign"
    assert refused(store, content, project=LUNG) == "ticket-foreign"
    assert refused(store, content[:-1] + b"?") == "ticket-unknown"
    assert refused(store, b"enclave.ticket/1\n../../../etc/passwd") == "ticket-unknown"
    assert store.redeem(content, HEART, ALICE) == TICKET


def test_it_holds_for_fifteen_minutes(tmp_path: Path) -> None:
    clock = Clock()
    store = TicketStore(tmp_path, clock)
    first, second = store.hand_out(HEART, ALICE, [TICKET, TICKET])
    clock.now += LIFETIME_SECONDS
    assert store.redeem(first, HEART, ALICE) == TICKET
    clock.now += 1
    assert refused(store, second) == "ticket-expired"


def test_the_folder_opens_nothing_and_is_nobody_elses(tmp_path: Path) -> None:
    store = TicketStore(tmp_path / "gateway" / "tickets")
    (content,) = store.hand_out(HEART, ALICE, [TICKET])
    handle = content.removeprefix(tickets.PREFIX)
    for path in (tmp_path / "gateway").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)
        assert handle.hex() not in path.name and (path.is_dir() or handle not in path.read_bytes())
    store.redeem(content, HEART, ALICE)
    (used,) = (tmp_path / "gateway").rglob("*.json")
    assert used.parent.name == "used" and used.read_bytes() == b""


def test_a_damaged_ticket_does_not_open(tmp_path: Path) -> None:
    store = TicketStore(tmp_path)
    (content,) = store.hand_out(HEART, ALICE, [TICKET])
    (file,) = tmp_path.rglob("*.json")
    file.write_bytes(file.read_bytes()[:20])
    assert refused(store, content) == "ticket-unreadable"


def test_open_tickets_are_capped_per_person_and_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tickets, "MAXIMUM_OPEN", 3)
    store = TicketStore(tmp_path)
    content, _ = store.hand_out(HEART, ALICE, [TICKET] * 2)
    with pytest.raises(TicketRefusedError, match=r"at most 3 open tickets .* found 2 and 2 more") as error:
        store.hand_out(HEART, ALICE, [TICKET] * 2)
    assert error.value.rule == "tickets-open"
    store.redeem(content, HEART, ALICE)
    store.hand_out(HEART, ALICE, [TICKET] * 2)
    store.hand_out(HEART, BOB, [TICKET] * 3)
    store.hand_out(LUNG, ALICE, [TICKET] * 3)


def test_cleaning_takes_what_is_past_its_time(tmp_path: Path) -> None:
    store = TicketStore(tmp_path)
    used, old, new = store.hand_out(HEART, ALICE, [TICKET] * 3)
    store.redeem(used, HEART, ALICE)
    store.clean()
    assert refused(store, used) == "ticket-used"
    past = TicketStore(tmp_path)._clock() - LIFETIME_SECONDS - 1
    for content in (used, old):
        (path,) = tmp_path.rglob(tickets._file_name(content))
        os.utime(path, (past, past))
    store.clean()
    assert refused(store, used) == refused(store, old) == "ticket-unknown"
    assert store.redeem(new, HEART, ALICE) == TICKET
