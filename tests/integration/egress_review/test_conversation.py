"""Reviewers and requester speak with each other: remarks, changes asked for, the next version and what changed."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.db import transaction
from django.db.utils import IntegrityError
from egress_review_house import GOOD_CSV, SMALL_CSV

from egress_review.actions.compare import SECONDS, compare_contents
from egress_review.actions.decide import approve, reject, send_back
from egress_review.actions.release import release
from egress_review.actions.remark import remark
from egress_review.actions.submit import submit
from egress_review.actions.withdraw import withdraw
from egress_review.domain.rules import REMARKS
from egress_review.models import OutputRequest, Remark
from enclave.domain.decisions import RefusedError
from enclave.portal.models import Job
from enclave.portal.rules import StateConflictError

EVIL = b"sex,n_patients\n<script>alert(1)</script>,1373\nM,1321\n"
ROUND = "Please round the counts of dupont."
"""A comment with a name in it, which must not stand in the open part of a record."""


def ask(house: Any, files: dict[str, bytes], follows: OutputRequest | None = None) -> OutputRequest:
    for name, content in files.items():
        house.put(name, content)
    made = submit(house.people["amelie"], house.project, list(files), "Table", "", follows.pk if follows else "")
    return OutputRequest.objects.get(pk=made.pk)


def page(house: Any, username: str, row: OutputRequest, language: str = "en") -> str:
    client = house.client(username)
    client.cookies["django_language"] = language
    answer = client.get(f"/outputs/{row.pk}/")
    assert answer.status_code == 200
    return str(answer.content.decode())


def events(house: Any, kind: str, row: OutputRequest) -> list[dict[str, Any]]:
    return [event for event in house.events(f"output-request:{kind}") if event.get("subject") == row.pk]


@pytest.fixture
def returned(house: Any) -> OutputRequest:
    """Approved by Sofia, remarked on and sent back by Paul."""
    row = ask(house, {"a.csv": SMALL_CSV, "same.csv": GOOD_CSV, "old.txt": b"old"})
    approve(house.people["sofia"], row, "A total of hospitals, not of people.", row.snapshot_sha256)
    remark(house.people["paul"], row, 1, "Four people of dupont.", row.findings.get().pk)
    send_back(house.people["paul"], row, ROUND)
    return OutputRequest.objects.get(pk=row.pk)


def test_sending_back_voids_approvals_and_awaits_the_requester(house: Any, returned: OutputRequest) -> None:
    assert (returned.state, returned.closed_at is not None) == ("returned", True)
    recorded = events(house, "returned", returned)
    assert [event["data"]["void_approvals_by"] for event in recorded] == [[house.people["sofia"].person_id]]
    for action in (lambda: approve(house.people["nora"], returned, "", returned.snapshot_sha256),
                   lambda: send_back(house.people["nora"], returned, "again"),
                   lambda: withdraw(house.people["amelie"], returned),
                   lambda: release(returned.pk)):  # fmt: skip
        with pytest.raises(StateConflictError, match="sent back"):
            action()
    assert not Job.objects.filter(payload={"request": returned.pk}).exists()
    assert len(events(house, "refused", returned)) == 4
    queue = house.client("nora").get("/outputs/").content.decode().partition('id="queue"')[2]
    assert returned.pk not in queue.partition("</section>")[0]
    mine = house.client("amelie").get("/outputs/").content.decode()
    assert f"?follows={returned.pk}" in mine
    assert "The reviewers ask for changes." in mine


def test_the_requester_reads_what_was_said_once_it_is_decided(house: Any, returned: OutputRequest) -> None:
    for path in (f"/outputs/{returned.pk}/", f"/outputs/new/gut-study/?follows={returned.pk}"):
        shown = house.client("amelie").get(path).content.decode()
        for words in (ROUND, "Four people of dupont.", "Small count, line 3, column 2", "Paul"):
            assert words in shown
    auditor = page(house, "victor", returned)
    assert ROUND in auditor
    assert "Four people of dupont." not in auditor
    assert "dupont" not in json.dumps(house.events())
    assert events(house, "remarked", returned)[0]["actor"] == house.people["paul"].person_id


def test_a_reviewer_learns_nothing_of_others_before_deciding(house: Any) -> None:
    """The very same page and row, whether a colleague has remarked and approved or not."""

    def seen(username: str) -> list[str]:
        listed = house.client(username).get("/outputs/").content.decode()
        rows = [part for part in listed.split("<tr>") if row.pk in part]
        changing = r'name="csrfmiddlewaretoken" value="\w+"|\d+\s*(second|minute)s?|now'
        return [re.sub(changing, "", text) for text in (page(house, username, row), *rows)]

    row = ask(house, {"b.csv": SMALL_CSV})
    before = {name: seen(name) for name in ("paul", "amelie")}
    remark(house.people["sofia"], row, 1, "Between us: four people.")
    assert "Between us" in page(house, "sofia", row)
    approve(house.people["sofia"], row, "A total of hospitals, not of people.", row.snapshot_sha256)
    assert {name: seen(name) for name in ("paul", "amelie")} == before
    assert "A total of hospitals" in page(house, "victor", row)
    remark(house.people["paul"], row, 1, "Mine: look at line 3.")
    assert "Mine: look at line 3." in page(house, "sofia", row)
    assert "Mine: look at line 3." not in page(house, "nora", row) + page(house, "amelie", row)
    reject(house.people["paul"], row, "too small")
    for name in ("paul", "amelie", "nora"):
        shown = page(house, name, row)
        assert all(words in shown for words in ("Between us", "A total of hospitals", "Mine: look", "No longer counts"))


def test_the_next_version_says_what_changed(house: Any, returned: OutputRequest) -> None:
    row = ask(house, {"a.csv": EVIL, "same.csv": GOOD_CSV, "new.csv": b"sex,n_patients\nF,3\n"}, returned)
    assert (row.version, row.follows_id, row.first_id) == (2, returned.pk, returned.pk)
    submitted = events(house, "submitted", row)[0]["data"]
    assert (submitted["version"], submitted["follows"]) == (2, returned.pk)
    viewed = len(events(house, "viewed", returned))
    shown = page(house, "sofia", row)
    changes = re.findall(r'data-state="(unchanged|changed|added|removed)"', shown.partition('id="since"')[2])
    assert changes[:4] == ["changed", "unchanged", "added", "removed"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;,1373" in shown
    assert "<script" not in shown
    assert '<span aria-label="removed">−</span></td><td>M,4</td>' in shown
    for words in ("Gone since version 1: 1", "Four people of dupont.", ROUND, "do not count for this one"):
        assert words in shown
    assert {file for event in events(house, "viewed", returned)[viewed:] for file in event["data"]["files_sha256"]} == {
        returned.snapshot_files()[0].sha256
    }
    mine = page(house, "amelie", row)
    assert "What changed since version 1" in mine
    assert "M,4" not in mine
    assert "M,4" not in page(house, "victor", row)
    assert "Lignes qui diffèrent de la version 1" in page(house, "paul", row, "fr")


def test_approvals_never_carry_over(house: Any, returned: OutputRequest) -> None:
    """The same bytes again: Sofia has approved them once, and has to decide anew, with a written justification."""
    row = ask(house, {"a.csv": SMALL_CSV, "same.csv": GOOD_CSV, "old.txt": b"old"}, returned)
    assert (row.state, row.reviews.count()) == ("submitted", 0)
    assert row.snapshot_sha256 != returned.snapshot_sha256
    with pytest.raises(StateConflictError):
        approve(house.people["sofia"], row, "A total of hospitals, not of people.", returned.snapshot_sha256)
    approve(house.people["paul"], row, "A total of hospitals, not of people.", row.snapshot_sha256)
    with pytest.raises(StateConflictError, match="second reviewer"):
        release(row.pk)
    approve(house.people["sofia"], row, "A total of hospitals, not of people.", row.snapshot_sha256)
    assert release(row.pk).state == "released"
    assert "Versions" in page(house, "amelie", returned)


def refused_follow(house: Any, follows: str, username: str = "amelie") -> str:
    """The words of the refusal; refused twice, by the action and by the page."""
    house.put("c.csv", GOOD_CSV, username)
    with pytest.raises(RefusedError) as refused:
        submit(house.people[username], house.project, ["c.csv"], "Table", "", follows)
    assert house.client(username).get(f"/outputs/new/gut-study/?follows={follows}").status_code == 403
    return str(refused.value)


def test_what_cannot_be_followed(house: Any, returned: OutputRequest) -> None:
    opened = ask(house, {"d.csv": GOOD_CSV})
    refused_before = len(house.events("output-request:refused"))
    others, missing = refused_follow(house, returned.pk, "nora"), refused_follow(house, "r-000000000000", "nora")
    assert others == missing == refused_follow(house, "r-0' OR 1=1", "nora")
    assert "still look at this version" in refused_follow(house, opened.pk)
    ask(house, {"d.csv": GOOD_CSV}, returned)
    assert "has a next one already" in refused_follow(house, returned.pk)
    assert len(house.events("output-request:refused")) == refused_before + 10
    assert "Make version" not in page(house, "amelie", returned)
    withdraw(house.people["amelie"], opened)
    again = ask(house, {"d.csv": GOOD_CSV}, opened)
    reject(house.people["paul"], again, "no")
    third = ask(house, {"d.csv": GOOD_CSV}, again)
    assert (third.version, third.first_id) == (3, opened.pk)


def test_the_database_itself_keeps_versions_in_one_line(house: Any, returned: OutputRequest) -> None:
    second = ask(house, {"e.csv": GOOD_CSV}, returned)
    same = {"project": house.project, "requester": house.people["amelie"], "title": "x", "snapshot_sha256": "0" * 64}
    for wrong in (
        {"version": 2},
        {"version": 1, "follows": second, "first": returned},
        {"version": 2, "follows": returned, "first": returned},
        {"version": 2, "follows": second, "first": returned},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            OutputRequest.objects.create(**same, **wrong)
    with pytest.raises(IntegrityError), transaction.atomic():
        mine = house.people["amelie"]
        file = returned.files.first()
        Remark.objects.create(request=returned, file=file, reviewer=mine, requester=mine, text="fine")


def test_remarks_over_http(house: Any) -> None:
    row = ask(house, {"f.csv": SMALL_CSV})
    path = f"/outputs/{row.pk}/files/1/remark"
    finding = row.findings.get().pk
    assert house.client("paul").post(path, {"text": "four?", "finding": finding}).status_code == 302
    assert house.client("paul").post(path, {"text": "a\0b"}).status_code == 302
    assert [said.text for said in row.remarks.all()] == ["four?", "ab"]
    back = house.client("paul").post(path, {"text": "  "})
    assert (back.status_code, "Expected a remark of 1 to" in back.content.decode()) == (422, True)
    for username, where, fields in (
        ("amelie", path, {"text": "mine"}),
        ("victor", path, {"text": "x"}),
        ("karim", path, {"text": "x"}),
    ):
        assert house.client(username).post(where, fields).status_code == 403
    assert house.client("paul").post(path, {"text": "x", "finding": finding + 1000}).status_code == 422
    missing = house.client("paul").post(path.replace("/1/", "/9/"), {"text": "x"})
    assert (missing.status_code, "found no such number" in missing.content.decode()) == (422, True)
    Remark.objects.bulk_create(
        Remark(request=row, file=row.files.get(), reviewer=house.people["paul"], requester=row.requester, text="x")
        for _ in range(REMARKS - 2)
    )
    assert "Put the rest into your comment" in house.client("paul").post(path, {"text": "x"}).content.decode()
    approve(house.people["paul"], row, "A total of hospitals, not of people.", row.snapshot_sha256)
    assert house.client("paul").post(path, {"text": "after"}).status_code == 403
    assert row.remarks.count() == REMARKS


def test_asking_for_changes_over_http(house: Any) -> None:
    row = ask(house, {"g.csv": GOOD_CSV})
    assert house.client("paul").post(f"/outputs/{row.pk}/return", {"comment": ""}).status_code == 422
    assert house.client("amelie").post(f"/outputs/{row.pk}/return", {"comment": "x"}).status_code == 403
    assert house.client("paul").post(f"/outputs/{row.pk}/return", {"comment": ROUND}).status_code == 302
    form = {"files": ["g.csv"], "title": "Table", "follows": row.pk}
    made = house.client("amelie").post("/outputs/new/gut-study/", form)
    assert made.status_code == 302
    assert OutputRequest.objects.get(follows=row).version == 2
    assert house.client("amelie").post("/outputs/new/gut-study/", form).status_code == 403


def test_a_review_goes_on_when_the_earlier_file_cannot_be_compared(house: Any) -> None:
    lost = b"sex,n_patients\nF,2001\n"
    first = ask(house, {"h.csv": lost, "i.csv": b"a,1\n"})
    send_back(house.people["paul"], first, "round")
    row = ask(house, {"h.csv": b"sex,n_patients\nF,2002\n", "i.csv": b"a,2\n"}, first)
    contents = {"h.csv": b"sex,n_patients\nF,2002\n", "i.csv": b"a,2\n"}
    moments = iter([0.0, 0.0, SECONDS + 1])
    found = compare_contents(house.people["sofia"], row, contents, (), clock=lambda: next(moments))
    assert found is not None
    assert found.lines["h.csv"].lines
    assert "took all the time" in str(found.lines["i.csv"].note)
    house.corrupt(first.snapshot_files()[0].sha256, b"other")
    assert "the vault no longer holds the earlier version" in page(house, "sofia", row)
    assert len(events(house, "refused", first)) == 1
