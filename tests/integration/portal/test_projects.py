"""From a data permit to an active project and back: pages, actions, files, records; and people who lose access."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from django.db import connections
from portal_house import PASSWORD, page_words, permit_text, totp_secret

from enclave.access import AccessFiles
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.domain.ids import PersonId, ProjectId
from enclave.domain.people import Role
from enclave.extracts.permit_file import PermitError
from enclave.portal.actions import people, projects
from enclave.portal.models import Job, Project, User
from enclave.portal.rules import StateConflictError


def person(username: str) -> User:
    return User.objects.get(username=username)


def approved(project: str, **permit: str) -> Project:
    projects.submit_application(person("amelie"), permit_text(project, **permit))
    projects.approve_project(person("sofia"), project, Role.DATA_STEWARD)
    return projects.approve_project(person("diane"), project, Role.DATA_PROTECTION_OFFICER)


def test_the_whole_way_through_the_pages(house: Any) -> None:
    amelie, sofia, diane, ines = (house.logged_in(name) for name in ("amelie", "sofia", "diane", "ines"))
    permit = permit_text("whole-way").replace("\n", "\r\n")  # what a browser makes of a text area
    handed_in = amelie.post("/apply/", {"permit_text": permit, "summary": "For the guidance."}, form="/apply/")
    assert handed_in.headers["location"] == "/projects/whole-way/"

    assert "Gastrointestinal bleeding" in sofia.words("/")
    sofia.post("/projects/whole-way/approve", {"as_role": "data-steward", "comment": "Minimal."})
    assert Project.objects.get(pk="whole-way").state == "submitted"
    diane.post("/projects/whole-way/approve", {"as_role": "data-protection-officer"})
    assert Project.objects.get(pk="whole-way").state == "approved"

    assert "Gastrointestinal bleeding" in ines.words("/")
    assert ines.post("/projects/whole-way/provision", {"as_role": "admin"}).status_code == 302
    job = Job.objects.get(kind="build-extract", payload__project="whole-way")
    assert job.state == "queued"

    projects.activate_project("whole-way", "v1")
    page = amelie.words("/projects/whole-way/")
    assert "Open workspace" in page
    assert "Minimal." in page
    files = AccessFiles(house.settings)
    record = files.project(ProjectId("whole-way"))
    assert record is not None
    assert record.members == {PersonId(person(name).person_id) for name in ("amelie", "karim")}
    assert files.permit_file(ProjectId("whole-way")).read_bytes() == permit_text("whole-way").encode()
    types = [leaf["type"] for leaf in house.events(project="whole-way")]
    assert types == [
        "application:submitted",
        "application:approved",
        "application:approved",
        "project:provisioned",
        "project:activated",
    ]


def test_a_permit_with_faults_is_answered_with_their_lines(house: Any) -> None:
    broken = permit_text("broken-one").replace("band 5", "bond 5")
    answer = house.logged_in("karim").post("/apply/", {"permit_text": broken}, form="/apply/")

    assert answer.status_code == 422
    assert "Line 17" in page_words(answer)
    assert '<li class="is-marked">      year_of_birth: bond 5</li>' in answer.text
    assert not Project.objects.filter(pk="broken-one").exists()
    assert ["line 17"] in [leaf["data"].get("permit_problems") for leaf in house.events(EventType.APPLICATION_REFUSED)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"expires_on": "2020-01-31"}, "The data permit expired on 2020-01-31"),
        ({"researchers": "amelie, nobody-here"}, "nobody-here"),
        ({"researchers": "sofia"}, "sofia"),
    ],
)
def test_applications_that_cannot_be_taken_say_why(house: Any, change: dict[str, str], reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        projects.submit_application(person("amelie"), permit_text("not-taken", **change))
    assert not Project.objects.filter(pk="not-taken").exists()
    refused = house.events(EventType.APPLICATION_REFUSED, project="not-taken")
    assert reason in str(refused[-1]["data"]["reasons"])


def test_a_project_name_is_given_once(house: Any) -> None:
    projects.submit_application(person("amelie"), permit_text("only-once"))
    with pytest.raises(StateConflictError, match="exists already"):
        projects.submit_application(person("karim"), permit_text("only-once"))
    assert Project.objects.get(pk="only-once").applicant == person("amelie")


def test_text_that_is_no_permit_is_refused(house: Any) -> None:
    with pytest.raises(PermitError):
        projects.submit_application(person("amelie"), "hello")


def test_nobody_decides_about_their_own_application(house: Any) -> None:
    projects.submit_application(person("both"), permit_text("own-one"))
    for role in (Role.DATA_STEWARD, Role.DATA_PROTECTION_OFFICER):
        with pytest.raises(RefusedError, match="You applied for this project"):
            projects.approve_project(person("both"), "own-one", role)
        with pytest.raises(RefusedError, match="You applied for this project"):
            projects.reject_project(person("both"), "own-one", role, "no")

    browser = house.logged_in("both")
    assert "You applied for this project" in browser.words("/projects/own-one/")
    answer = browser.post("/projects/own-one/approve", {"as_role": "data-steward"})
    assert answer.status_code == 403
    refusals = house.events(EventType.ACTION_REFUSED, project="own-one")
    assert len(refusals) == 5
    assert all(leaf["decision"] == "deny" for leaf in refusals)
    assert Project.objects.get(pk="own-one").given_approvals() == ()


def test_one_person_cannot_give_both_approvals(house: Any) -> None:
    projects.submit_application(person("amelie"), permit_text("one-hand"))
    projects.approve_project(person("both"), "one-hand", Role.DATA_STEWARD)
    with pytest.raises(RefusedError, match="already approved"):
        projects.approve_project(person("both"), "one-hand", Role.DATA_PROTECTION_OFFICER)
    assert Project.objects.get(pk="one-hand").state == "submitted"


def test_two_stewards_at_the_same_moment_count_once(house: Any) -> None:
    projects.submit_application(person("amelie"), permit_text("race-one"))
    results = at_the_same_moment(
        lambda: projects.approve_project(person("sofia"), "race-one", Role.DATA_STEWARD),
        lambda: projects.approve_project(person("tomas"), "race-one", Role.DATA_STEWARD),
    )

    assert sorted(type(result).__name__ for result in results) == ["Project", "RefusedError"]
    assert len(Project.objects.get(pk="race-one").given_approvals()) == 1
    assert len(house.events(EventType.APPLICATION_APPROVED, project="race-one")) == 1


def test_both_roles_at_the_same_moment_approve(house: Any) -> None:
    projects.submit_application(person("amelie"), permit_text("race-two"))
    results = at_the_same_moment(
        lambda: projects.approve_project(person("sofia"), "race-two", Role.DATA_STEWARD),
        lambda: projects.approve_project(person("diane"), "race-two", Role.DATA_PROTECTION_OFFICER),
    )

    assert [type(result).__name__ for result in results] == ["Project", "Project"]
    assert Project.objects.get(pk="race-two").state == "approved"


def at_the_same_moment(*actions: Any) -> list[Any]:
    barrier, results = threading.Barrier(len(actions)), cast(list[Any], [None] * len(actions))

    def run(place: int, action: Any) -> None:
        try:
            barrier.wait(60)
            results[place] = action()
        except RefusedError as refused:
            results[place] = refused
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_verbs_in_the_wrong_state_conflict(house: Any) -> None:
    approved("wrong-state")
    with pytest.raises(StateConflictError, match="it must be submitted; this one is approved"):
        projects.approve_project(person("tomas"), "wrong-state", Role.DATA_STEWARD)
    with pytest.raises(StateConflictError, match="it must be provisioning"):
        projects.activate_project("wrong-state", "v1")
    answer = house.logged_in("sofia").post("/projects/wrong-state/reject", {"as_role": "data-steward"})
    assert answer.status_code == 409


def test_a_failed_build_says_why_and_can_be_ordered_again(house: Any) -> None:
    approved("fails-once")
    projects.provision_project(person("ines"), "fails-once")
    projects.fail_project("fails-once", ["Expected the table person in the source, found none."])

    page = house.logged_in("amelie").words("/projects/fails-once/")
    assert "Expected the table person in the source, found none." in page
    projects.provision_project(person("ines"), "fails-once")
    assert Job.objects.filter(payload__project="fails-once").count() == 2


def test_the_page_says_whether_the_screen_is_archived_and_what_is_shared(house: Any) -> None:
    ordered = "workspace: {archive_shown: true, archive_days: 400, shared_mb: 512, terminals: true}\n"
    projects.submit_application(person("amelie"), permit_text("kept-one") + ordered)
    projects.submit_application(person("amelie"), permit_text("not-kept"))
    amelie = house.logged_in("amelie")
    kept = amelie.words("/projects/kept-one/")
    assert "archived, encrypted, for 400 days" in kept and "512 MB for all members" in kept
    assert "Terminals allowed, each in a sandbox of its own" in kept
    usual = amelie.words("/projects/not-kept/")
    assert "what is shown is counted, not kept" in usual and "Terminals none" in usual


def test_a_rejection_ends_the_application(house: Any) -> None:
    projects.submit_application(person("amelie"), permit_text("turned-down"))
    projects.reject_project(person("sofia"), "turned-down", Role.DATA_STEWARD, "Too many columns.")
    assert Project.objects.get(pk="turned-down").state == "rejected"
    with pytest.raises(StateConflictError):
        projects.approve_project(person("diane"), "turned-down", Role.DATA_PROTECTION_OFFICER)


def test_closing_stops_workspaces(house: Any) -> None:
    approved("to-be-closed")
    projects.close_project(person("ines"), "to-be-closed", "done")
    assert Job.objects.get(payload__project="to-be-closed").kind == "stop-workspaces"
    record = AccessFiles(house.settings).project(ProjectId("to-be-closed"))
    assert record is not None
    assert record.state == "closed"


def test_researchers_see_only_their_own_projects(house: Any) -> None:
    projects.submit_application(person("amelie"), permit_text("hidden-one", researchers="amelie"))
    karim = house.logged_in("karim")
    assert "hidden-one" not in karim.words("/projects/")
    hidden, unknown = karim.get("/projects/hidden-one/"), karim.get("/projects/never-was/")
    assert hidden.status_code == unknown.status_code == 403
    assert page_words(hidden).replace("hidden-one", "x") == page_words(unknown).replace("never-was", "x")


def test_revoking_ends_session_tokens_and_workspaces_at_once(house: Any) -> None:
    secret = totp_secret("leaver")
    gone = people.add_person(person("ines"), "leaver", "Lea Ver", frozenset({Role.RESEARCHER}), PASSWORD, secret)
    session = house.logged_in("leaver")
    assert session.get("/").status_code == 200
    before = datetime.now(UTC)

    answer = house.logged_in("ines").post(f"/people/{gone.person_id}/revoke")

    assert answer.status_code == 302
    assert session.get("/").headers["location"].startswith("/accounts/login/")
    written = AccessFiles(house.settings).people()[PersonId(gone.person_id)]
    assert not written.active
    assert written.tokens_valid_from > before.timestamp() - 1
    assert Job.objects.filter(kind="stop-workspaces", payload__person=gone.person_id).count() == 1
    assert [leaf["subject"] for leaf in house.events(EventType.PERSON_REVOKED)] == [gone.person_id]
    assert house.browser().password("leaver").headers.get("location") != "/accounts/2fa/authenticate/"


def test_restoring_keeps_old_tokens_void(house: Any) -> None:
    back = people.add_person(person("ines"), "returner", "Re Turner", frozenset({Role.AUDITOR}), PASSWORD, "A" * 32)
    people.revoke_person(person("ines"), back.person_id)
    people.restore_person(person("hugo"), back.person_id)

    written = AccessFiles(house.settings).people()[PersonId(back.person_id)]
    assert written.active
    assert written.tokens_valid_from > (datetime.now(UTC) - timedelta(minutes=1)).timestamp()
    with pytest.raises(StateConflictError):
        people.restore_person(person("ines"), back.person_id)


def test_admins_do_not_decide_about_themselves(house: Any) -> None:
    with pytest.raises(RefusedError, match="your own account"):
        people.revoke_person(person("ines"), person("ines").person_id)
    assert person("ines").is_active


def test_an_admin_adds_a_person_who_gets_a_password_once(house: Any) -> None:
    ines = house.logged_in("ines")
    form = {"username": "fresh-one", "display_name": "Fresh One", "roles": ["researcher", "admin"]}
    assert "First password" in page_words(ines.post("/people/new/", form, form="/people/new/"))
    assert person("fresh-one").roles == ["admin", "researcher"]
    assert person("fresh-one").must_change_password
    again = ines.post("/people/new/", form, form="/people/new/")
    assert again.status_code == 422
    assert "is taken" in page_words(again)
    bad = ines.post("/people/new/", {**form, "username": "Not A Name"}, form="/people/new/")
    assert bad.status_code == 422
