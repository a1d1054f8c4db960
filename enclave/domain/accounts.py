"""What may be done to somebody's account, by whom: orders that two people decide, roles taken away, access reviewed.

An admin must never be able to read data (DESIGN.md), so no admin alone can take over a researcher's account or make a
friend an output checker: whatever gives power is *ordered* by an admin and *confirmed* by a data-protection officer or
a data steward. Taking power away is the admin's alone. Nobody does any of it to themselves (invariant 7).
Pure: the clock is a parameter. Non-goals: making an account, revoking it. ADR 38; SATRE 3.2.03.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from enclave.domain.decisions import Allow, Decision, Deny
from enclave.domain.people import Person, Role

CONFIRMING = frozenset({Role.DATA_PROTECTION_OFFICER, Role.DATA_STEWARD})
"""Roles that decide about an admin's order."""
CONTROLLING = CONFIRMING | {Role.OUTPUT_CHECKER, Role.AUDITOR}
"""Roles that decide about others or watch over them: also on a new account they wait for a second person."""
REVIEWING = frozenset({Role.ADMIN, Role.DATA_PROTECTION_OFFICER})
"""Roles that confirm somebody's access in the yearly review."""
ORDER_LIFE = timedelta(hours=24)
REVIEW_EVERY = timedelta(days=365)
REVIEW_NOTICE = timedelta(days=30)
STATE_POLICY = "account-state"
"""Named by a ``Deny`` that holds for everybody: the state is in the way, not the person."""


class OrderKind(StrEnum):
    """What an admin can order. Stored strings."""

    RESET = "reset"
    ADD_ROLE = "add-role"


class OrderState(StrEnum):
    """Stored strings. ``expired`` is stored only when another order takes its place: before, it is ``open`` and old."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    EXPIRED = "expired"


class OrderVerb(StrEnum):
    """What the second person does."""

    CONFIRM = "confirm"
    REFUSE = "refuse"


class ReviewState(StrEnum):
    """How somebody's access stands in the yearly review."""

    CURRENT = "review-current"
    SOON = "review-soon"
    DUE = "review-due"
    ENDED = "review-ended"


@dataclass(frozen=True)
class Order:
    """An order as the rules see it; ``role`` only for ``ADD_ROLE``."""

    kind: OrderKind
    role: Role | None
    ordered_by: Person
    about: Person
    ordered_at: datetime
    state: OrderState

    def state_at(self, now: datetime) -> OrderState:
        """The stored state, or ``EXPIRED`` when nobody decided within ``ORDER_LIFE``."""
        is_late = self.state is OrderState.OPEN and now - self.ordered_at >= ORDER_LIFE
        return OrderState.EXPIRED if is_late else self.state


def decide_order(actor: Person, about: Person, has_access: bool, kind: OrderKind, role: Role | None) -> Decision:
    """May ``actor`` order this? ``has_access`` is False for somebody revoked."""
    return _first_denied(
        _decide_admin(actor), _decide_not_oneself(actor, about), _decide_possible(about, has_access, kind, role)
    )


def roles_that_wait(wanted: frozenset[Role], maker: Person, people: Iterable[Person]) -> frozenset[Role]:
    """Of a new account's roles those that somebody has to confirm; none while there is nobody who could."""
    can_confirm = any(one.active and one.id != maker.id and one.roles & CONFIRMING for one in people)
    return wanted & CONTROLLING if can_confirm else frozenset()


