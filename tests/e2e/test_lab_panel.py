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
MANY_LINES = """import time
from IPython.display import clear_output
for part in range(20):
    clear_output(wait=True)
    print("\\n".join(f"{n:,}" for n in range(part * 20_000, (part + 1) * 20_000)))
    time.sleep(0.2)  # au-delà d'un mégaoctet par seconde, Jupyter jette
clear_output(wait=True)
print("400 000 lignes lues")"""


def test_panel(visit: Any, open_lab: Any) -> None:
    visitor = visit("amelie")
    page: Page = visitor.page
    lab = open_lab(visitor, "Open workspace")
    panel: Locator = lab.panel
    lab.new_notebook()

    expect(panel.get_by_text("Data permit until")).to_be_visible()
    panel.get_by_role("searchbox").fill("gender")
    expect(panel.get_by_role("button", name=re.compile("^gender_concept_id"))).to_be_visible()
    panel.get_by_role("searchbox").fill("")
    panel.get_by_role("button", name="Put a query on person into the notebook").click()
    expect(page.locator(".jp-Notebook .cm-content").first).to_contain_text("FROM person")
    page.keyboard.press("Shift+Enter")
    queries = lab.section("Queries")
    expect(_query(queries, "FROM person").filter(has_text="done")).to_be_visible(timeout=LONG_MS)

    lab.run(TOO_LONG)
    running = _query(queries, "person d")
    expect(running).to_contain_text("running", timeout=LONG_MS)
    lab.fold("Project")
    page.locator(".jp-NotebookPanel-toolbar").hover()
    visitor.shoot("researcher-panel-queries", full_page=False)
    running.get_by_role("button", name="Stop this query").click()
    expect(running).to_contain_text("stopped", timeout=LONG_MS)
    expect(lab.output("stopped")).to_be_visible(timeout=LONG_MS)

    address = _release(visitor, lab)
    _next_version(visitor, lab, visit("stephane"), address)


def _release(visitor: Any, lab: Any) -> str:
    outbox = lab.section("Outbox")
    lab.run(SAVE.format(count=4))
    file = outbox.get_by_role("listitem").filter(has_text="counts.csv").first
    expect(file).to_contain_text("must be justified", timeout=LONG_MS)
    outbox.get_by_label(re.compile("^counts.csv")).check()
    lab.fold("Tables")
    outbox.get_by_label("Title").scroll_into_view_if_needed()
    visitor.shoot("researcher-panel-outbox", full_page=False)
    lab.run(SAVE.format(count=1321))
    expect(file).to_contain_text("no remark", timeout=LONG_MS)

    expect(outbox.get_by_label(re.compile("^counts.csv"))).to_be_checked()
    outbox.get_by_label("Title").fill("Patients by sex")
    outbox.get_by_label("Context").fill("Distinct people of the cohort by recorded sex.")
    outbox.get_by_role("button", name="Ask for release").click()
    expect(outbox.get_by_text("Two reviewers now look at exactly these files")).to_be_visible(timeout=LONG_MS)
    visitor.shoot("researcher-panel-asked", full_page=False)
    return str(outbox.locator(".enclave-address").inner_text())


def _next_version(visitor: Any, lab: Any, steward: Any, address: str) -> None:
    """Sent back by a reviewer: once the file has changed, the panel offers to make the next version."""
    steward.log_in()
    steward.page.goto(address)
    steward.page.get_by_label("Comment").fill("Please count the others as well.")
    steward.page.get_by_role("button", name="Ask for changes").click()
    expect(steward.page.locator('.lead [data-state="returned"]')).to_be_visible()
    outbox = lab.section("Outbox")
    lab.run(SAVE.format(count=1322))
    outbox.get_by_label("New version of").select_option(label="Patients by sex (version 1)", timeout=LONG_MS)
    expect(outbox.get_by_label("Title")).to_have_value("Patients by sex")
    outbox.get_by_label(re.compile("^counts.csv")).check()
    outbox.get_by_role("button", name="Ask for release").click()
    expect(outbox.locator(".enclave-address")).not_to_have_text(address, timeout=LONG_MS)
    steward.page.goto(outbox.locator(".enclave-address").inner_text())
    expect(steward.page.locator(".diff-added", has_text="M,1322")).to_be_visible()


def test_panel_speaks_french_and_works_in_the_dark(visit: Any, open_lab: Any) -> None:
    visitor = visit("amelie", locale="fr-FR")
    page = visitor.page
    lab = open_lab(visitor, "Ouvrir l’espace de travail")
    panel = lab.panel
    expect(panel.get_by_text("Permis de données jusqu’au")).to_be_visible()
    lab.new_notebook()
    person = panel.get_by_role("button", name=re.compile("^person "))
    person.focus()
    page.keyboard.press("Enter")
    expect(person).to_have_attribute("aria-expanded", "true")
    expect(panel.get_by_role("button", name=re.compile("^person_id .*pseudonyme")).filter(visible=True)).to_be_visible()
    lab.run(MANY_LINES)
    expect(lab.output("400 000 lignes lues")).to_be_visible(timeout=LONG_MS)
    lab.fold("Projet")
    gauge = panel.get_by_role("meter", name="Affiché à l’écran aujourd’hui")
    expect(gauge).to_have_attribute("aria-valuenow", re.compile(r"^[2-9]\d$"), timeout=LONG_MS)  # of 2,000,000 rows
    page.locator(".jp-NotebookPanel-toolbar").hover()
    visitor.shoot("panneau-chercheuse", full_page=False)
    lab.choose_theme("JupyterLab Dark", is_light="false")
    lab.fold("Tables", "Requêtes")
    panel.evaluate("node => node.scrollTo(0, node.scrollHeight)")
    page.locator(".jp-NotebookPanel-toolbar").hover()
    visitor.shoot("panneau-chercheuse-sombre", full_page=False)
    lab.choose_theme("JupyterLab Light", is_light="true")


def _query(queries: Locator, text: str) -> Locator:
    return queries.get_by_role("listitem").filter(has_text=text).first
