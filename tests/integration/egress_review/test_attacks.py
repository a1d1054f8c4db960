"""What people with access try: races, altered vaults, forged forms, links, a release without its conditions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.utils import IntegrityError
from egress_review_house import BACKEND, GOOD_CSV

from audit.client import AuditUnavailable
from egress_review.actions.decide import approve, reject
from egress_review.actions.look import download_file
from egress_review.actions.release import release, run_job
from egress_review.actions.submit import submit
from egress_review.models import OutputRequest, Review
from enclave.domain.decisions import RefusedError
from enclave.portal.models import Job
from enclave.portal.rules import StateConflictError
from enclave.settings import Settings


@pytest.fixture
def row(house: Any, request: pytest.FixtureRequest) -> OutputRequest:
    name = house.put(f"{request.node.name}.csv".replace("[", "-").replace("]", ""), GOOD_CSV)
    made = submit(house.people["amelie"], house.project, [name], "Table", "")
    return OutputRequest.objects.get(pk=made.pk)


def at_once(*actions: Callable[[], Any]) -> list[BaseException | None]:
    """Run all at the same moment, each in a thread with a database connection of its own."""
    barrier = threading.Barrier(len(actions))
    results: list[BaseException | None] = [None] * len(actions)

    def run(number: int, action: Callable[[], Any]) -> None:
        try:
            barrier.wait(60)
            action()
        except BaseException as error:
            results[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_two_approvals_at_once_release_once(house: Any, row: OutputRequest) -> None:
    results = at_once(
        *(lambda name=name: approve(house.people[name], row, "", row.snapshot_sha256) for name in ("sofia", "paul"))
    )
    assert results == [None, None]
    row.refresh_from_db()
    assert row.state == "approved"
    assert Job.objects.filter(payload={"request": row.pk}).count() == 1


def test_one_reviewer_clicking_many_times_counts_once(house: Any, row: OutputRequest) -> None:
    results = at_once(*[lambda: approve(house.people["sofia"], row, "", row.snapshot_sha256)] * 4)
    assert sum(result is None for result in results) == 1
    assert all(result is None or isinstance(result, RefusedError) for result in results)
    row.refresh_from_db()
    assert (row.state, row.reviews.count()) == ("in-review", 1)


def test_approval_and_rejection_at_once(house: Any, row: OutputRequest) -> None:
    approve(house.people["nora"], row, "", row.snapshot_sha256)
    results = at_once(
        lambda: approve(house.people["sofia"], row, "", row.snapshot_sha256),
        lambda: reject(house.people["paul"], row, "too small"),
    )
    row.refresh_from_db()
    assert (row.state, [type(result) for result in results]) in [
        ("approved", [type(None), StateConflictError]),
        ("rejected", [StateConflictError, type(None)]),
    ]


def test_releasing_twice_at_once_makes_one_receipt(house: Any, row: OutputRequest) -> None:
    for name in ("sofia", "paul"):
        approve(house.people[name], row, "", row.snapshot_sha256)
    assert at_once(*[lambda: release(row.pk)] * 3) == [None, None, None]
    assert len([e for e in house.events("output-request:released") if e["subject"] == row.pk]) == 1


@pytest.mark.parametrize("reviewer", ["amelie", "sofia"])
def test_the_database_itself_refuses_one_person_twice_and_oneself(
    house: Any, row: OutputRequest, reviewer: str
) -> None:
    approve(house.people["sofia"], row, "", row.snapshot_sha256)
    with pytest.raises(IntegrityError):
        Review.objects.create(
            request=row,
            reviewer=house.people[reviewer],
            requester=house.people["amelie"],
            verdict="approve",
            snapshot_sha256=row.snapshot_sha256,
        )


def test_bytes_altered_in_the_vault_void_the_approvals(house: Any, row: OutputRequest) -> None:
    content = b"sex,n_patients\nF,1373\nM,1322\n"
    house.put("altered.csv", content)
    row = submit(house.people["amelie"], house.project, ["altered.csv"], "Table", "")
    approve(house.people["sofia"], row, "", row.snapshot_sha256)
    house.corrupt(row.snapshot_files()[0].sha256, b"everything about everybody")
    path = f"/outputs/{row.pk}/"
    assert house.client("paul").get(path).status_code == 403
    answer = house.client("paul").post(path + "approve", {"snapshot_sha256": row.snapshot_sha256})
    assert answer.status_code == 409
    row.refresh_from_db()
    assert row.state == "voided"
    assert not Job.objects.filter(payload={"request": row.pk}).exists()
    refused = [e for e in house.events("output-request:refused") if e["subject"] == row.pk]
    assert any(e["data"].get("voided") for e in refused)
    assert "all approvals are void" in house.client("amelie").get(path).content.decode()


def _approved(house: Any, name: str, content: bytes) -> OutputRequest:
    house.put(name, content)
    row = submit(house.people["amelie"], house.project, [name], "Table", "")
    for reviewer in ("sofia", "paul"):
        approve(house.people[reviewer], row, "", row.snapshot_sha256)
    return OutputRequest.objects.get(pk=row.pk)


def _assert_void(house: Any, row: OutputRequest) -> None:
    with pytest.raises(RefusedError):
        run_job(house.settings, {"request": row.pk})
    row.refresh_from_db()
    assert row.state == "voided"
    assert row.receipt == ""
    with pytest.raises(RefusedError):
        download_file(house.people["amelie"], row, 1)


def test_bytes_altered_after_both_approvals_are_not_released(house: Any) -> None:
    row = _approved(house, "late.csv", b"sex,n_patients\nF,1373\nM,1323\n")
    house.corrupt(row.snapshot_files()[0].sha256, b"other")
    _assert_void(house, row)


def test_a_row_edited_in_the_database_is_not_released(house: Any) -> None:
    row = _approved(house, "edited.csv", b"sex,n_patients\nF,1373\nM,1324\n")
    row.files.update(name="something-else.csv")
    _assert_void(house, row)


def test_a_forged_second_approval_of_other_bytes_is_not_enough(house: Any) -> None:
    row = _approved(house, "forged.csv", GOOD_CSV)
    row.reviews.filter(reviewer=house.people["paul"]).update(snapshot_sha256="0" * 64)
    _assert_void(house, row)


def test_a_reviewer_whose_access_was_revoked_meanwhile(house: Any) -> None:
    row = _approved(house, "revoked.csv", GOOD_CSV)
    paul = house.people["paul"]
    type(paul).objects.filter(pk=paul.pk).update(is_active=False)
    try:
        _assert_void(house, row)
    finally:
        type(paul).objects.filter(pk=paul.pk).update(is_active=True)


def test_an_expired_permit(house: Any) -> None:
    row = _approved(house, "expired.csv", GOOD_CSV)
    project = type(house.project).objects.filter(pk=house.project.pk)
    project.update(expires_on="2020-01-01")
    try:
        _assert_void(house, row)
        house.project.refresh_from_db()
        with pytest.raises(RefusedError, match="expired"):
            submit(house.people["amelie"], house.project, ["expired.csv"], "Table", "")
    finally:
        project.update(expires_on="2099-12-31")
        house.project.refresh_from_db()


def test_nothing_is_released_before_both_approved(house: Any, row: OutputRequest) -> None:
    approve(house.people["sofia"], row, "", row.snapshot_sha256)
    with pytest.raises(StateConflictError, match="second reviewer"):
        release(row.pk)
    row.refresh_from_db()
    assert row.state == "in-review"


def test_a_link_in_the_outbox_is_refused_and_recorded(house: Any) -> None:
    (house.outbox() / "leak.csv").symlink_to(house.settings.keys_dir / "receipt.key")
    before = len(house.events("output-request:refused"))
    with pytest.raises(RefusedError, match="is a link"):
        submit(house.people["amelie"], house.project, ["leak.csv"], "Table", "")
    refused = house.events("output-request:refused")[before:]
    assert len(refused) == 1
    assert refused[0]["actor"] == house.people["amelie"].person_id
    assert refused[0]["data"]["reasons"] == [
        "(a file) is a link, or lies behind one. Copy the file itself into the outbox."
    ]


@pytest.mark.parametrize("damage", ["permit", "manifest", "member"])
def test_submission_fails_closed(house: Any, damage: str) -> None:
    house.put("closed.csv", GOOD_CSV)
    manifest = house.settings.projects_dir / "gut-study/extracts/v1/manifest.json"
    text = manifest.read_text()
    user = house.people["victor" if damage == "member" else "amelie"]
    if damage == "permit":
        house.project.permit_yaml += "# one byte more"
    elif damage == "manifest":
        manifest.write_text("{}")
    try:
        with pytest.raises(RefusedError):
            submit(user, house.project, ["closed.csv"], "Table", "")
    finally:
        manifest.write_text(text)
        house.project.refresh_from_db()


def test_without_the_audit_log_nothing_changes(house: Any, row: OutputRequest) -> None:
    """Audit first, then commit: here the daemon's socket is not there."""
    from django.test.utils import override_settings

    class Deaf(Settings):
        @property
        def audit_socket(self) -> Any:
            return self.run_dir / "nobody.sock"

    with override_settings(ENCLAVE=Deaf(home=house.settings.home)), pytest.raises(AuditUnavailable):
        approve(house.people["sofia"], row, "", row.snapshot_sha256)
    row.refresh_from_db()
    assert (row.state, row.reviews.count()) == ("submitted", 0)


def test_forms_need_a_csrf_token(house: Any, row: OutputRequest) -> None:
    strict = type(house.client("sofia"))(enforce_csrf_checks=True, headers={"host": house.settings.portal_name})
    strict.force_login(house.people["sofia"], backend=BACKEND)
    answer = strict.post(f"/outputs/{row.pk}/approve", {"snapshot_sha256": row.snapshot_sha256})
    assert answer.status_code == 403
    assert row.reviews.count() == 0
    assert strict.get(f"/outputs/{row.pk}/approve").status_code == 405
