"""The data steward: sees the findings beside the file and what was asked before; approves; cannot approve their own."""

from __future__ import annotations

from typing import Any

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
        expect(visitor.page.locator("#queries tr.is-small", has_text="person.person_id").first).to_be_visible()
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


def test_nobody_approves_their_own_request(visit: Any) -> None:
    """The requester's page offers no decision; the journey shows that sending one anyway is refused and recorded."""
    requester = visit("amelie")
    requester.log_in()
    _ask_for_release(requester, "My own table")
    expect(requester.page.get_by_role("button", name="Approve exactly these files")).to_have_count(0)
    shown = requester.enclave.command("audit", "show", requester.enclave.info["log_dir"], "--json")
    assert "output-request:refused" in shown.stdout or "action:refused" in shown.stdout


def _look_at_three_people(requester: Any) -> None:
    """By a stock client; the log, not the researcher, tells the reviewer."""
    project = requester.enclave.info["project"]
    token = requester.enclave.command("token", "issue", "--user", "amelie", "--project", project).stdout.strip()
    few = "SELECT count(DISTINCT person_id) FROM (SELECT person_id FROM person ORDER BY person_id LIMIT 3)"
    assert requester.enclave.ask(token, few) == 3


def _ask_for_release(requester: Any, title: str) -> None:
    requester.portal(f"/outputs/new/{requester.enclave.info['project']}/")
    requester.page.get_by_label("first-distribution.csv").check()
    requester.page.get_by_label("Title").fill(title)
    requester.page.get_by_label("Context").fill("Distinct people per group.")
    requester.page.get_by_role("button", name="Ask for their release").click()
    expect(requester.page.get_by_role("heading", name=title)).to_be_visible()
