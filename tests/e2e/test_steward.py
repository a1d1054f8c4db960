"""The data steward: sees the findings beside the file and what was asked before, approves; cannot approve their own
request; asks for changes and sees in the next version what was made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from enclave_test_waiting import wait_for  # type: ignore[import-not-found]
from playwright.sync_api import expect


def test_steward(visit: Any) -> None:
    requester = visit("amelie")
    requester.log_in()
    _look_at_three_people(requester)
    _ask_for_release(requester, "Small table")

    for username, name in (("stephane", "steward"), ("sofia", "checker")):
        visitor = visit(username)
        visitor.log_in()
        visitor.shoot(f"{name}-home")
        visitor.portal("/outputs/")
        visitor.shoot(f"{name}-queue")
        visitor.page.get_by_role("link", name="Small table").first.click()
        expect(visitor.page.get_by_text("first-distribution.csv").first).to_be_visible()
        expect(visitor.page.locator("table").first).to_be_visible()
        _see_the_small_group(visitor.page)
        visitor.shoot(f"{name}-review")
        visitor.page.get_by_label("Comment").or_(visitor.page.get_by_label("Justification or reason")).fill(
            "Groups are large enough and the counts are of distinct people."
        )
        visitor.page.get_by_role("button", name="Approve exactly these files").click()
        decided = '.lead [data-state="in-review"], .lead [data-state="approved"], .lead [data-state="released"]'
        expect(visitor.page.locator(decided)).to_be_visible()

    requester.portal("/outputs/")
    row = requester.page.locator("tr", has_text="Small table").first
    for _ in range(60):
        if row.get_by_text("Released").count():
            break
        requester.page.wait_for_timeout(500)
        requester.page.reload()
    expect(row.get_by_text("Released")).to_be_visible()


def test_changes_are_asked_for_and_made(visit: Any) -> None:
    requester, steward = visit("amelie"), visit("stephane")
    requester.log_in()
    info = requester.enclave.info
    outbox = Path(info["home"], "workspaces", info["project"], "amelie", "outbox")
    (outbox / "bleeding.csv").write_text("age,people\nunder 60,172\n60 to 79,303\n80 and over,4\n")
    _ask_for_release(requester, "Bleeding by age", "bleeding.csv", "first-distribution.csv")

    steward.log_in()
    steward.page.goto(requester.page.url)
    file = steward.page.locator("#file-1")
    file.get_by_text("Say something about this file").click()
    file.get_by_label("About").select_option(index=1)
    file.get_by_label("Your remark").fill("Four people: put them together with the group before.")
    file.get_by_role("button", name="Add the remark").click()
    expect(steward.page.get_by_text("Four people: put them together")).to_be_visible()
    steward.page.get_by_label("Justification or reason").fill("Please merge the oldest group, then this can go.")
    steward.page.get_by_role("button", name="Ask for changes").click()
    expect(steward.page.locator('.lead [data-state="returned"]')).to_be_visible()

    requester.portal("/outputs/")
    expect(requester.page.get_by_text("The reviewers ask for changes.").first).to_be_visible()
    requester.page.locator("#own").get_by_role("link", name="Bleeding by age").first.click()
    requester.shoot("researcher-changes-asked-for")
    (outbox / "bleeding.csv").write_text("age,people\nunder 60,172\n60 and over,307\n")
    requester.page.get_by_role("link", name="Make version 2").click()
    expect(requester.page.get_by_label("Title")).to_have_value("Bleeding by age")
    expect(requester.page.get_by_label("bleeding.csv")).to_be_checked()
    requester.page.get_by_role("button", name="Ask for their release").click()
    expect(requester.page.get_by_text("What changed since version 1")).to_be_visible()

    address = requester.page.url
    checker = visit("sofia", locale="fr-FR")
    checker.log_in()
    for reviewer, changed, name in (
        (steward, "What changed since version 1", "steward-what-changed"),
        (checker, "Ce qui a changé depuis la version 1", "verificatrice-ce-qui-a-change"),
    ):
        reviewer.page.goto(address)
        expect(reviewer.page.get_by_role("heading", name=changed)).to_be_visible()
        expect(reviewer.page.locator(".diff-removed", has_text="80 and over,4")).to_be_visible()
        expect(reviewer.page.locator(".diff-added", has_text="60 and over,307")).to_be_visible()
        expect(reviewer.page.locator('#since [data-state="gone"]').first).to_be_visible()
        reviewer.shoot(name)


def test_nobody_approves_their_own_request(visit: Any) -> None:
    """The requester's page offers no decision; the journey shows that sending one anyway is refused and recorded."""
    requester = visit("amelie")
    requester.log_in()
    _ask_for_release(requester, "My own table")
    expect(requester.page.get_by_role("button", name="Approve exactly these files")).to_have_count(0)
    shown = requester.enclave.command("audit", "show", requester.enclave.info["log_dir"], "--json")
    assert "output-request:refused" in shown.stdout or "action:refused" in shown.stdout


def _see_the_small_group(page: Any) -> None:
    """What is in the log is published about a second later."""
    small = page.locator("#queries tr.is-small", has_text="person.person_id")
    wait_for(lambda: small.count() or page.reload() is None, "the query in the published log")
    expect(small.first).to_be_visible()


def _look_at_three_people(requester: Any) -> None:
    """By a stock client; the log, not the researcher, tells the reviewer."""
    project = requester.enclave.info["project"]
    token = requester.enclave.command("token", "issue", "--user", "amelie", "--project", project).stdout.strip()
    few = "SELECT count(DISTINCT person_id) FROM (SELECT person_id FROM person ORDER BY person_id LIMIT 3)"
    assert requester.enclave.ask(token, few) == 3


def _ask_for_release(requester: Any, title: str, *files: str) -> None:
    requester.portal(f"/outputs/new/{requester.enclave.info['project']}/")
    for file in files or ("first-distribution.csv",):
        requester.page.get_by_label(file).check()
    requester.page.get_by_label("Title").fill(title)
    requester.page.get_by_label("Context").fill("Distinct people per group.")
    requester.page.get_by_role("button", name="Ask for their release").click()
    expect(requester.page.get_by_role("heading", name=title)).to_be_visible()
