"""The whole way over HTTP: request, checks, two reviewers, release, receipt, download; and every refusal on record."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from datetime import timedelta
from typing import Any

from egress_review_house import GOOD_CSV, SMALL_CSV

from egress_review.actions.release import release
from egress_review.checks_version import checks_sha256
from egress_review.models import OutputRequest
from egress_review.receipt import verify
from enclave.extracts.permit_file import parse_permit
from enclave.keys import receipt_public_key, service_secret, token_private_key
from enclave.portal.models import Job
from enclave.tokens import issue

JUSTIFICATION = "Looked at every cell; the small cell is a total of hospitals, not of people."


def _ask(house: Any, username: str, *names: str) -> OutputRequest:
    answer = house.client(username).post(
        "/outputs/new/gut-study/", {"files": names, "title": "Table 1", "context": "Counts by sex"}
    )
    assert answer.status_code == 302, answer.content.decode()
    return OutputRequest.objects.get(pk=answer["Location"].rstrip("/").rpartition("/")[2])


def _decide(
    house: Any, username: str, row: OutputRequest, verb: str, comment: str = "", seen: str | None = None
) -> Any:
    fields = {"comment": comment, "snapshot_sha256": row.snapshot_sha256 if seen is None else seen}
    return house.client(username).post(f"/outputs/{row.pk}/{verb}", fields)


def test_from_outbox_to_download(house: Any) -> None:
    house.put("table1.csv", GOOD_CSV)
    row = _ask(house, "amelie", "table1.csv")
    (house.outbox() / "table1.csv").write_bytes(b"changed after submission\n")

    page = house.client("sofia").get(f"/outputs/{row.pk}/")
    assert page.status_code == 200
    assert "1373" in page.content.decode()
    assert _decide(house, "sofia", row, "approve").status_code == 302
    row.refresh_from_db()
    assert row.state == "in-review"
    assert house.client("amelie").get(f"/outputs/{row.pk}/download.zip").status_code == 403

    assert _decide(house, "paul", row, "approve").status_code == 302
    row.refresh_from_db()
    assert row.state == "approved"
    assert Job.objects.filter(kind="release", payload={"request": row.pk}).count() == 1
    release(row.pk)
    release(row.pk)
    row.refresh_from_db()
    assert row.state == "released"

    archive = house.client("amelie").get(f"/outputs/{row.pk}/download.zip")
    with zipfile.ZipFile(io.BytesIO(b"".join(archive.streaming_content))) as packed:
        assert packed.read("files/table1.csv") == GOOD_CSV
        receipt = verify(packed.read("receipt.jws").decode(), receipt_public_key(house.settings))
    archive.close()
    assert receipt.files == row.snapshot_files()
    assert len(receipt.approvals) == 2
    released = [e for e in house.events("output-request:released") if e["subject"] == row.pk]
    assert len(released) == 1
    assert receipt.log_index == next(
        i for i, e in enumerate(house.events()) if e["type"] == "output-request:released" and e["subject"] == row.pk
    )
    one = house.client("amelie").get(f"/outputs/{row.pk}/download/1")
    assert one.content == GOOD_CSV
    assert one["Content-Disposition"] == 'attachment; filename="table1.csv"'
    assert one["X-Content-Type-Options"] == "nosniff"
    assert len([e for e in house.events("output-request:downloaded") if e["subject"] == row.pk]) == 2


def test_only_the_requester_downloads(house: Any) -> None:
    house.put("own.csv", GOOD_CSV)
    row = _ask(house, "amelie", "own.csv")
    for reviewer in ("sofia", "paul"):
        _decide(house, reviewer, row, "approve")
    release(row.pk)
    for other in ("karim", "sofia", "victor", "ines"):
        assert house.client(other).get(f"/outputs/{row.pk}/download/1").status_code == 403
        assert house.client(other).get(f"/outputs/{row.pk}/download.zip").status_code == 403
    refused = [e for e in house.events("output-request:refused") if e["subject"] == row.pk]
    assert len(refused) == 8


def test_a_failing_check_quarantines_until_somebody_justifies(house: Any) -> None:
    house.put("small.csv", SMALL_CSV)
    row = _ask(house, "amelie", "small.csv")
    page = house.client("sofia").get(f"/outputs/{row.pk}/").content.decode()
    assert "In quarantine" in page
    assert '<td class="mark-high">4</td>' in page
    answer = _decide(house, "sofia", row, "approve", "fine")
    assert answer.status_code == 422
    assert "needs a written justification" in answer.content.decode()
    assert ">fine</textarea>" in answer.content.decode()
    assert _decide(house, "sofia", row, "approve", JUSTIFICATION).status_code == 302


def test_the_receipt_says_by_which_criteria_disclosure_was_controlled(house: Any) -> None:
    house.put("justified.csv", SMALL_CSV)
    row = _ask(house, "amelie", "justified.csv")
    for reviewer in ("sofia", "paul"):
        assert _decide(house, reviewer, row, "approve", JUSTIFICATION).status_code == 302
    row = release(row.pk)
    control = verify(row.receipt, receipt_public_key(house.settings)).disclosure_control
    assert control is not None
    permit = parse_permit(house.project.permit_yaml)
    assert (control.permit_sha256, control.checks_at_release_sha256) == (row.permit_sha256, checks_sha256())
    assert (control.minimum_count, control.file_types) == (permit.outputs.minimum_count, permit.outputs.file_types)
    seen = Counter((finding.check, finding.severity.value) for finding in row.all_findings())
    assert ("small-count", "blocking") in seen and control.quarantined
    assert {(found.check, found.severity): found.number for found in control.findings} == dict(seen)
    people = [house.people[username].person_id for username in ("sofia", "paul")]
    assert [(review.by, review.verdict, review.justified) for review in control.reviews] == [
        (person, "approve", True) for person in people
    ]
    assert JUSTIFICATION not in str(control)


def test_requester_who_also_reviews_cannot_review_own_request(house: Any) -> None:
    house.put("mine.csv", GOOD_CSV, "nora")
    row = _ask(house, "nora", "mine.csv")
    assert "Your decision" not in house.client("nora").get(f"/outputs/{row.pk}/").content.decode()
    assert _decide(house, "nora", row, "approve").status_code == 403
    assert _decide(house, "nora", row, "reject", "no").status_code == 403
    assert house.client("nora").get(f"/outputs/{row.pk}/files/1/text").status_code == 403
    row.refresh_from_db()
    assert row.state == "submitted"
    refused = [e for e in house.events("output-request:refused") if e["subject"] == row.pk]
    assert {e["actor"] for e in refused} == {house.people["nora"].person_id}
    assert len(refused) == 3


def test_nobody_approves_twice(house: Any) -> None:
    house.put("twice.csv", GOOD_CSV)
    row = _ask(house, "amelie", "twice.csv")
    assert _decide(house, "sofia", row, "approve").status_code == 302
    assert _decide(house, "sofia", row, "approve").status_code == 403
    row.refresh_from_db()
    assert row.state == "in-review"


def test_approving_other_bytes_than_those_shown_is_a_conflict(house: Any) -> None:
    house.put("stale.csv", GOOD_CSV)
    row = _ask(house, "amelie", "stale.csv")
    assert _decide(house, "sofia", row, "approve", seen="0" * 64).status_code == 409
    row.refresh_from_db()
    assert row.state == "submitted"
    assert row.reviews.count() == 0


def test_rejecting_needs_a_reason_and_ends_the_request(house: Any) -> None:
    house.put("rejected.csv", GOOD_CSV)
    row = _ask(house, "amelie", "rejected.csv")
    assert _decide(house, "paul", row, "reject").status_code == 422
    assert _decide(house, "paul", row, "reject", "Please round the counts.").status_code == 302
    row.refresh_from_db()
    assert row.state == "rejected"
    assert _decide(house, "sofia", row, "approve").status_code == 409
    assert "Please round the counts." in house.client("amelie").get(f"/outputs/{row.pk}/").content.decode()


def test_withdrawing(house: Any) -> None:
    house.put("back.csv", GOOD_CSV)
    row = _ask(house, "amelie", "back.csv")
    assert house.client("karim").post(f"/outputs/{row.pk}/withdraw").status_code == 403
    assert house.client("amelie").post(f"/outputs/{row.pk}/withdraw").status_code == 302
    row.refresh_from_db()
    assert row.state == "withdrawn"
    assert house.client("amelie").post(f"/outputs/{row.pk}/withdraw").status_code == 409


def test_who_sees_what(house: Any) -> None:
    house.put("seen.csv", GOOD_CSV)
    row = _ask(house, "amelie", "seen.csv")
    path = f"/outputs/{row.pk}/"
    assert house.client("karim").get(path).status_code == 403
    assert house.client("ines").get(path).status_code == 403
    auditor = house.client("victor").get(path).content.decode()
    assert row.snapshot_files()[0].sha256 in auditor
    assert "seen.csv" not in auditor
    assert "1373" not in auditor
    assert "1373" not in house.client("amelie").get(path).content.decode()
    assert row.pk not in house.client("karim").get("/outputs/").content.decode()
    assert row.pk in house.client("paul").get("/outputs/").content.decode()
    assert row.pk in house.client("victor").get("/outputs/").content.decode()


def test_the_log_never_holds_names_or_comments_in_the_open(house: Any) -> None:
    house.put("dupont-marie.csv", GOOD_CSV)
    row = _ask(house, "amelie", "dupont-marie.csv")
    _decide(house, "sofia", row, "approve", "comment about dupont-marie")
    house.client("amelie").post("/outputs/new/gut-study/", {"files": ["missing-dupont.csv"], "title": "x"})
    assert "dupont" not in json.dumps(house.events())


def test_what_the_gateway_hands_on(house: Any) -> None:
    house.put("fromkernel.csv", SMALL_CSV)
    user = house.people["amelie"]
    token = issue(
        token_private_key(house.settings),
        person=user.person_id,
        username="amelie",
        project="gut-study",
        workspace="cli",
        ttl=timedelta(minutes=5),
    )
    body = {"token": token, "files": ["fromkernel.csv"], "title": "Table", "context": ""}
    anonymous = house.client("amelie").__class__(headers={"host": house.settings.portal_name})
    secret = {"X-Enclave-Service": service_secret(house.settings)}

    def post(content: Any, headers: dict[str, str]) -> Any:
        return anonymous.post("/internal/output-requests", content, content_type="application/json", headers=headers)

    assert post(body, {}).status_code == 403
    made = post(body, secret)
    assert made.status_code == 201
    assert made.json()["state"] == "submitted"
    assert made.json()["findings"] == 1
    assert made.json()["url"].endswith(f"/outputs/{made.json()['id']}/")
    assert post({**body, "files": ["../x.csv"]}, secret).status_code == 403
    assert post({**body, "token": token[:-4] + "AAAA"}, secret).status_code == 401
    assert post({**body, "files": "table.csv"}, secret).status_code == 422
    assert post("[" * 5000, secret).status_code == 422
    user.tokens_valid_from = 2**40
    user.save()
    try:
        assert post(body, secret).status_code == 401
    finally:
        user.tokens_valid_from = 0
        user.save()
