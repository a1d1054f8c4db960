"""The auditor's pages on a real log, and what the portal does when the log does not answer or was edited."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test.utils import override_settings
from enclave_test_live_log import copy_of_live_log
from portal_house import end, page_words, permit_text, start_audit

from audit.client import AuditUnavailable
from audit.proof import verify_proof
from enclave.access import AccessFiles
from enclave.domain.events import EventType
from enclave.domain.people import Role
from enclave.portal.actions import people, projects
from enclave.portal.auditing import proofs
from enclave.portal.models import Project, User
from enclave.portal.record import record
from enclave.settings import Settings


def person(username: str) -> User:
    return User.objects.get(username=username)


def rows(browser: Any, **filters: str) -> list[tuple[int, str]]:
    """(index, event type) of the list's first page."""
    body = browser.get(f"/audit/?{urlencode(filters)}").text
    found = re.findall(
        r'<td class="number"><a href="/audit/(\d+)/">[\s\S]*?<span class="mono small muted">([^<]+)', body
    )
    return [(int(index), kind) for index, kind in found]


def test_the_auditor_finds_a_query_by_person_and_time_and_reads_it(house: Any) -> None:
    query = "SELECT count(*) FROM person WHERE year_of_birth = 1954"
    receipt = record(
        EventType.QUERY_INTENT,
        person("amelie"),
        project="some-project",
        request_id="q-1",
        data={"tables": ["person"]},
        payload={"sql": query},
    )
    house.events()
    victor = house.logged_in("victor")
    now = datetime.now(UTC)
    around = {
        "since": (now - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M"),
        "until": (now + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M"),
    }
    assert rows(victor, person="amelie", type="query:intent", **around) == [(receipt.index, "query:intent")]
    assert rows(victor, person="karim", type="query:intent") == []
    assert rows(victor, type="query:intent", until=around["since"]) == []
    assert rows(victor, project="some-project", text="QUERY") == [(receipt.index, "query:intent")]

    page = victor.words(f"/audit/{receipt.index}/")
    assert "Proof verified" in page
    assert receipt.leaf_hash in page
    assert "Amelie" in page
    assert query not in page
    shown = victor.post(f"/audit/{receipt.index}/payload", form=f"/audit/{receipt.index}/")
    assert query in page_words(shown)
    proof = victor.get(f"/audit/{receipt.index}/proof").text
    key = (house.settings.audit_dir / "log.vkey").read_text().strip()
    assert verify_proof(proof, receipt.leaf_hash, key).size > receipt.index


def test_reading_is_on_record(house: Any) -> None:
    victor = house.logged_in("victor")
    victor.get("/audit/?person=amelie&text=secret-words")
    victor.get("/audit/0/")
    victor.get("/audit/verify")

    read = [leaf for leaf in house.events(EventType.AUDIT_READ) if leaf["actor"] == person("victor").person_id]
    assert {leaf["subject"] for leaf in read} >= {"log:list", "log:record", "log:verify"}
    assert "secret-words" not in str(read)


def test_the_list_is_paged(house: Any) -> None:
    for number in range(60):
        record(EventType.ACTION_FAILED, None, project="paged", counts={"number": number})
    house.events()
    victor = house.logged_in("victor")
    first = rows(victor, project="paged")
    second = rows(victor, project="paged", before=str(first[-1][0]))
    assert (len(first), len(second)) == (50, 10)
    assert [index for index, _ in first + second] == sorted((i for i, _ in first + second), reverse=True)


def test_the_whole_log_verifies_and_an_edit_does_not(house: Any) -> None:
    victor = house.logged_in("victor")
    assert "none changed, none missing" in victor.words("/audit/verify")

    forged = Settings(home=house.settings.root / "forged")
    copy_of_live_log(house.settings.log_dir, forged.log_dir)
    forged.audit_dir.mkdir()
    shutil.copy(house.settings.audit_dir / "log.vkey", forged.audit_dir)
    entries = next(path for path in sorted((forged.log_dir / "tile" / "entries").rglob("*")) if path.is_file())
    content = bytearray(entries.read_bytes())
    content[40] ^= 1
    entries.write_bytes(content)
    with override_settings(ENCLAVE=forged):
        report = proofs.verified_log()
        assert not report.ok
        assert any(row.tone == "bad" for row in proofs.verdict_rows(report))


def test_records_that_are_not_there_are_not_found(house: Any) -> None:
    victor = house.logged_in("victor")
    assert victor.get("/audit/999999/").status_code == 404
    assert victor.get("/audit/999999/proof").status_code == 404


def test_without_the_audit_log_nothing_changes_and_the_page_says_so(house: Any) -> None:
    projects.submit_application(person("amelie"), permit_text("log-away"))
    sofia, amelie, ines = house.logged_in("sofia"), house.logged_in("amelie"), house.logged_in("ines")
    waiting = house.browser()
    waiting.password("tomas")
    people_file = house.settings.access_dir / "people.json"
    before = people_file.read_bytes()
    house.daemon.kill()
    house.daemon.wait(60)
    try:
        answers = [
            sofia.post("/projects/log-away/approve", {"as_role": "data-steward"}),
            amelie.post("/apply/", {"permit_text": permit_text("log-away-two")}, form="/apply/"),
            ines.post(f"/people/{person('karim').person_id}/revoke"),
            house.service().post("/internal/workspaces/start", json={"username": "amelie", "project": "log-away"}),
        ]
        code = {"code": house.unused_code("tomas")}
        answers.append(waiting.post("/accounts/2fa/authenticate/", code, form="/accounts/2fa/authenticate/"))
        assert [answer.status_code for answer in answers] == [503] * 5
        assert "The audit log does not answer, so nothing was changed" in page_words(answers[0])
        assert waiting.get("/").status_code == 302
        with pytest.raises(AuditUnavailable):
            people.revoke_person(person("ines"), person("karim").person_id)
    finally:
        Path(house.settings.audit_socket).unlink(missing_ok=True)
        house.daemon = start_audit(house.settings)

    assert Project.objects.get(pk="log-away").given_approvals() == ()
    assert not Project.objects.filter(pk="log-away-two").exists()
    assert person("karim").is_active
    assert people_file.read_bytes() == before
    assert all(found.active for found in AccessFiles(house.settings).people().values())
    assert sofia.post("/projects/log-away/approve", {"as_role": "data-steward"}).status_code == 302


def test_a_change_that_fails_after_its_record_leaves_a_record_of_that(house: Any) -> None:
    projects.submit_application(person("amelie"), permit_text("disk-full"))
    folder = house.settings.projects_dir / "disk-full"
    shutil.rmtree(folder)
    folder.write_text("in the way of the project's folder")
    try:
        with pytest.raises(OSError, match="disk-full"):
            projects.approve_project(person("sofia"), "disk-full", Role.DATA_STEWARD)
    finally:
        folder.unlink()
    failed = house.events(EventType.ACTION_FAILED, project="disk-full")
    assert [leaf["data"]["event"] for leaf in failed] == ["application:approved"]


def test_the_portal_restarts_on_the_same_home(house: Any) -> None:
    from portal_house import start_portal

    session = house.logged_in("diane")
    end(house.portal)
    house.portal = start_portal(house.settings)
    assert session.get("/").status_code == 200
    mode = house.settings.portal_socket.stat().st_mode & 0o777
    assert mode == 0o660
