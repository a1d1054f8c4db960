"""The admin: provisions a project, revokes a person; the running workspace stops within 10 s and the token dies.
Then the admin closes the project: its workspace ends, and nothing of it is left on the machine."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import adbc_driver_flightsql.dbapi as flightsql
import pytest
from playwright.sync_api import expect

PERMIT = Path(__file__).resolve().parents[2] / "examples" / "permits" / "gibleed.yaml"
SECOND = "second-project"


def test_admin_provisions_a_project(visit: Any) -> None:
    text = re.sub(r"^project: .*$", f"project: {SECOND}", PERMIT.read_text(), flags=re.M)
    applicant = visit("karim")
    applicant.log_in()
    applicant.portal("/apply/")
    applicant.page.fill("textarea[name=permit_text]", text.replace("permit: 1", "permit: 7"))
    applicant.page.get_by_role("button", name="Hand in the application").click()
    expect(applicant.page.get_by_text("Line").first).to_be_visible()
    applicant.shoot("researcher-apply-errors")
    applicant.page.fill("textarea[name=permit_text]", text)
    applicant.page.get_by_role("button", name="Hand in the application").click()
    applicant.page.wait_for_url(f"**/projects/{SECOND}/")
    for username in ("stephane", "diane"):
        approver = visit(username)
        approver.log_in()
        approver.portal(f"/projects/{SECOND}/")
        approver.shoot(f"approve-{username}")
        approver.page.get_by_role("button", name=re.compile("^Approve")).first.click()

    admin = visit("adele")
    admin.log_in()
    admin.shoot("admin-home")
    admin.portal(f"/projects/{SECOND}/")
    admin.page.get_by_role("button", name="Prepare the project space").click()
    for _ in range(120):
        if admin.page.locator('.lead [data-state="active"]').count():
            break
        admin.page.wait_for_timeout(500)
        admin.page.reload()
    expect(admin.page.locator('.lead [data-state="active"]')).to_be_visible()
    admin.shoot("admin-project")
    admin.portal("/people/")
    admin.shoot("admin-people")
    admin.page.get_by_role("link", name="Access review").click()
    row = admin.page.get_by_role("row").filter(has_text="Karim Haddad")
    row.get_by_role("button", name="Confirm access of Karim Haddad").click()
    expect(row.get_by_text("Adèle Garnier")).to_be_visible()
    admin.shoot("admin-review")


def test_revoking_a_person_stops_the_workspace_and_the_token(visit: Any) -> None:
    project = "second-project"
    researcher = visit("karim")
    researcher.log_in()
    researcher.page.goto(f"{researcher.enclave.info['hub']}/hub/spawn/karim/{project}")
    researcher.page.wait_for_url(re.compile(rf"/user/karim/{project}/lab"), timeout=60_000)
    issued = researcher.enclave.command("token", "issue", "--user", "karim", "--project", project, "--ttl", "15m")
    assert issued.returncode == 0, issued.stderr
    token = issued.stdout.strip()
    assert researcher.enclave.ask(token, project=project) == 1

    admin = visit("adele")
    admin.log_in()
    admin.portal("/people/")
    admin.page.get_by_role("link", name="Karim Haddad").click()
    admin.shoot("admin-person")
    with admin.page.expect_response(lambda response: response.request.method == "POST"):
        admin.page.get_by_role("button", name="Revoke access").click()
    revoked_at = time.monotonic()
    with pytest.raises(flightsql.Error):
        researcher.enclave.ask(token, project=project)
    running = Path(researcher.enclave.info["home"]) / "run" / "ws"
    while any(_is_of_second_project(folder) for folder in running.iterdir()):
        assert time.monotonic() - revoked_at < 60, "the workspace outlived the revocation by a minute"
        time.sleep(0.1)
    admin.page.reload()
    admin.shoot("admin-revoked")
    again = researcher.enclave.command("token", "issue", "--user", "karim", "--project", project)
    assert again.returncode == 1


def test_closing_a_project_ends_its_workspace_and_leaves_nothing(visit: Any) -> None:
    researcher = visit("amelie")
    researcher.log_in()
    researcher.page.goto(f"{researcher.enclave.info['hub']}/hub/spawn/amelie/{SECOND}")
    researcher.page.wait_for_url(re.compile(rf"/user/amelie/{SECOND}/lab"), timeout=60_000)
    home = Path(researcher.enclave.info["home"])
    assert (home / "workspaces" / SECOND / "amelie" / "outbox").is_dir()

    admin = visit("adele")
    admin.log_in()
    admin.portal(f"/projects/{SECOND}/")
    admin.page.get_by_role("button", name="Close").click()
    card = admin.page.locator("#destroyed")
    for _ in range(120):
        if card.count() and not card.locator(".notice").count():
            break
        admin.page.wait_for_timeout(500)
        admin.page.reload()
    expect(card.get_by_role("row", name=re.compile("^Home amelie"))).to_be_visible()
    expect(card.get_by_role("row", name=re.compile("^Home karim"))).to_be_visible()
    expect(card.get_by_role("row", name=re.compile("^Extract v1"))).to_be_visible()
    admin.shoot("admin-closed")
    assert not (home / "workspaces" / SECOND).exists()
    assert not (home / "shared" / SECOND).exists()
    assert not list((home / "projects" / SECOND).rglob("*.duckdb"))


def _is_of_second_project(folder: Path) -> bool:
    """Is this the folder of a workspace of the second project? It goes, file by file, when the workspace is gone."""
    try:
        return (folder / "in").exists() and f'"{SECOND}"' in (folder / "workspace.json").read_text()
    except FileNotFoundError:
        return False
