"""From a researcher's request to a package in the project's set and out of it again: pages, runner, records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from package_mirror import UnsafeMirror, serving, wheel  # type: ignore[import-not-found]
from portal_house import page_words, permit_text, running_house  # type: ignore[import-not-found]

from audit.client import AuditRefused, AuditUnavailable
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.domain.packages import PackageVerb
from enclave.domain.people import Role
from enclave.packages.fetch import IngressError, Pinned
from enclave.packages.ingress import PackageSet
from enclave.packages.jobs import ingress
from enclave.portal.actions import packages, projects, workspaces
from enclave.portal.models import Job, PackageRequest, Project, User
from enclave.portal.rules import StateConflictError
from enclave.runner import Runner
from enclave.settings import Settings

PAGE = "/projects/study/packages/"


@pytest.fixture(scope="module")
def mirror() -> Iterator[UnsafeMirror]:
    found = UnsafeMirror()
    found.add("toy", wheel("toy", "1.0", {"toy.py": b"VALUE = 41\n"}))
    found.add("tiny", wheel("tiny", "0.1", {"tiny.py": b""}))
    with serving(found):
        yield found


@pytest.fixture(scope="module")
def house(mirror: UnsafeMirror) -> Iterator[Any]:
    with running_house() as running:
        projects.submit_application(user("amelie"), permit_text("study"))
        projects.approve_project(user("sofia"), "study", Role.DATA_STEWARD)
        projects.approve_project(user("diane"), "study", Role.DATA_PROTECTION_OFFICER)
        projects.provision_project(user("ines"), "study")
        projects.activate_project("study", "v1")
        Job.objects.all().delete()
        with_mirror = running.settings.model_copy(update={"package_mirror": mirror.url})
        running.runner = Runner(with_mirror)
        yield running


def user(name: str) -> User:
    return User.objects.get(username=name)


def ask(name: str, who: str = "amelie") -> PackageRequest:
    return packages.request_package(user(who), "study", name, "", "For the survival curves.")


def granted() -> str:
    return workspaces.start_workspace("karim", "study").packages


def test_the_whole_way_in_and_out_again(house: Any) -> None:
    amelie, sofia = house.logged_in("amelie"), house.logged_in("sofia")
    handed_in = amelie.post(PAGE, {"name": "Toy", "versions": "", "reason": "For the curves."}, form=PAGE)
    assert handed_in.headers["location"] == PAGE
    asked = PackageRequest.objects.get(name="toy")
    decide = f"{PAGE}{asked.pk}/decide"

    assert "Projects that ask for a package Gastrointestinal bleeding" in sofia.words("/")
    assert "Approve" in sofia.words(PAGE) and "Approve" not in amelie.words(PAGE)
    assert amelie.post(decide, {"verb": "approve"}).status_code == 403
    assert sofia.post(decide, {"verb": "approve"}, form=PAGE).status_code == 302
    assert granted() == ""

    assert house.runner.take_turn()
    asked.refresh_from_db()
    assert (asked.state, asked.installed, asked.decided_by) == ("available", "1.0", user("sofia"))
    assert granted() == "p1"
    page = amelie.words(PAGE)
    assert "Available" in page and "toy 1.0" in page and "Version p1 of the set" in page
    bill = amelie.get(f"{PAGE}p1.json")
    assert bill.json()["components"][0]["purl"] == "pkg:pypi/toy@1.0"
    assert amelie.get(f"{PAGE}p2.json").status_code == 404

    assert sofia.post(decide, {"verb": "remove", "comment": ""}, form=PAGE).status_code == 403  # without a reason
    assert sofia.post(decide, {"verb": "remove", "comment": "A hole in it."}, form=PAGE).status_code == 302
    assert granted() == ""
    assert "A hole in it." in amelie.words(PAGE)
    found = [leaf for leaf in house.events(project="study") if leaf["type"].startswith("package-request:")]
    assert [leaf["type"].split(":")[1] for leaf in found] == ["submitted", "approved", "delivered", "removed"]
    delivered = found[2]["data"]
    assert (delivered["set"], delivered["wheels"]) == ("p1", ["toy==1.0"])
    assert len(delivered["bom_sha256"]) == 64
    amelies, sofias = user("amelie").person_id, user("sofia").person_id
    assert [leaf["actor"] for leaf in found] == [amelies, sofias, "system:runner", sofias]


def test_what_the_image_holds_is_said_to_be_there(house: Any) -> None:
    asked = ask("pandas")
    packages.decide_package(user("sofia"), "study", asked.pk, PackageVerb.APPROVE)
    assert house.runner.take_turn()
    page = house.logged_in("amelie").words(PAGE)
    assert "in the workspace’s image already" in page and "No added package" in page
    packages.decide_package(user("tomas"), "study", asked.pk, PackageVerb.REMOVE, "Not needed.")


def test_removing_one_takes_the_set_away_until_it_is_made_again(house: Any) -> None:
    both = [ask("toy"), ask("tiny")]
    for one in both:
        packages.decide_package(user("sofia"), "study", one.pk, PackageVerb.APPROVE)
        assert house.runner.take_turn()
    with_both = granted()
    packages.decide_package(user("tomas"), "study", both[1].pk, PackageVerb.REMOVE, "Not needed.")
    assert granted() == ""
    page = house.logged_in("karim").words(PAGE)
    assert "The set is being made again" in page and "in the workspace’s image already" not in page
    # meanwhile the runner delivers what it had begun before: refused, the removed package is in it
    with pytest.raises(RefusedError):
        packages.deliver_packages("study", [one.pk for one in both], with_both, "0" * 64, {}, [])
    assert granted() == ""
    assert house.runner.take_turn()
    assert granted() not in ("", with_both)
    held = {path.name for path in (house.settings.projects_dir / "study/packages" / granted()).glob("*/*.py")}
    assert held == {"toy.py"}

    check_that_one_that_cannot_come_leaves_it(house)
    packages.decide_package(user("tomas"), "study", both[0].pk, PackageVerb.REMOVE, "Not needed.")


def check_that_one_that_cannot_come_leaves_it(house: Any) -> None:
    before, absent = granted(), ask("absent")
    packages.decide_package(user("sofia"), "study", absent.pk, PackageVerb.APPROVE)
    house.runner.take_turn()
    absent.refresh_from_db()
    assert absent.state == "failed" and "No matching distribution" in absent.outcome
    assert "could not be fetched" in house.logged_in("karim").words(PAGE)
    failed = house.events(EventType.PACKAGE_REQUEST_FAILED, project="study")
    assert failed[-1]["data"]["package"] == "absent"
    packages.decide_package(user("tomas"), "study", absent.pk, PackageVerb.RETRY)
    job = Job.objects.get(state="queued")
    ingress_without_a_mirror(house.settings, job)
    absent.refresh_from_db()
    assert "package_mirror" in absent.outcome
    ingress(house.settings, job.payload)  # repeated after a crash: nothing left to do
    packages.decide_package(user("tomas"), "study", absent.pk, PackageVerb.REMOVE, "Not needed.")
    assert granted() == before, "it was never in the set"


def ingress_without_a_mirror(settings: Settings, job: Job) -> None:
    job.delete()
    assert settings.package_mirror == ""
    with pytest.raises(IngressError, match="found none set"):
        ingress(settings, job.payload)


def test_a_request_is_decided_by_somebody_else(house: Any) -> None:
    own = PackageRequest.objects.create(project_id="study", requester=user("both"), name="own", reason="x")
    with pytest.raises(RefusedError, match="You asked for this package"):
        packages.decide_package(user("both"), "study", own.pk, PackageVerb.APPROVE)
    with pytest.raises(IntegrityError, match="nobody_decides_about_own_package"), transaction.atomic():
        PackageRequest.objects.filter(pk=own.pk).update(decided_by=user("both"))
    with pytest.raises(RefusedError, match="Only the person who asked"):
        packages.decide_package(user("sofia"), "study", own.pk, PackageVerb.WITHDRAW)
    with pytest.raises(RefusedError, match="Only a data steward"):
        packages.decide_package(user("amelie"), "study", own.pk, PackageVerb.APPROVE)
    with pytest.raises(RefusedError, match="Expected a reason"):
        packages.decide_package(user("sofia"), "study", own.pk, PackageVerb.REJECT)
    packages.decide_package(user("both"), "study", own.pk, PackageVerb.WITHDRAW)
    with pytest.raises(StateConflictError, match="this one is withdrawn"):
        packages.decide_package(user("sofia"), "study", own.pk, PackageVerb.APPROVE)
    refused = [leaf["data"]["reasons"][0] for leaf in house.events(EventType.ACTION_REFUSED, project="study")]
    assert [reason for reason in refused if "You asked for this package" in reason]


def test_what_else_is_asked_for_is_refused_and_on_record(house: Any) -> None:
    with pytest.raises(RefusedError, match="a package's name"):
        packages.request_package(user("amelie"), "study", "../toy", "", "For x.")
    refused = house.events(EventType.PACKAGE_REQUEST_REFUSED, project="study")[-1]
    assert "a package's name" in str(refused["data"]["reasons"])


def test_who_may_not_ask_and_what_was_asked_already(house: Any) -> None:
    for name in ("sofia", "both", "ines"):
        with pytest.raises(RefusedError):
            ask("other", name)
    first = ask("other")
    with pytest.raises(StateConflictError, match="asked for other already"):
        ask("Other")
    answer = house.logged_in("karim").post(PAGE, {"name": "other", "reason": "x"}, form=PAGE)
    assert answer.status_code == 422 and "asked for other already" in page_words(answer)
    Project.objects.filter(pk="study").update(state="closed")
    with pytest.raises(StateConflictError, match="active projects only"):
        packages.decide_package(user("sofia"), "study", first.pk, PackageVerb.APPROVE)
    Project.objects.filter(pk="study").update(state="active")


def test_no_approved_request_is_left_without_an_end(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ask("toy")
    packages.decide_package(user("sofia"), "study", asked.pk, PackageVerb.APPROVE)
    job = Job.objects.get(state="queued")
    Project.objects.filter(pk="study").update(state="closed")
    assert house.runner.take_turn()
    asked.refresh_from_db()
    assert asked.state == "failed" and "active projects only" in asked.outcome
    Project.objects.filter(pk="study").update(state="active")

    packages.decide_package(user("tomas"), "study", asked.pk, PackageVerb.RETRY)
    with monkeypatch.context() as broken:
        broken.setattr("enclave.packages.jobs.make_set", lambda *_: 1 // 0)
        assert house.runner.take_turn()
    asked.refresh_from_db()
    assert asked.state == "failed" and "not foreseen" in asked.outcome

    packages.decide_package(user("tomas"), "study", asked.pk, PackageVerb.RETRY)
    before = sorted((house.settings.projects_dir / "study/packages").iterdir())
    with monkeypatch.context() as away:
        away.setattr("enclave.packages.jobs.deliver_packages", _log_is_away)
        assert house.runner.take_turn()
    again = Job.objects.get(state="queued")
    assert again.payload == job.payload and again.not_before > again.created_at
    assert sorted((house.settings.projects_dir / "study/packages").iterdir()) == before, "not given out, so not kept"
    Job.objects.filter(pk=again.pk).update(not_before=again.created_at)
    assert house.runner.take_turn()
    asked.refresh_from_db()
    assert asked.state == "available"


def _log_is_away(*_: object) -> None:
    raise AuditUnavailable("Expected the audit log, found nobody at its socket.")


def test_a_record_that_is_never_taken_ends_a_request_and_one_that_waits_does_not(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, made = ask("tiny"), house.settings.projects_dir / "study/packages/p99"
    packages.decide_package(user("sofia"), "study", asked.pk, PackageVerb.APPROVE)

    def take_turn(wheels: int = 1, **broken: Any) -> str:
        def make(*_: Any) -> PackageSet:
            made.mkdir()
            wheel = Pinned("toy", "1." + "0" * 300, "0" * 64)
            return PackageSet(made.name, "0" * 64, {"tiny": "0.1"}, (wheel,) * wheels)

        with monkeypatch.context() as patched:
            for name, result in {"make_set": make, **broken}.items():
                patched.setattr(f"enclave.packages.jobs.{name}", result)
            assert house.runner.take_turn()
        asked.refresh_from_db()
        return str(asked.state)

    assert take_turn(wheels=300) == "failed", "so many wheels fit into no record; a hostile index names any number"
    assert "does not take the record" in asked.outcome
    for error, said in ((AuditRefused("refused"), "does not take"), (RuntimeError("nobody saw"), "not foreseen")):
        packages.decide_package(user("tomas"), "study", asked.pk, PackageVerb.RETRY)
        assert take_turn(deliver_packages=Mock(side_effect=error)) == "failed" and said in asked.outcome
        assert not made.exists() and not Job.objects.filter(state="queued").exists()

    packages.decide_package(user("tomas"), "study", asked.pk, PackageVerb.RETRY)
    assert take_turn(make_set=Mock(side_effect=IngressError("slow")), fail_packages=_log_is_away) == "approved"
    again = Job.objects.get(state="queued")
    Job.objects.filter(pk=again.pk).update(not_before=again.created_at)
    assert take_turn() == "available", "the log is back"
    packages.decide_package(user("tomas"), "study", asked.pk, PackageVerb.REMOVE, "Not needed.")


@pytest.mark.parametrize("verb", [PackageVerb.WITHDRAW, PackageVerb.REJECT])
def test_a_decision_locks_as_a_delivery_does(house: Any, verb: PackageVerb) -> None:
    found = PackageRequest.objects.create(
        project_id="study", requester=user("amelie"), name=f"locked-{verb}", reason="x"
    )
    who = user("amelie" if verb is PackageVerb.WITHDRAW else "sofia")
    with CaptureQueriesContext(connection) as asked:
        packages.decide_package(who, "study", found.pk, verb, "Not needed.")
    tables = [query["sql"].split(" FROM ")[1].split()[0].strip('"') for query in asked if "SELECT" in query["sql"]]
    assert tables.index("portal_project") < tables.index("portal_packagerequest")


def test_a_mirror_that_leads_elsewhere_is_on_record(house: Any, mirror: UnsafeMirror) -> None:
    """The index names a file at another port of this machine; nobody goes there."""
    mirror.add("lured", wheel("lured", "1.0", {"lured.py": b""}))
    mirror.elsewhere["lured"] = "http://127.0.0.1:9"
    asked = ask("lured")
    packages.decide_package(user("sofia"), "study", asked.pk, PackageVerb.APPROVE)
    while house.runner.take_turn():
        pass
    asked.refresh_from_db()
    assert asked.state == "failed" and "127.0.0.1:9" in asked.outcome
    (refused,) = house.events(EventType.PACKAGE_FETCH_REFUSED, project="study")
    assert (refused["actor"], refused["decision"], refused["data"]) == (
        "system:runner",
        "deny",
        {"place": "127.0.0.1:9"},
    )
