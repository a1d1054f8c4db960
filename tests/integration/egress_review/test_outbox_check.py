"""Looking at one's outbox before asking: findings, a record, and nothing kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from egress_review_house import GOOD_CSV, SMALL_CSV

from egress_review.actions.check import SECONDS, check_files, check_outbox
from egress_review.models import OutputRequest
from egress_review.snapshot import OutboxFile
from enclave.domain.decisions import RefusedError
from enclave.keys import service_secret, token_private_key
from enclave.portal.models import User
from enclave.tokens import issue


@pytest.fixture
def outbox(house: Any) -> Any:
    """Karim's, which no other test uses."""
    for file in house.outbox("karim").iterdir():
        file.unlink()
    return house.outbox("karim")


def ask(house: Any, username: str = "karim", secret: str | None = None, **content: Any) -> Any:
    user: User = house.people[username]
    token = issue(
        token_private_key(house.settings),
        person=user.person_id,
        username=username,
        project="gut-study",
        workspace="cli",
        ttl=timedelta(minutes=5),
    )
    client = house.client(username).__class__(headers={"host": house.settings.portal_name})
    headers = {"X-Enclave-Service": service_secret(house.settings) if secret is None else secret}
    body = {"token": token, "language": "en", **content}
    return client.post("/internal/output-requests/check", body, content_type="application/json", headers=headers)


def test_findings_are_shown_recorded_and_not_kept(house: Any, outbox: Any) -> None:
    house.put("small.csv", SMALL_CSV, "karim")
    house.put("good.csv", GOOD_CSV, "karim")
    before = OutputRequest.objects.count()
    files = {file["name"]: file for file in ask(house).json()["files"]}
    assert files["good.csv"]["findings"] == []
    (finding,) = files["small.csv"]["findings"]
    assert (finding["severity"], finding["check"], finding["place"]) == ("blocking", "Small count", "line 3, column 2")
    assert OutputRequest.objects.count() == before
    recorded = house.events("output-request:checked")[-1]
    assert recorded["actor"] == house.people["karim"].person_id
    assert recorded["counts"]["files"] == 2 and recorded["counts"]["findings_blocking"] == 1
    assert "small.csv" not in str(recorded)


def test_in_french(house: Any, outbox: Any) -> None:
    house.put("petit.csv", SMALL_CSV, "karim")
    (finding,) = ask(house, language="fr").json()["files"][0]["findings"]
    assert "Un effectif inférieur à" in finding["message"]
    assert finding["place"].startswith("ligne 3")


def test_links_are_not_followed_and_hard_links_not_read(house: Any, outbox: Any) -> None:
    elsewhere = house.settings.home / "secret.csv"
    elsewhere.write_bytes(GOOD_CSV)
    (outbox / "link.csv").symlink_to(elsewhere)
    (outbox / "hard.csv").hardlink_to(elsewhere)
    assert ask(house).json()["files"] == []


@pytest.mark.parametrize(
    ("content", "secret", "status"),
    [
        ({"token": "x.y.z"}, None, 401),
        ({"token": 5}, None, 422),
        ({"language": "de"}, None, 422),
        ({}, "wrong", 403),
    ],
)
def test_who_may_not(house: Any, content: dict[str, Any], secret: str | None, status: int) -> None:
    assert ask(house, secret=secret, **content).status_code == status


def test_who_is_no_member_is_refused_and_it_is_recorded(house: Any) -> None:
    with pytest.raises(RefusedError):
        check_outbox(house.people["victor"], house.project)
    assert house.events("output-request:refused")[-1]["actor"] == house.people["victor"].person_id


def test_bounds_are_said_not_passed_over() -> None:
    listed = [OutboxFile(f"{number}.csv", 10) for number in range(4)]
    now = iter([0.0, 0.0, 0.0, SECONDS + 1, SECONDS + 1])

    def read(name: str) -> bytes:
        if name == "1.csv":
            raise RefusedError("no Sentence of ours")
        return GOOD_CSV

    checked = list(check_files(listed, read, lambda name, content: (), 3, lambda: next(now)))
    assert [file.was_read for file in checked] == [True, True, False, False]
    assert checked[1].findings[0].check == "unreadable"
    assert "more than one look covers" in checked[2].findings[0].message
