"""What two people decide about somebody's account, roles taken away, and the yearly review of access.

One verb, one transaction, one record, which comes first. The rules are ``enclave.domain.accounts``; here the people are
read again under a lock, so that a role lost a moment ago counts for nothing. Users' rows are locked before an order's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cryptography.fernet import InvalidToken
from django.db import transaction
from django.utils import timezone

from enclave.domain.accounts import (
    STATE_POLICY,
    OrderKind,
    OrderState,
    OrderVerb,
    access_digest,
    decide_on_order,
    decide_order,
    decide_review,
    decide_role_removal,
    roles_that_wait,
)
from enclave.domain.decisions import Decision, Deny, RefusedError
from enclave.domain.events import EventType
from enclave.domain.people import Role
from enclave.portal.accounts import remove_second_factor, seal, unseal
from enclave.portal.actions.access import sync_people_file
from enclave.portal.actions.people import add_person, end_access, first_password, sync_person
from enclave.portal.models import AccountOrder, User
from enclave.portal.record import AuditedChange, audited_change
from enclave.portal.rules import StateConflictError

HALF_GROUPS = 3
"""Each half of a first password: 60 bits."""
_ORDERED = {OrderKind.RESET: EventType.PERSON_RESET_ORDERED, OrderKind.ADD_ROLE: EventType.PERSON_ROLE_ORDERED}
_CONFIRMED = {OrderKind.RESET: EventType.PERSON_RESET_CONFIRMED, OrderKind.ADD_ROLE: EventType.PERSON_ROLE_ADDED}
_REFUSED = {OrderKind.RESET: EventType.PERSON_RESET_REFUSED, OrderKind.ADD_ROLE: EventType.PERSON_ROLE_REFUSED}


@dataclass(frozen=True)
class WithHalf:
    """An order and, for a reset, the half of the first password that only this person is shown, once."""

    order: AccountOrder
    half: str


def add_person_for_two(
    actor: User, username: str, display_name: str, roles: frozenset[Role], password: str, reason: str
) -> tuple[User, list[Role]]:
    """A new account; its roles of control (``CONTROLLING``) are only ordered. Returns those as well.

    The account comes first, on its own: if an order then fails, a role is missing, never one too many.
    """
    everybody = [user.as_person() for user in User.objects.filter(is_active=True)]
    waiting = roles_that_wait(roles, actor.as_person(), everybody)
    user = add_person(actor, username, display_name, roles - waiting, password, waiting=waiting)
    for role in sorted(waiting):
        order_role(actor, user.person_id, role, reason)
    return user, sorted(waiting)


def order_reset(actor: User, person_id: str, reason: str) -> WithHalf:
    """An admin orders new credentials; nothing changes before somebody confirms."""
    return _order(actor, person_id, OrderKind.RESET, None, reason)


def order_role(actor: User, person_id: str, role: Role, reason: str) -> AccountOrder:
    """An admin orders a further role; nothing changes before somebody confirms."""
    return _order(actor, person_id, OrderKind.ADD_ROLE, role, reason).order


def _order(actor: User, person_id: str, kind: OrderKind, role: Role | None, reason: str) -> WithHalf:
    with audited_change(actor, subject=person_id) as change:
        by, about = _lock_people(actor.person_id, person_id)
        _check(decide_order(by.as_person(), about.as_person(), about.is_active, kind, role))
        if not reason.strip():
            raise RefusedError("Expected a reason, found none. The person who confirms has to know why.")
        order = AccountOrder(about=about, kind=kind.value, role=role.value if role else "", ordered_by=by)
        _make_room(order)
        half = first_password(HALF_GROUPS) if kind is OrderKind.RESET else ""
        order.sealed_half = seal(half) if half else ""
        order.reason = reason.strip()
        order.save(force_insert=True)
        _record(change, _ORDERED[kind], order, "allow", {"reason": order.reason})
    return WithHalf(order, half)


def _make_room(order: AccountOrder) -> None:
    """An open order of the same kind stays in the way; one that is too old does not."""
    for other in AccountOrder.objects.filter(
        about=order.about, kind=order.kind, role=order.role, state=OrderState.OPEN.value
    ):
        if other.state_at(timezone.now()) is not OrderState.EXPIRED:
            raise StateConflictError("The same is ordered already and waits for a second person. Ask them to look.")
        other.state, other.sealed_half = OrderState.EXPIRED.value, ""
        other.save()


def decide_account_order(actor: User, number: int, verb: OrderVerb) -> WithHalf:
    """The second person confirms or refuses. Raises RefusedError, StateConflictError, both recorded."""
    unlocked = AccountOrder.objects.filter(pk=number).select_related("about", "ordered_by").first()
    about_id = unlocked.about.person_id if unlocked else None
    with audited_change(actor, subject=about_id) as change:
        if unlocked is None:
            raise RefusedError("There is no such order. Look at the list of orders.")
        by, _about, _orderer = _lock_people(actor.person_id, unlocked.about.person_id, unlocked.ordered_by.person_id)
        order = (
            AccountOrder.objects.select_for_update(of=("self",)).select_related("about", "ordered_by").get(pk=number)
        )
        now = timezone.now()
        _check(decide_on_order(by.as_person(), order.as_order(), order.about.is_active, verb, now))
        sealed = order.sealed_half
        order.decided_by, order.decided_at, order.sealed_half = by, now, ""
        if verb is OrderVerb.REFUSE:
            order.state = OrderState.REFUSED.value
            _record(change, _REFUSED[OrderKind(order.kind)], order, "deny")
            order.save()
            return WithHalf(order, "")
        order.state = OrderState.CONFIRMED.value
        halves = _open_halves(sealed) if order.kind == OrderKind.RESET else ("", "")
        _record(change, _CONFIRMED[OrderKind(order.kind)], order, "allow")
        order.save()
        _carry_out(order, "-".join(halves))
    return WithHalf(order, halves[1])


def _open_halves(sealed: str) -> tuple[str, str]:
    """The half that the admin was shown, and a new one for the person who confirms."""
    try:
        return unseal(sealed), first_password(HALF_GROUPS)
    except InvalidToken:
        raise StateConflictError("The order was made under another key of the portal. Order it anew.") from None


def _carry_out(order: AccountOrder, password: str) -> None:
    about = order.about
    if order.kind == OrderKind.ADD_ROLE:
        about.roles = sorted({*about.roles, order.role})
        about.save()
        transaction.on_commit(lambda: sync_person(about))
        return
    about.set_password(password)
    about.must_change_password = True
    remove_second_factor(about)
    end_access(about)


def remove_role(actor: User, person_id: str, role: Role) -> User:
    """Take a role away, at once. With the researcher's role go tokens and workspaces."""
    with audited_change(actor, subject=person_id) as change:
        by, about = _lock_people(actor.person_id, person_id)
        _check(decide_role_removal(by.as_person(), about.as_person(), role))
        about.roles = sorted(set(about.roles) - {role.value})
        data = {"role": role.value, "roles": list(about.roles)}
        change.record(EventType.PERSON_ROLE_REMOVED, subject=person_id, decision="allow", data=data)
        if role is Role.RESEARCHER:
            end_access(about)
        else:
            about.save()
            sync_people_file()
            transaction.on_commit(lambda: sync_person(about))
    return about


