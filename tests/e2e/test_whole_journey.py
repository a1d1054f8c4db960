"""A researcher's whole way in chromium: query, plot, Dask, a crash, a finding, a request, two reviews, the download."""

from __future__ import annotations

import re
import time
import zipfile
from typing import Any

from playwright.sync_api import Locator, Page, WebSocket, expect

LONG_MS = 60_000
NOTEBOOK = "conditions.ipynb"
TITLE = "Most frequent conditions"
QUERY = """import enclave_client as enclave
conditions = enclave.sql(\"\"\"
    SELECT concept_name AS condition, count(DISTINCT person_id) AS people
    FROM condition_occurrence JOIN concept ON concept_id = condition_concept_id
    GROUP BY ALL HAVING people >= 11 ORDER BY people DESC LIMIT 8
\"\"\").df()
conditions"""
PLOT = """import matplotlib.pyplot as plt
figure, axes = plt.subplots(figsize=(7, 2.6))
axes.barh(conditions["condition"][::-1], conditions["people"][::-1], color="#0b5c6b")
axes.set_xlabel("people")
axes.spines[["top", "right"]].set_visible(False)
plt.show()"""
DASK = """from enclave_client import dask as enclave_dask
with enclave_dask.client(2) as cluster:
    workers = len(cluster.scheduler_info()["workers"])
    drugs = enclave_dask.table("drug_exposure", parts=4)
    by_drug = drugs.groupby("drug_concept_id").size().compute()
total = enclave.sql("SELECT count(*) AS n FROM drug_exposure").df()["n"][0]
print(workers, "workers,", len(by_drug), "drugs, sum as in SQL:", by_drug.sum() == total)"""
PEOPLE = "import enclave_client as e; print('people:', e.sql('SELECT count(*) AS n FROM person').df()['n'][0])"
CRASH = "import os\nos.kill(os.getpid(), 9)"
RESULT = """from pathlib import Path
lines = ["condition,people", "Gastrointestinal bleeding,479", "Rare condition,4"]
_ = Path.home().joinpath("outbox", "conditions.csv").write_text("\\n".join(lines) + "\\n")"""


def test_the_whole_way_of_a_researcher(visit: Any, open_lab: Any) -> None:
    visitor = visit("amelie")
    lab = open_lab(visitor, "Open workspace")
    lab.new_notebook()
    _analyse(visitor, lab)
    _crash(visitor, lab)
    _terminal(visitor, lab)
    _ask(visitor, lab)
    address = _find_in_the_portal(visitor)
    _review(visit, address)
    _download(visitor, address)


def _analyse(visitor: Any, lab: Any) -> None:
    lab.run(QUERY)
    expect(lab.page.locator(".jp-Notebook:visible .jp-RenderedHTML table")).to_be_visible(timeout=LONG_MS)
    lab.run(PLOT)
    plot = lab.page.locator(".jp-Notebook:visible .jp-RenderedImage img")
    expect(plot).to_be_visible(timeout=LONG_MS)
    assert plot.evaluate("image => image.naturalWidth") > 300
    lab.fold("Tables", "Queries")
    plot.scroll_into_view_if_needed()
    visitor.shoot("journey-query-and-plot", full_page=False)
    lab.run(DASK)
    expect(lab.output("sum as in SQL: True")).to_contain_text("2 workers", timeout=LONG_MS)
    lab.await_idle()
    visitor.shoot("journey-dask", full_page=False)


def _crash(visitor: Any, lab: Any) -> None:
    """JupyterLab says that the kernel died, starts another; the saved notebook is there with its outputs."""
    page: Page = lab.page
    page.keyboard.press("Control+s")
    naming = page.get_by_role("dialog").filter(has_text="Rename file")
    naming.locator("input[type=text]").fill(NOTEBOOK)
    naming.get_by_role("button", name="Rename and Save").click()
    tab = page.locator("#jp-main-dock-panel .lm-TabBar-tab.lm-mod-current")
    expect(tab).to_contain_text(NOTEBOOK)
    expect(tab).not_to_have_class(re.compile("jp-mod-dirty"), timeout=LONG_MS)
    lab.run(CRASH)
    dialog = page.get_by_role("dialog").filter(has_text="restart automatically")
    expect(dialog).to_be_visible(timeout=LONG_MS)
    visitor.shoot("journey-kernel-died", full_page=False)
    dialog.get_by_role("button", name="Ok").click()
    lab.run("print('conditions' in globals())")
    expect(lab.output("False")).to_be_visible(timeout=LONG_MS)
    page.goto(re.sub(r"/lab.*", f"/lab/tree/{NOTEBOOK}?reset", page.url))
    expect(page.locator(".jp-Notebook:visible .jp-RenderedImage img")).to_be_visible(timeout=LONG_MS)
    expect(lab.output("sum as in SQL: True")).to_be_visible()
    page.locator(".jp-SideBar.jp-mod-left li[data-id='enclave-lab:panel']").click()
    lab.await_idle()


