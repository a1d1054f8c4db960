"""Who may do what to an account, as tables: role × verb × oneself or another × state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from enclave.domain.accounts import (
    CONFIRMING,
    CONTROLLING,
    ORDER_LIFE,
    REVIEWING,
    STATE_POLICY,
    Order,
    OrderKind,
    OrderState,
    OrderVerb,
    ReviewState,
    access_digest,
    can_decide_on_order,
    can_review,
    decide_on_order,
    decide_order,
    decide_review,
    decide_role_removal,
    review_state,
    roles_that_wait,
)
from enclave.domain.decisions import Allow, Decision
from enclave.domain.ids import PersonId, Username
from enclave.domain.people import Person, Role

R, K, S, V = Role, OrderKind, OrderState, OrderVerb
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def person(number: int, *roles: Role) -> Person:
    return Person(PersonId(f"u-{number:012x}"), Username(f"p{number}"), frozenset(roles))


ABOUT = person(1, R.RESEARCHER, R.ADMIN, R.DATA_STEWARD, R.DATA_PROTECTION_OFFICER)
ADMIN = person(2, R.ADMIN, R.DATA_STEWARD)


def order(kind: OrderKind = K.RESET, role: Role | None = None, state: OrderState = S.OPEN) -> Order:
    return Order(kind, role, ADMIN, ABOUT, NOW, state)


def outcome(decision: Decision) -> str:
    if isinstance(decision, Allow):
        return "yes"
    assert all(len(reason) > 20 and reason.endswith(".") for reason in decision.reasons)
    return "state" if STATE_POLICY in decision.policies else "no"


@pytest.mark.parametrize(("role", "kind"), list(product(R, K)))
def test_only_an_admin_orders_and_never_for_themselves(role: Role, kind: OrderKind) -> None:
    wanted = R.OUTPUT_CHECKER if kind is K.ADD_ROLE else None
    expected = "yes" if role is R.ADMIN else "no"
    assert outcome(decide_order(person(3, role), ABOUT, True, kind, wanted)) == expected
    assert outcome(decide_order(person(3, role), ABOUT, False, kind, wanted)) == expected.replace("yes", "state")
    assert outcome(decide_order(ABOUT, ABOUT, True, kind, wanted)) == "no"


def test_a_role_is_ordered_once_and_by_name() -> None:
    assert outcome(decide_order(ADMIN, ABOUT, True, K.ADD_ROLE, R.RESEARCHER)) == "state"
    assert outcome(decide_order(ADMIN, ABOUT, True, K.ADD_ROLE, None)) == "no"


@pytest.mark.parametrize("role", R)
def test_on_a_new_account_the_roles_of_control_wait_for_whoever_can_confirm(role: Role) -> None:
    maker, officer = person(2, R.ADMIN, R.DATA_STEWARD), person(3, R.DATA_PROTECTION_OFFICER)
    wanted = frozenset({role, R.RESEARCHER})
    assert roles_that_wait(wanted, maker, [maker, officer]) == wanted & CONTROLLING
    for nobody in ([maker], [maker, replace(officer, active=False)], [maker, person(4, R.OUTPUT_CHECKER)]):
        assert roles_that_wait(wanted, maker, nobody) == frozenset()


@pytest.mark.parametrize(("role", "verb", "kind"), list(product(R, V, K)))
def test_the_second_person_has_another_role_and_is_somebody_else(role: Role, verb: OrderVerb, kind: OrderKind) -> None:
    asked = order(kind, R.AUDITOR if kind is K.ADD_ROLE else None)
    expected = "yes" if role in CONFIRMING else "no"
    assert outcome(decide_on_order(person(3, role), asked, True, verb, NOW)) == expected
    assert can_decide_on_order(person(3, role), asked, True, verb, NOW) is (expected == "yes")
    assert outcome(decide_on_order(ADMIN, asked, True, verb, NOW)) == "no"  # ordered it, though a steward
    assert outcome(decide_on_order(ABOUT, asked, True, verb, NOW)) == "no"  # it is about them


@pytest.mark.parametrize(
    ("state", "age", "confirm", "refuse"),
    [
        (S.OPEN, timedelta(0), "yes", "yes"),
        (S.OPEN, ORDER_LIFE - timedelta(seconds=1), "yes", "yes"),
        (S.OPEN, ORDER_LIFE, "state", "state"),
        (S.CONFIRMED, timedelta(0), "state", "state"),
        (S.REFUSED, timedelta(0), "state", "state"),
        (S.EXPIRED, timedelta(0), "state", "state"),
    ],
)
def test_only_an_open_order_of_the_last_day(state: OrderState, age: timedelta, confirm: str, refuse: str) -> None:
    officer = person(3, R.DATA_PROTECTION_OFFICER)
    assert outcome(decide_on_order(officer, order(state=state), True, V.CONFIRM, NOW + age)) == confirm
    assert outcome(decide_on_order(officer, order(state=state), True, V.REFUSE, NOW + age)) == refuse


@pytest.mark.parametrize(
    "changed",
    [
        replace(order(), ordered_by=person(2, R.DATA_STEWARD)),
        replace(order(), ordered_by=replace(ADMIN, active=False)),
        order(K.ADD_ROLE, R.RESEARCHER),
    ],
)
def test_what_changed_since_the_order_is_refused_not_confirmed(changed: Order) -> None:
    officer = person(3, R.DATA_PROTECTION_OFFICER)
    assert outcome(decide_on_order(officer, changed, True, V.CONFIRM, NOW)) == "state"
    assert outcome(decide_on_order(officer, changed, True, V.REFUSE, NOW)) == "yes"
    assert outcome(decide_on_order(officer, order(), False, V.CONFIRM, NOW)) == "state"


@pytest.mark.parametrize("role", R)
def test_an_admin_alone_takes_roles_away_but_not_the_last_and_not_their_own(role: Role) -> None:
    expected = "yes" if role is R.ADMIN else "no"
    assert outcome(decide_role_removal(person(3, role), ABOUT, R.DATA_STEWARD)) == expected
    assert outcome(decide_role_removal(person(1, role), ABOUT, R.DATA_STEWARD)) == "no"
    assert outcome(decide_role_removal(ADMIN, ABOUT, R.AUDITOR)) == "state"
    assert outcome(decide_role_removal(ADMIN, person(4, role), role)) == "state"


@pytest.mark.parametrize("role", R)
def test_access_is_confirmed_by_those_who_review_for_somebody_else(role: Role) -> None:
    expected = "yes" if role in REVIEWING else "no"
    assert outcome(decide_review(person(3, role), ABOUT, True)) == expected
    assert can_review(person(3, role), ABOUT, True) is (expected == "yes")
    assert not can_review(person(3, role), ABOUT, False)
    assert not can_review(ABOUT, ABOUT, True)


@pytest.mark.parametrize(
    ("days", "has_access", "expected"),
    [
        (0, True, ReviewState.CURRENT),
        (334, True, ReviewState.CURRENT),
        (335, True, ReviewState.SOON),
        (364, True, ReviewState.SOON),
        (365, True, ReviewState.DUE),
        (3650, True, ReviewState.DUE),
        (3650, False, ReviewState.ENDED),
    ],
)
def test_a_review_is_due_after_a_year_with_a_month_s_notice(days: int, has_access: bool, expected: ReviewState) -> None:
    assert review_state(NOW - timedelta(days=days), has_access, NOW) is expected


def test_what_was_shown_has_one_digest_and_another_access_another() -> None:
    shown = access_digest(["admin", "auditor"], ["one"])
    assert shown == access_digest(["auditor", "admin"], ["one"])
    others = (
        access_digest(["admin"], ["one"]),
        access_digest(["admin", "auditor"], []),
        access_digest(["admin"], ["auditor", "one"]),
    )
    assert shown not in others