def projects_of(user: User) -> list[str]:
    """Names of the projects that this person is a member of, sorted."""
    return sorted(user.memberships.values_list("project_id", flat=True))


def digest_of(user: User, projects: Iterable[str]) -> str:
    """What a page shows of this person's access, as one value."""
    return access_digest(user.roles, projects)


def confirm_access(actor: User, person_id: str, shown: str) -> User:
    """The yearly review of one person: roles and projects are still right. ``shown``: the page's ``digest_of``."""
    with audited_change(actor, subject=person_id) as change:
        by, about = _lock_people(actor.person_id, person_id)
        _check(decide_review(by.as_person(), about.as_person(), about.is_active))
        projects = projects_of(about)
        if digest_of(about, projects) != shown:
            raise StateConflictError("Roles or projects changed since the page was shown. Look at them again.")
        data: dict[str, Any] = {"roles": list(about.roles), "projects": projects}
        change.record(EventType.PERSON_ACCESS_REVIEWED, subject=person_id, decision="allow", data=data)
        about.reviewed_at, about.reviewed_by = timezone.now(), by
        about.save()
    return about


def _lock_people(*person_ids: str) -> list[User]:
    """Their rows as they are now, in the order asked for; locked in one order, so that no two wait for each other."""
    rows = User.objects.select_for_update().filter(person_id__in=set(person_ids)).order_by("pk")
    found = {user.person_id: user for user in rows}
    if set(found) != set(person_ids):
        raise RefusedError("Expected the id of a person here, found none. Look at the list of people.")
    return [found[person_id] for person_id in person_ids]


def _check(decision: Decision) -> None:
    if isinstance(decision, Deny):
        raise (StateConflictError if STATE_POLICY in decision.policies else RefusedError)(*decision.reasons)


def _record(
    change: AuditedChange, event: EventType, order: AccountOrder, decision: str, payload: dict[str, Any] | None = None
) -> None:
    data: dict[str, Any] = {"order": order.pk or 0, "ordered_by": order.ordered_by.person_id}
    if order.role:
        data["role"] = order.role
    change.record(event, subject=order.about.person_id, decision=decision, data=data, payload=payload)
