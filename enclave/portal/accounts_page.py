"""What the pages about accounts show: orders that wait, and everybody's access with its last review. Read only."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from enclave.domain.accounts import (
    CONFIRMING,
    REVIEW_EVERY,
    REVIEWING,
    OrderState,
    OrderVerb,
    ReviewState,
    can_decide_on_order,
    can_review,
)
from enclave.portal.actions.accounts import digest_of
from enclave.portal.models import AccountOrder, User
from enclave.portal.usage_page import harmless

ORDERS_SHOWN = 50


@dataclass(frozen=True)
class OrderRow:
    """An order with the buttons that ``user`` gets."""

    order: AccountOrder
    state: OrderState
    can_confirm: bool
    can_refuse: bool


@dataclass(frozen=True)
class AccessRow:
    """One person's access, and where its yearly review stands. ``digest`` stands for what is shown here."""

    person: User
    projects: list[str]
    state: ReviewState
    due_at: datetime
    digest: str
    can_confirm: bool


def order_row(user: User, order: AccountOrder) -> OrderRow:
    """One order as ``user`` sees it now."""
    now, found = timezone.now(), order.as_order()
    can = {verb: can_decide_on_order(user.as_person(), found, order.about.is_active, verb, now) for verb in OrderVerb}
    return OrderRow(order, found.state_at(now), can[OrderVerb.CONFIRM], can[OrderVerb.REFUSE])


def order_rows(user: User, about: User | None = None) -> list[OrderRow]:
    """The latest orders, open ones first."""
    found = AccountOrder.objects.select_related("about", "ordered_by", "decided_by")
    if about is not None:
        found = found.filter(about=about)
    rows = [order_row(user, order) for order in found[:ORDERS_SHOWN]]
    return sorted(rows, key=lambda row: row.state is not OrderState.OPEN)


def orders_waiting(user: User) -> list[OrderRow]:
    """Open orders that ``user`` can decide about."""
    if not user.role_set & CONFIRMING:
        return []
    found = AccountOrder.objects.filter(state=OrderState.OPEN.value).select_related("about", "ordered_by", "decided_by")
    return [row for row in (order_row(user, order) for order in found) if row.can_refuse]


def access_rows(user: User) -> list[AccessRow]:
    """Everybody who has access, those first whose review was longest ago."""
    people = User.objects.filter(is_active=True).select_related("reviewed_by").prefetch_related("memberships")
    rows = [access_row(user, person) for person in people]
    return sorted(rows, key=lambda row: (row.due_at, row.person.username))


def access_row(user: User, person: User) -> AccessRow:
    """One person's access as ``user`` sees it now."""
    projects = sorted(membership.project_id for membership in person.memberships.all())
    return AccessRow(
        person=person,
        projects=projects,
        state=person.review_state_at(timezone.now()),
        due_at=person.last_reviewed_at + REVIEW_EVERY,
        digest=digest_of(person, projects),
        can_confirm=can_review(user.as_person(), person.as_person(), person.is_active),
    )


def reviews_due(user: User) -> list[AccessRow]:
    """For those who review: people whose access is to be looked at within the notice, or late."""
    if not user.role_set & REVIEWING:
        return []
    return [row for row in access_rows(user) if row.state in (ReviewState.SOON, ReviewState.DUE)]


_COLUMNS = (
    "person_id", "username", "name", "roles", "projects", "account_since", "last_login",
    "last_review", "reviewed_by", "review_due", "state",
)  # fmt: skip


def access_csv(rows: Iterable[AccessRow]) -> str:
    """A line per person; times in UTC. A name that a spreadsheet would run gets a quote before it."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows(map(_cells, rows))
    return text.getvalue()


def _cells(row: AccessRow) -> list[str]:
    person = row.person
    return [
        person.person_id,
        person.username,
        harmless(str(person)),
        " ".join(person.roles),
        " ".join(row.projects),
        _text(person.date_joined),
        _text(person.last_login),
        _text(person.reviewed_at),
        person.reviewed_by.person_id if person.reviewed_by else "",
        row.due_at.date().isoformat(),
        row.state.value,
    ]


def _text(moment: datetime | None) -> str:
    return moment.isoformat(timespec="seconds") if moment else ""
