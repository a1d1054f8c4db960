"""Accounts at the real interface: resets and roles by two people, roles taken away, the yearly review."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.db import IntegrityError, transaction
from django.utils import timezone
from enclave_test_database import one_hash_for_all  # type: ignore[import-not-found]
from portal_house import PASSWORD, page_words, permit_text

from enclave.access import AccessFiles
from enclave.domain.accounts import OrderVerb
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.domain.ids import PersonId
from enclave.domain.people import Role
from enclave.portal.accounts_page import reviews_due
from enclave.portal.actions import accounts, people, projects, workspaces
from enclave.portal.models import AccountOrder, Job, User
from enclave.portal.rules import StateConflictError

HALF = re.compile(r'<dd class="mono nowrap">-?([a-z2-9]{4}-[a-z2-9]{4}-[a-z2-9]{4})-?</dd>')


def person(username: str) -> User:
    return User.objects.get(username=username)


def made(username: str, *roles: Role) -> User:
    """A sample person of this test."""
    with one_hash_for_all():
        return people.add_person(person("ines"), username, username.title(), frozenset(roles), PASSWORD, "A" * 32)


def half_on(answer: Any) -> str:
    found = HALF.search(answer.text)
    assert found, page_words(answer)
    return found[1]


def test_new_credentials_take_two_people_and_each_has_half_of_the_password(house: Any) -> None:
    karim = person("karim")
    session = house.logged_in("karim")
    assert session.get("/").status_code == 200
    ordered = house.logged_in("ines").post(f"/people/{karim.person_id}/reset", {"reason": "Phone fell into the Loire"})
    first, order = half_on(ordered), AccountOrder.objects.get(about=karim)
    assert session.get("/").status_code == 200  # nothing has changed yet
    assert first not in order.sealed_half

    diane = house.logged_in("diane")
    assert "New credentials" in diane.words("/")
    assert "Phone fell into the Loire" in diane.words("/people/orders/")
    second = half_on(diane.post(f"/people/orders/{order.pk}/decide", {"verb": "confirm"}))

    assert session.get("/").headers["location"].startswith("/accounts/login/")
    karim.refresh_from_db()
    assert not Authenticator.objects.filter(user=karim).exists()
    assert Job.objects.filter(kind="stop-workspaces", payload__person=karim.person_id).exists()
    written = AccessFiles(house.settings).people()[PersonId(karim.person_id)]
    assert not written.active and written.tokens_valid_from == karim.tokens_valid_from > 0
    browser = house.browser()
    browser.password("karim", f"{first}-{second}")  # both halves, and no second factor is asked for
    assert browser.get("/").headers["location"] == "/accounts/password/change/"
    recorded = [leaf for leaf in house.events() if leaf["type"].startswith("person:reset")]
    assert [(leaf["type"], leaf["actor"]) for leaf in recorded] == [
        ("person:reset-ordered", person("ines").person_id),
        ("person:reset-confirmed", person("diane").person_id),
    ]
    assert first not in str(recorded) and "Loire" not in str(recorded)
    again = diane.post(f"/people/orders/{order.pk}/decide", {"verb": "confirm"})
    assert again.status_code == 409


def test_who_ordered_and_whom_it_is_about_confirm_nothing(house: Any) -> None:
    both = made("admin-and-steward", Role.ADMIN, Role.DATA_STEWARD)
    order, before = accounts.order_reset(both, person("tomas").person_id, "Forgot it").order, person("tomas").password
    for username in ("admin-and-steward", "tomas", "hugo", "victor", "amelie"):
        with pytest.raises(RefusedError):
            accounts.decide_account_order(person(username), order.pk, OrderVerb.CONFIRM)
    with pytest.raises(RefusedError, match="your own account"):
        accounts.order_reset(both, both.person_id, "Mine")
    refused = [leaf.get("subject") for leaf in house.events(EventType.ACTION_REFUSED)]
    assert refused.count(person("tomas").person_id) == 5
    accounts.remove_role(person("ines"), both.person_id, Role.ADMIN)
    with pytest.raises(StateConflictError, match="no admin any more"):
        accounts.decide_account_order(person("diane"), order.pk, OrderVerb.CONFIRM)
    accounts.decide_account_order(person("diane"), order.pk, OrderVerb.REFUSE)
    assert AccountOrder.objects.get(pk=order.pk).state == "refused"
    assert (person("tomas").password, person("tomas").tokens_valid_from) == (before, 0)


def test_an_order_holds_a_day_and_stands_in_the_way_of_the_same(house: Any) -> None:
    late = made("late-one", Role.AUDITOR)
    order = accounts.order_reset(person("ines"), late.person_id, "Forgot it").order
    with pytest.raises(StateConflictError, match="ordered already"):
        accounts.order_reset(person("hugo"), late.person_id, "Forgot it")
    AccountOrder.objects.filter(pk=order.pk).update(ordered_at=timezone.now() - timedelta(hours=24))
    with pytest.raises(StateConflictError, match="expired"):
        accounts.decide_account_order(person("diane"), order.pk, OrderVerb.CONFIRM)
    assert person("late-one").password == late.password
    accounts.order_reset(person("hugo"), late.person_id, "Forgot it still")
    order.refresh_from_db()
    assert (order.state, order.sealed_half) == ("expired", "")


def test_a_role_is_added_by_two_people_and_taken_away_by_one(house: Any) -> None:
    made("role-taker", Role.RESEARCHER)
    about = f"/people/{person('role-taker').person_id}"
    ines = house.logged_in("ines")
    ines.post(f"{about}/add-role", {"role": "output-checker", "reason": "Trained in May"})
    assert person("role-taker").roles == ["researcher"]
    order = AccountOrder.objects.get(about__username="role-taker")
    assert house.logged_in("diane").post(f"/people/orders/{order.pk}/decide", {"verb": "confirm"}).status_code == 302
    assert person("role-taker").roles == ["output-checker", "researcher"]
    written = AccessFiles(house.settings).people()[PersonId(person("role-taker").person_id)]
    assert Role.OUTPUT_CHECKER in written.roles

    assert "Take away" in ines.words(f"{about}/")
    assert ines.post(f"{about}/remove-role", {"role": "researcher"}).status_code == 302
    gone = person("role-taker")
    assert gone.roles == ["output-checker"] and gone.tokens_valid_from > 0
    assert Job.objects.filter(kind="stop-workspaces", payload__person=gone.person_id).exists()
    assert AccessFiles(house.settings).people()[PersonId(gone.person_id)].roles == {Role.OUTPUT_CHECKER}
    assert ines.post(f"{about}/remove-role", {"role": "output-checker"}).status_code == 409
    types = [leaf["type"] for leaf in house.events() if leaf.get("subject") == gone.person_id]
    assert types == [
        "person:created", "person:role-ordered", "person:role-added", "person:role-removed", "action:refused"
    ]  # fmt: skip


def test_a_new_account_does_not_begin_with_a_role_that_decides(house: Any) -> None:
    form = {"username": "new-checker", "display_name": "New Checker", "roles": ["output-checker"]}
    answer = page_words(house.logged_in("ines").post("/people/new/", form, form="/people/new/"))
    assert "has to confirm within 24 hours" in answer and "First password" in answer
    assert person("new-checker").roles == []
    order = AccountOrder.objects.get(about__username="new-checker")
    accounts.decide_account_order(person("diane"), order.pk, OrderVerb.CONFIRM)
    assert person("new-checker").roles == ["output-checker"]


def test_a_role_lost_a_moment_ago_counts_for_nothing(house: Any) -> None:
    one, other = made("mutual-one", Role.ADMIN, Role.AUDITOR), made("mutual-two", Role.ADMIN, Role.AUDITOR)
    accounts.remove_role(one, other.person_id, Role.ADMIN)
    assert Role.ADMIN in other.role_set  # the value that a request loaded before
    with pytest.raises(RefusedError, match="Only an admin"):
        accounts.remove_role(other, one.person_id, Role.ADMIN)


def test_the_review_is_due_shown_and_recorded(house: Any) -> None:
    User.objects.filter(username="both").update(date_joined=timezone.now() - timedelta(days=340))
    ines, diane = house.logged_in("ines"), house.logged_in("diane")
    assert "Access to review Both" in ines.words("/") and "Access to review Both" in diane.words("/")
    assert reviews_due(person("sofia")) == []
    shown = re.search(
        rf'{person("both").person_id}/confirm-access.*?name="shown" value="(\w+)"', diane.get("/people/review/").text
    )
    assert shown
    confirm = f"/people/{person('both').person_id}/confirm-access"
    assert diane.post(confirm, {"shown": "0" * 64}).status_code == 409
    assert diane.post(confirm, {"shown": shown[1]}).status_code == 302

    assert "Access to review" not in ines.words("/")
    assert person("both").reviewed_by == person("diane")
    (leaf,) = house.events(EventType.PERSON_ACCESS_REVIEWED)
    assert leaf["subject"] == person("both").person_id and leaf["data"]["roles"] == person("both").roles
    own = f"/people/{person('diane').person_id}/confirm-access"
    assert diane.post(own, {"shown": accounts.digest_of(person("diane"), [])}).status_code == 403
    rows = list(csv.DictReader(io.StringIO(diane.get("/people/review.csv").text)))
    row = next(row for row in rows if row["username"] == "both")
    assert row["reviewed_by"] == person("diane").person_id and row["state"] == "review-current"
    assert len(rows) == User.objects.filter(is_active=True).count()


def test_with_a_first_password_there_is_no_workspace(house: Any) -> None:
    with one_hash_for_all():
        people.add_person(None, "not-yet", "Not Yet", frozenset({Role.RESEARCHER}), PASSWORD)
    projects.submit_application(person("amelie"), permit_text("early-one", researchers="not-yet"))
    projects.approve_project(person("sofia"), "early-one", Role.DATA_STEWARD)
    projects.approve_project(person("diane"), "early-one", Role.DATA_PROTECTION_OFFICER)
    projects.provision_project(person("ines"), "early-one")
    projects.activate_project("early-one", "v1")
    assert not workspaces.can_work(person("not-yet"), projects.Project.objects.get(pk="early-one"))
    with pytest.raises(RefusedError, match="made for you"):
        workspaces.start_workspace("not-yet", "early-one")
    with one_hash_for_all():
        people.choose_password(person("not-yet"), PASSWORD)
    assert workspaces.start_workspace("not-yet", "early-one").token
    assert AccessFiles(house.settings).people()[PersonId(person("not-yet").person_id)].active


@pytest.mark.parametrize(
    "wrong",
    [
        {"ordered_by": "victor"},
        {"decided_by": "ines", "state": "confirmed"},
        {"decided_by": "victor", "state": "confirmed"},
        {"state": "confirmed"},
        {"decided_by": "diane", "state": "refused", "sealed_half": "kept"},
    ],
)
def test_the_database_keeps_the_two_people_apart(house: Any, wrong: dict[str, str]) -> None:
    values = {"ordered_by": "ines", **wrong}
    found = {key: person(value) if key.endswith("_by") else value for key, value in values.items()}
    with pytest.raises(IntegrityError), transaction.atomic():
        AccountOrder.objects.create(about=person("victor"), kind="reset", reason="x", **found)
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(username="victor").update(reviewed_by=person("victor"), reviewed_at=timezone.now())