def decide_on_order(actor: Person, order: Order, has_access: bool, verb: OrderVerb, now: datetime) -> Decision:
    """May ``actor`` confirm or refuse this order now? Refusing stays possible when confirming is not any more."""
    found = order.state_at(now)
    if found is not OrderState.OPEN:
        return _state(f"Only an open order can be decided about; this one is {found}. An admin can order it anew.")
    if not actor.roles & CONFIRMING:
        wanted = " or ".join(sorted(CONFIRMING))
        return Deny((f"Only {wanted} can decide about this order. Ask a colleague who holds that role.",))
    if actor.id == order.ordered_by.id:
        return Deny(("You ordered this, so you cannot decide about it. A second person has to.",))
    if actor.id == order.about.id:
        return Deny(("This order is about your own account, so a colleague has to decide about it.",))
    if verb is OrderVerb.REFUSE:
        return Allow(("account-order-refuse",))
    if not order.ordered_by.active or Role.ADMIN not in order.ordered_by.roles:
        return _state("The person who ordered this is no admin any more. Refuse it; an admin can order it anew.")
    return _decide_possible(order.about, has_access, order.kind, order.role)


def can_decide_on_order(actor: Person, order: Order, has_access: bool, verb: OrderVerb, now: datetime) -> bool:
    """What the button asks."""
    return isinstance(decide_on_order(actor, order, has_access, verb, now), Allow)


def decide_role_removal(actor: Person, about: Person, role: Role) -> Decision:
    """May ``actor`` take this role away? At once, alone; the last role of an account stays: revoke it instead."""
    decision = _first_denied(_decide_admin(actor), _decide_not_oneself(actor, about))
    if isinstance(decision, Deny):
        return decision
    if role not in about.roles:
        return _state(f"This person does not hold the role {role}. There is nothing to take away.")
    if len(about.roles) == 1:
        return _state("This is the person's only role. Revoke the access instead.")
    return Allow(("account-role-removal",))


def decide_review(actor: Person, about: Person, has_access: bool) -> Decision:
    """May ``actor`` confirm that this person's access is still right?"""
    if not actor.roles & REVIEWING:
        wanted = " or ".join(sorted(REVIEWING))
        return Deny((f"Only {wanted} can confirm somebody's access. Ask a colleague who holds that role.",))
    return _first_denied(_decide_not_oneself(actor, about), _decide_access(has_access))


def can_review(actor: Person, about: Person, has_access: bool) -> bool:
    """What the button asks."""
    return isinstance(decide_review(actor, about, has_access), Allow)


def review_state(last_at: datetime, has_access: bool, now: datetime) -> ReviewState:
    """Where a person stands; ``last_at``: the last review, or the account's making when there was none."""
    if not has_access:
        return ReviewState.ENDED
    age = now - last_at
    if age >= REVIEW_EVERY:
        return ReviewState.DUE
    return ReviewState.SOON if age >= REVIEW_EVERY - REVIEW_NOTICE else ReviewState.CURRENT


def access_digest(roles: Iterable[str], projects: Iterable[str]) -> str:
    """Stands for what a reviewer saw, so that nothing else is confirmed than what was shown."""
    shown = "\n".join(["roles", *sorted(roles), "projects", *sorted(projects)])
    return hashlib.sha256(shown.encode()).hexdigest()


def _decide_possible(about: Person, has_access: bool, kind: OrderKind, role: Role | None) -> Decision:
    if kind is OrderKind.ADD_ROLE and role is None:
        return Deny(("Expected a role to add, found none. Choose one.",))
    if kind is OrderKind.ADD_ROLE and role in about.roles:
        return _state(f"This person holds the role {role} already. There is nothing to add.")
    return _decide_access(has_access)


def _decide_access(has_access: bool) -> Decision:
    if not has_access:
        return _state("This person has no access. Restore it first.")
    return Allow(("account-in-use",))


def _decide_admin(actor: Person) -> Decision:
    if Role.ADMIN not in actor.roles:
        return Deny(("Only an admin can do this to an account. Ask a colleague who holds that role.",))
    return Allow(("account-admin",))


def _decide_not_oneself(actor: Person, about: Person) -> Decision:
    if actor.id == about.id:
        return Deny(("You cannot decide about your own account. Ask another admin.",))
    return Allow(("account-of-somebody-else",))


def _first_denied(*decisions: Decision) -> Decision:
    return next((one for one in decisions if isinstance(one, Deny)), decisions[-1])


def _state(reason: str) -> Deny:
    return Deny((reason,), (STATE_POLICY,))
