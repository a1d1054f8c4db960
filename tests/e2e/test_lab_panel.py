"""The panel in JupyterLab: tables, a query and its stop, the outbox's findings, a release; French, English, dark."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

LONG_MS = 60_000
TOO_LONG = "%%sql\nSELECT count(*) FROM person a, person b, person c, person d WHERE a.person_id > d.person_id"
SAVE = """from pathlib import Path
table = "sex,n_patients\\nF,1373\\nM,{count}\\n"
_ = Path.home().joinpath("outbox", "counts.csv").write_text(table)"""

EXPOSURE = {
    "shown_bytes": 12_400_000,
    "shown_rows": 8_150,
    "budget_bytes": 50_000_000,
    "budget_rows": 20_000,
    "state": "ok",
    "archived": False,
    "archive_days": None,
    "day": "2026-01-31",
}


def test_panel(visit: Any) -> None:
    visitor = visit("amelie")
    page: Page = visitor.page
    panel = _open_panel(visitor, "Open workspace")
    _new_notebook(page)

    expect(panel.get_by_text("Data permit until")).to_be_visible()
    panel.get_by_role("searchbox").fill("gender")
    expect(panel.get_by_role("button", name=re.compile("^gender_concept_id"))).to_be_visible()
    panel.get_by_role("searchbox").fill("")
    panel.get_by_role("button", name="Put a query on person into the notebook").click()
    expect(page.locator(".jp-Notebook .cm-content").first).to_contain_text("FROM person")
    page.keyboard.press("Shift+Enter")
    queries = _section(panel, "Queries")
    expect(_query(queries, "FROM person").filter(has_text="done")).to_be_visible(timeout=LONG_MS)

    _run(page, TOO_LONG)
    running = _query(queries, "person d")
    expect(running).to_contain_text("running", timeout=LONG_MS)
    _fold(panel, "Project")
    page.locator(".jp-NotebookPanel-toolbar").hover()
    visitor.shoot("researcher-panel-queries", full_page=False)
    running.get_by_role("button", name="Stop this query").click()
    expect(running).to_contain_text("stopped", timeout=LONG_MS)
    expect(page.locator(".jp-OutputArea-output").filter(has_text="stopped").first).to_be_visible(timeout=LONG_MS)

    _release(visitor, panel)


def _release(visitor: Any, panel: Locator) -> None:
    page = visitor.page
    outbox = _section(panel, "Outbox")
    _run(page, SAVE.format(count=4))
    file = outbox.get_by_role("listitem").filter(has_text="counts.csv").first
    expect(file).to_contain_text("must be justified", timeout=LONG_MS)
    outbox.get_by_label(re.compile("^counts.csv")).check()
    _fold(panel, "Tables")
    outbox.get_by_label("Title").scroll_into_view_if_needed()
    visitor.shoot("researcher-panel-outbox", full_page=False)
    _run(page, SAVE.format(count=1321))
    expect(file).to_contain_text("no remark", timeout=LONG_MS)

    expect(outbox.get_by_label(re.compile("^counts.csv"))).to_be_checked()
    outbox.get_by_label("Title").fill("Patients by sex")
    outbox.get_by_label("Context").fill("Distinct people of the cohort by recorded sex.")
    outbox.get_by_role("button", name="Ask for release").click()
    expect(outbox.get_by_text("Two reviewers now look at exactly these files")).to_be_visible(timeout=LONG_MS)
    visitor.shoot("researcher-panel-asked", full_page=False)


def test_panel_speaks_french_and_works_in_the_dark(visit: Any) -> None:
    visitor = visit("amelie", locale="fr-FR")
    page = visitor.page
    exposure = dict(EXPOSURE)
    page.route("**/enclave/exposure*", lambda route: route.fulfill(json=exposure))  # the picture: some hours of work
    panel = _open_panel(visitor, "Ouvrir l’espace de travail")
    expect(panel.get_by_text("Permis de données jusqu’au")).to_be_visible()
    expect(page.locator(".jp-LauncherCard").first).to_be_visible(timeout=LONG_MS)
    person = panel.get_by_role("button", name=re.compile("^person "))
    person.focus()
    page.keyboard.press("Enter")
    expect(person).to_have_attribute("aria-expanded", "true")
    expect(panel.get_by_role("button", name=re.compile("^person_id .*pseudonyme")).filter(visible=True)).to_be_visible()
    _fold(panel, "Projet")
    expect(panel.get_by_role("meter", name="Affiché à l’écran aujourd’hui")).to_have_attribute("aria-valuenow", "41")
    page.locator(".jp-LauncherCard").first.hover()
    visitor.shoot("panneau-chercheuse", full_page=False)
    _choose_theme(page, "JupyterLab Dark", is_light="false")
    _fold(panel, "Tables")
    _fold(panel, "Requêtes")
    panel.get_by_role("meter", name="Affiché à l’écran aujourd’hui").scroll_into_view_if_needed()
    page.locator(".jp-LauncherCard").first.hover()
    visitor.shoot("panneau-chercheuse-sombre", full_page=False)
    exposure |= {"archived": True, "archive_days": 365}
    expect(panel.get_by_text("Ce que vous voyez ici est archivé.")).to_be_visible(timeout=LONG_MS)
    _choose_theme(page, "JupyterLab Light", is_light="true")


def _choose_theme(page: Page, name: str, *, is_light: str) -> None:
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    words = page.locator(".lm-Menu-itemLabel")
    words.get_by_text("Theme", exact=True).hover()
    words.get_by_text(name, exact=True).click()
    expect(page.locator("body")).to_have_attribute("data-jp-theme-light", is_light, timeout=LONG_MS)


def _open_panel(visitor: Any, link: str) -> Locator:
    page, project = visitor.page, visitor.enclave.info["project"]
    visitor.log_in()
    visitor.portal(f"/projects/{project}/")
    page.get_by_role("link", name=link).click()
    page.wait_for_url(re.compile(rf"/user/amelie/{project}/lab"), timeout=LONG_MS)
    page.goto(f"{visitor.enclave.info['hub']}/user/amelie/{project}/lab?reset")
    page.locator(".jp-SideBar.jp-mod-left li[data-id='enclave-lab:panel']").click(timeout=LONG_MS)
    panel = page.locator(".enclave-Panel")
    expect(panel).to_be_visible(timeout=LONG_MS)
    return panel


def _new_notebook(page: Page) -> None:
    page.locator(".jp-LauncherCard[data-category=Notebook]").first.click(timeout=LONG_MS)
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=LONG_MS)


def _run(page: Page, code: str) -> None:
    """Into the last cell of the notebook, which is empty, and run it."""
    cell = page.locator(".jp-Notebook:visible .jp-CodeCell").last
    cell.locator(".cm-content").click()
    page.keyboard.insert_text(code)
    page.keyboard.press("Shift+Enter")


def _fold(panel: Locator, name: str) -> None:
    heading = panel.get_by_role("heading", name=re.compile(rf"^{name}")).get_by_role("button")
    heading.click()
    expect(heading).to_have_attribute("aria-expanded", "false")


def _section(panel: Locator, name: str) -> Locator:
    return panel.get_by_role("region", name=name)


def _query(queries: Locator, text: str) -> Locator:
    return queries.get_by_role("listitem").filter(has_text=text).first