def _terminal(visitor: Any, lab: Any) -> None:
    """The permit allows terminals, so the launcher offers them; a program in one reaches the data as a notebook."""
    page: Page = lab.page
    shown: list[str] = []  # what is on the canvas cannot be asked for; what came over the channel can

    def listen(socket: WebSocket) -> None:
        if "/terminals/websocket/" in socket.url:
            socket.on("framereceived", lambda data: shown.append(str(data)))

    page.on("websocket", listen)
    page.get_by_role("button", name="New Launcher").click()
    page.locator(".jp-LauncherCard", has_text="Terminal").click(timeout=LONG_MS)
    _await_shown(page, shown, r"\$ ")
    page.locator(".jp-Terminal:visible").click()
    page.keyboard.insert_text(f'python -c "{PEOPLE}"')
    page.keyboard.press("Enter")
    _await_shown(page, shown, r"people: 2394.*\$ ")
    visitor.shoot("journey-terminal", full_page=False)
    page.keyboard.insert_text("exit")
    page.keyboard.press("Enter")
    expect(page.locator(".jp-Terminal")).to_have_count(0, timeout=LONG_MS)


def _await_shown(page: Page, shown: list[str], pattern: str) -> None:
    deadline = time.monotonic() + LONG_MS / 1000
    while not re.search(pattern, "".join(shown)):
        assert time.monotonic() < deadline, f"expected {pattern}, found {shown[-20:]}"
        page.wait_for_timeout(100)


def _ask(visitor: Any, lab: Any) -> None:
    lab.run(RESULT)
    outbox: Locator = lab.section("Outbox")
    file = outbox.get_by_role("listitem").filter(has_text="conditions.csv").first
    expect(file).to_contain_text("must be justified", timeout=LONG_MS)
    outbox.get_by_label(re.compile("^conditions.csv")).check()
    lab.fold("Project")
    outbox.get_by_label("Title").fill(TITLE)
    outbox.get_by_label("Context").fill("Distinct people per condition; the last line is rare on purpose.")
    outbox.get_by_role("button", name="Ask for release").scroll_into_view_if_needed()
    visitor.shoot("journey-finding", full_page=False)
    outbox.get_by_role("button", name="Ask for release").click()
    expect(outbox.get_by_text("Two reviewers now look at exactly these files")).to_be_visible(timeout=LONG_MS)


def _find_in_the_portal(visitor: Any) -> str:
    visitor.portal("/outputs/")
    visitor.page.get_by_role("link", name=TITLE).first.click()
    expect(visitor.page.get_by_role("heading", name=TITLE)).to_be_visible()
    visitor.shoot("journey-request")
    return str(visitor.page.url)


def _review(visit: Any, address: str) -> None:
    for username in ("stephane", "sofia"):
        reviewer = visit(username)
        reviewer.log_in()
        reviewer.page.goto(address)
        words = "Four people, but the condition is common elsewhere and nobody can be told from it."
        reviewer.page.get_by_label("Comment").or_(reviewer.page.get_by_label("Justification or reason")).fill(words)
        reviewer.page.get_by_role("button", name="Approve exactly these files").click()
        decided = '.lead [data-state="in-review"], .lead [data-state="approved"], .lead [data-state="released"]'
        expect(reviewer.page.locator(decided)).to_be_visible()


def _download(visitor: Any, address: str) -> None:
    page: Page = visitor.page
    released = page.locator('.lead [data-state="released"]')
    for _ in range(120):
        page.goto(address)
        if released.count():
            break
        page.wait_for_timeout(250)
    expect(released).to_be_visible()
    visitor.shoot("journey-released")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.read("files/conditions.csv").decode().splitlines()[-1] == "Rare condition,4"
        assert "receipt.jws" in archive.namelist()
