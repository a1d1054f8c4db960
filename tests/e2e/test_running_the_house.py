"""What keeps the house in order: a self-test the auditor reads, what projects use and cost, a package asked for."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect


def test_the_auditor_reads_a_self_test_of_this_installation(visit: Any, enclave: Any) -> None:
    done = enclave.command("selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    visitor = visit("aurore")
    page = visitor.page
    visitor.log_in()
    visitor.portal("/audit/selftests/")
    expect(page.get_by_role("status")).to_contain_text("nothing was open")
    visitor.shoot("auditor-selftests")
    page.locator("tbody a").first.click()
    expect(page.get_by_role("heading", name=re.compile("^Self-test of"))).to_be_visible()
    visitor.shoot("auditor-selftest")


def test_the_admin_sees_what_each_project_uses(visit: Any, enclave: Any) -> None:
    visitor = visit("adele")
    visitor.log_in()
    visitor.portal("/usage/")
    expect(visitor.page.locator("tbody tr").filter(has_text=enclave.info["project"])).to_be_visible()
    visitor.shoot("admin-usage")
    visitor.page.locator("tbody a").filter(has_text="NSAIDs").first.click()
    expect(visitor.page.get_by_role("heading", name="Storage")).to_be_visible()
    visitor.shoot("project-usage")


def test_a_package_is_asked_for_and_approved(visit: Any, enclave: Any) -> None:
    """The demo has no mirror: both pages say that the package cannot arrive yet, and nothing is lost."""
    path = f"/projects/{enclave.info['project']}/packages/"
    researcher, steward = visit("amelie"), visit("stephane")
    researcher.log_in()
    researcher.portal(path)
    researcher.page.fill("[name=name]", "formulaic")
    researcher.page.fill("[name=reason]", "Model formulas as in R, for the survival models of the second aim.")
    researcher.page.get_by_role("button", name="Hand in").click()
    expect(researcher.page.locator(".package-request").filter(has_text="formulaic")).to_be_visible()
    steward.log_in()
    steward.portal(path)
    steward.shoot("steward-packages")
    steward.page.get_by_role("button", name="Approve").click()
    expect(steward.page.locator(".package-request [data-state=approved]")).to_be_visible()
    expect(steward.page.get_by_text("no package mirror yet")).to_be_visible()
