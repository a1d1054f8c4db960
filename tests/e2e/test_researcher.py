"""The researcher: logs in with a second factor, opens the workspace, runs a cell with a query, asks for a release."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect


def test_researcher(visit: Any) -> None:
    visitor = visit("amelie")
    page, project = visitor.page, visitor.enclave.info["project"]
    visitor.portal("/accounts/login/")
    visitor.shoot("log-in")
    visitor.log_in()
    visitor.shoot("researcher-home")

    visitor.portal(f"/projects/{project}/")
    visitor.shoot("researcher-project")
    page.get_by_role("link", name="Open workspace").click()
    page.wait_for_url(re.compile(rf"/user/amelie/{project}/lab"), timeout=60_000)
    _open_starter(page, visitor)

    idle = page.get_by_text("Python 3 (ipykernel) | Idle")
    expect(idle).to_be_visible(timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    outputs = page.locator(".jp-OutputArea-output")
    expect(outputs.filter(has_text="first-distribution.csv").first).to_be_visible(timeout=90_000)
    plot = page.locator(".jp-OutputArea-output img").first
    expect(plot).to_be_attached(timeout=30_000)  # JupyterLab hides cells that the window has been scrolled past
    assert plot.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    expect(idle).to_be_visible(timeout=30_000)
    visitor.shoot("researcher-workspace", full_page=False)

    visitor.portal(f"/outputs/new/{project}/")
    page.get_by_label("first-distribution.csv").check()
    page.get_by_label("Title").fill("Ages of the cohort")
    page.get_by_label("Context").fill("Distinct people per group, none under the threshold of the permit.")
    visitor.shoot("researcher-ask-for-release")
    page.get_by_role("button", name="Ask for their release").click()
    expect(page.get_by_role("heading", name="Ages of the cohort")).to_be_visible()
    visitor.shoot("researcher-request")


def _open_starter(page: Any, visitor: Any) -> None:
    files = page.get_by_role("tab", name=re.compile("File Browser"))
    expect(files).to_be_visible(timeout=60_000)
    expect(page.locator("#jp-main-dock-panel .lm-TabBar-tab").first).to_be_visible(timeout=60_000)
    if files.get_attribute("aria-selected") != "true":  # JupyterLab comes back with what was open last
        files.click()
    file = page.get_by_role("listitem", name=re.compile("start-here.ipynb"))
    expect(file.first).to_be_visible(timeout=60_000)
    file.first.dblclick()
    expect(page.locator(".jp-Notebook:visible .jp-CodeCell").first).to_be_visible(timeout=30_000)


def test_the_catalogue_and_a_permit_to_start_from(visit: Any) -> None:
    """Before applying: which data sets there are, their tables and columns, and a draft that names them."""
    visitor = visit("karim")
    visitor.log_in()
    visitor.portal("/datasets/")
    visitor.shoot("researcher-datasets")
    visitor.page.get_by_role("link", name="gibleed").click()
    visitor.page.locator("summary", has_text="condition_era").click()
    expect(visitor.page.get_by_role("cell", name="condition_era_start_date")).to_be_visible()
    visitor.shoot("researcher-dataset")
    with visitor.page.expect_download() as begun:
        visitor.page.get_by_role("link", name="Download a permit to start from").click()
    assert "condition_era_start_date: shift-date" in begun.value.path().read_text().lower()


def test_released_results_are_downloaded_in_the_portal(visit: Any) -> None:
    """The journey's request was released: the researcher finds the files and the receipt."""
    visitor = visit("amelie")
    visitor.log_in()
    visitor.portal("/outputs/")
    visitor.page.locator("tr", has_text="Released").get_by_role("link").first.click()
    with visitor.page.expect_download() as download:
        visitor.page.get_by_role("link", name="Download all").click()
    assert download.value.suggested_filename.endswith(".zip")
    visitor.shoot("researcher-released")


def test_the_pages_speak_french(visit: Any) -> None:
    visitor = visit("amelie", locale="fr-FR")
    visitor.log_in()
    expect(visitor.page.locator("html")).to_have_attribute("lang", "fr")
    visitor.shoot("accueil-chercheuse")
    visitor.portal(f"/projects/{visitor.enclave.info['project']}/")
    expect(visitor.page.get_by_role("link", name="Ouvrir l’espace de travail")).to_be_visible()
    visitor.shoot("projet-chercheuse")
