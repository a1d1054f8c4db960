"""Reviewers see what the log holds about the queries before a request: on a real log and its index."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from django.utils.html import strip_tags
from django.utils.translation import override as language
from egress_review_house import GOOD_CSV

from audit.alerts import Alert, Severity
from audit.alerts.raising import raised_event
from audit.alerts.rules import RULES_BY_ID
from egress_review.actions.ask_log import ABOUT_RESULTS, read_background
from egress_review.actions.submit import submit
from egress_review.models import OutputRequest
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.portal.record import audit_client, record


@dataclass(frozen=True)
class Told:
    """What an outcome says, and whether reviewers are told that the group is small (the permit's minimum is 11)."""

    counts: dict[str, int]
    is_small: bool
    status: str = "ok"


TOLD = [
    Told({"rows": 4, "persons": 2000}, False),
    Told({"rows": 1, "persons": 10}, True),
    Told({"rows": 1, "persons": 11}, False),
    Told({"rows": 1, "persons": 0}, False),
    Told({"rows": 9, "min_cell": 1}, True),
    Told({"rows": 9, "min_cell": 11, "persons": 300}, False),
    Told({"rows": 9, "min_cell": 3, "persons": 300}, True),
    Told({"rows": 0}, False, "error"),
    Told({"rows": 5}, False),
]


def _ask(person: Any, counts: dict[str, int], *, project: str = "gut-study", status: str = "ok") -> int:
    data: dict[str, Any] = {"status": status, "columns_read": ["person.year_of_birth"]}
    data["filters"] = ["person.gender_concept_id ="]
    receipt = record(
        EventType.QUERY_OUTCOME, person, project=project, subject="v1", request_id="q", counts=counts, data=data
    )
    return receipt.index


def _page(house: Any, row: OutputRequest, username: str = "paul", tongue: str = "en") -> str:
    client = house.client(username)
    client.cookies["django_language"] = tongue
    answer = client.get(f"/outputs/{row.pk}/")
    assert answer.status_code == 200
    part = answer.content.decode().partition('id="queries">')[2].partition("</section>")[0]
    return re.sub(r"\s+", " ", strip_tags(part))


def _request(house: Any, username: str, name: str) -> OutputRequest:
    house.put(name, GOOD_CSV, username)
    row = submit(house.people[username], house.project, [name], "Table", "")
    return OutputRequest.objects.get(pk=row.pk)


@pytest.fixture(scope="module")
def asked(house: Any) -> OutputRequest:
    """Amelie asked all of ``TOLD``; others, other projects and what came after the request do not count."""
    for told in TOLD:
        _ask(house.people["amelie"], told.counts, status=told.status)
    _ask(house.people["karim"], {"persons": 2})
    _ask(house.people["amelie"], {"persons": 2}, project="other-study")
    row = _request(house, "amelie", "asked.csv")
    _ask(house.people["amelie"], {"persons": 3})
    house.events()
    return row


def test_the_table_of_what_is_a_small_group(house: Any, asked: OutputRequest) -> None:
    background = read_background(house.people["sofia"], asked)
    assert background is not None
    found = background.asked
    assert (found.total, found.small, found.minimum) == (len(TOLD), sum(told.is_small for told in TOLD), 11)
    assert [query.is_small for query in found.listed] == sorted((told.is_small for told in TOLD), reverse=True)
    by_numbers = {(q.persons, q.least_count, q.rows, q.status): q for q in found.listed}
    for told in TOLD:
        key = (told.counts.get("persons"), told.counts.get("min_cell"), told.counts["rows"], told.status)
        assert by_numbers[key].is_small is told.is_small
        assert by_numbers[key].columns == ("person.year_of_birth",)
        assert by_numbers[key].filters == ("person.gender_concept_id =",)


def test_a_month_before_the_request_and_not_longer(house: Any, asked: OutputRequest) -> None:
    asked.submitted_at = timezone.now() + timedelta(days=31)
    background = read_background(house.people["sofia"], asked)
    assert background is not None
    assert (background.asked.total, background.asked.listed) == (0, ())


def test_the_reviewers_page_tells_it(house: Any, asked: OutputRequest) -> None:
    page = _page(house, asked)
    assert "Amelie asked 9 queries of this project" in page
    assert "3 of them show a group of fewer than 11." in page
    assert "person.year_of_birth" in page
    assert "person.gender_concept_id =" in page
    assert "None" not in page
    french = _page(house, asked, tongue="fr")
    assert "Amelie a exécuté 9 requêtes" in french
    assert "3 d’entre elles montrent un groupe de moins de 11." in french


def test_nothing_asked_is_said(house: Any) -> None:
    row = _request(house, "nora", "nothing.csv")
    assert "Nora asked no query of this project" in _page(house, row)


def test_reviewers_alone_and_on_record(house: Any, asked: OutputRequest) -> None:
    for username in ("amelie", "karim", "victor", "ines"):
        with pytest.raises(RefusedError):
            read_background(house.people[username], asked)
    assert 'id="queries"' not in house.client("amelie").get(f"/outputs/{asked.pk}/").content.decode()
    before = len(_readings(house))
    _page(house, asked, "sofia")
    read = _readings(house)[before:]
    assert [(leaf["actor"], leaf["data"]["request"], leaf["data"]["persons"]) for leaf in read] == [
        (house.people["sofia"].person_id, asked.pk, [house.people["amelie"].person_id])
    ]


def _readings(house: Any) -> list[dict[str, Any]]:
    return [leaf for leaf in house.events(EventType.AUDIT_READ) if leaf["subject"] == "log:queries"]


def test_the_rules_that_speak_of_results_are_rules() -> None:
    assert set(RULES_BY_ID) > ABOUT_RESULTS


def _raise(about: Any, project: str | None, key: str, rule: str = "differencing") -> None:
    now = datetime.now(UTC)
    facts = {"low": 40, "high": 43, "n": 2, "difference": 3}
    audit_client().record(
        raised_event(
            Alert(
                rule,
                key,
                about.person_id,
                project,
                Severity.HIGH,
                now,
                now,
                (0,),
                facts,
                "differencing/populations",
            )
        )
    )


def test_open_alerts_about_the_requester_are_there(house: Any) -> None:
    row = _request(house, "karim", "alerted.csv")
    _raise(house.people["amelie"], "gut-study", "differencing-of-somebody-else")
    _raise(house.people["karim"], "other-study", "differencing-elsewhere")
    _raise(house.people["karim"], "gut-study", "off-hours-here", "off-hours")
    house.events()
    assert "An alert about this person is open" not in _page(house, row)
    _raise(house.people["karim"], "gut-study", "differencing-here")
    house.events()
    assert "An alert about this person is open: Populations that differ by a few people" in _page(house, row)
    from enclave.portal.actions.alerts import mute_target

    mute_target(house.people["victor"], "alert:differencing-here", reason="false-positive", text="A yearly table.",
                until=None)  # fmt: skip
    assert "An alert about this person is open" not in _page(house, row)


def test_a_log_that_cannot_be_searched_is_said(house: Any, asked: OutputRequest, monkeypatch: Any) -> None:
    index = house.settings.index_dir
    kept = index.with_name("kept")
    index.rename(kept)
    try:
        index.write_text("no folder")
        assert "The audit log could not be searched just now." in _page(house, asked)
        with language("fr"):
            assert read_background(house.people["paul"], asked) is None
    finally:
        index.unlink()
        kept.rename(index)
    assert "Amelie asked 9 queries" in _page(house, asked)
