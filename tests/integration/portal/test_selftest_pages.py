"""The auditor's pages of self-tests: nothing hidden, both languages, every reading on record; nobody else sees them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from enclave.domain.events import EventType
from enclave.selftest.probes import CATALOGUE
from enclave.selftest.report import Report, judge, store

NOW = datetime(2026, 11, 26, 3, 0, tzinfo=UTC)
CLOSED = {probe.id: ["closed", "EPERM"] for probe in CATALOGUE}


def report(outcomes: dict[str, list[str]], days: int = 0, problem: str = "") -> Report:
    findings = tuple(finding for place in ("server", "kernel") for finding in judge(place, outcomes))
    at = NOW + timedelta(days=days)
    return Report(
        started_at=at,
        finished_at=at + timedelta(seconds=24),
        engine="bubblewrap",
        kernel="6.1.0-28-amd64",
        code="0.1.0+0123456789ab",
        catalogue_sha256="ab" * 32,
        reason="due" if days else "first",
        findings=() if problem else findings,
        problem=problem,
        started_index=0,
    )


@pytest.fixture(scope="module")
def kept(house: Any) -> list[Report]:
    """A good one, one with an open probe, one that could not be carried out."""
    usual = {"leak-load": ["open", "the machine's load is readable"]}
    good = report({**CLOSED, **usual, "connect-dbus-socket": ["not-applicable", "nothing of this kind"]})
    opened = report({**CLOSED, **usual, "call-io-uring": ["open", "io_uring_setup gave <b>a</b> descriptor"]}, 7)
    broken = report(CLOSED, 14, "The gateway does not answer.")
    for one in (good, opened, broken):
        store(house.settings, one)
    return [good, opened, broken]


def test_the_list_shows_all_newest_first(house: Any, kept: list[Report]) -> None:
    victor = house.logged_in("victor")
    page = victor.get("/audit/selftests/").text
    places = [page.index(f"/audit/selftests/{one.name}/") for one in reversed(kept)]
    assert places == sorted(places)
    for word in ("Nothing open", "Not everything held", "Not carried out", "6.1.0-28-amd64", "0.1.0+0123456789ab"):
        assert word in page
    assert "log:selftests" in {leaf["subject"] for leaf in house.events(EventType.AUDIT_READ)}
    assert 'href="/audit/selftests/"' in victor.get("/audit/").text


def test_a_report_names_everything_that_is_not_closed_and_says_what_it_means(house: Any, kept: list[Report]) -> None:
    victor = house.logged_in("victor")
    page = victor.get(f"/audit/selftests/{kept[1].name}/").text
    for word in (
        "call-io-uring",
        "Use io_uring, which no filter sees into.",
        "leak-load",
        "The attack got",
    ):
        assert word in page
    assert "&lt;b&gt;a&lt;/b&gt;" in page
    good = victor.get(f"/audit/selftests/{kept[0].name}/").text
    assert "Nothing is open." in good and "connect-dbus-socket" in good
    assert "The gateway does not answer." in victor.get(f"/audit/selftests/{kept[2].name}/").text


def test_in_french(house: Any, kept: list[Report]) -> None:
    victor = house.logged_in("victor")
    headers = {"Accept-Language": "fr"}
    page = victor.get(f"/audit/selftests/{kept[1].name}/", headers=headers).text
    for word in ("Appels système", "Utiliser io_uring", "selon le calendrier", "Fermée", "Autotest du 3 décembre 2026"):
        assert word in page


@pytest.mark.parametrize("name", ["2020-01-01T000000Z", "..%2f..%2fkeys", "2026-11-26T030000Z.json"])
def test_a_name_that_is_no_report_is_not_found(house: Any, kept: list[Report], name: str) -> None:
    assert house.logged_in("victor").get(f"/audit/selftests/{name}/").status_code == 404


def test_the_reserved_project_cannot_be_applied_for(house: Any) -> None:
    from portal_house import permit_text

    from enclave.portal.actions import projects
    from enclave.portal.models import User
    from enclave.portal.rules import StateConflictError

    amelie = User.objects.get(username="amelie")
    with pytest.raises(StateConflictError, match="exists already"):
        projects.submit_application(amelie, permit_text("selftest"))
