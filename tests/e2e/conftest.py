"""A whole enclave for the browser journeys: ``enclave demo --journey --keep --json`` on a home of its own.

It ends after the last test of this folder; so does the browser with its event loop: the process goes on with others.
Screenshots go to ``ENCLAVE_SCREENSHOTS`` (``make e2e`` sets it to docs/images) or to pytest's temporary folder.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import adbc_driver_flightsql.dbapi as flightsql
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from enclave.journey.browser import totp_code

ENCLAVE = Path(sys.executable).with_name("enclave")
_FOLDER = Path(tempfile.mkdtemp(prefix="e2e"))
_CONFIG = _FOLDER / "enclave.toml"
_CONFIG.write_text(f"port = {8000 + 200 * int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0').removeprefix('gw'))}\n")
os.environ["E2E_CONFIG"] = str(_CONFIG)
"""Settings of all enclaves here: each process of pytest prefers another port, so that two do not take the same one."""
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)
LONG_MS = 60_000
expect.set_options(timeout=30_000)
"""Not Playwright's 5 s: other tests run at the same time."""
_SAMPLE_PERMIT = Path(__file__).resolve().parents[2] / "examples" / "permits" / "gibleed.yaml"


@dataclass(frozen=True)
class RunningEnclave:
    """What the demo's JSON line says, and how to call its command line."""

    info: dict[str, Any]
    people: dict[str, dict[str, Any]]
    environment: dict[str, str]
    output: str

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ENCLAVE, *arguments], env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )

    def ask(self, token: str, sql: str = "SELECT 1", project: str = "") -> int:
        """One number from the gateway by a stock client."""
        socket = Path(self.info["home"]) / "run" / (project or self.info["project"]) / "gateway.sock"
        options = {"adbc.flight.sql.authorization_header": f"Bearer {token}"}
        uri = f"grpc+unix://{socket}"
        with flightsql.connect(uri, db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return int(cursor.fetchone()[0])


def demo_environment(home: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ENCLAVE_")}
    return {**kept, "ENCLAVE_HOME": home, "ENCLAVE_CONFIG": str(_CONFIG)}


def run_journey(home: str, *arguments: str) -> RunningEnclave:
    environment = demo_environment(home)
    command = [ENCLAVE, "demo", "--journey", "--keep", "--json", *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return describe(json.loads(result.stdout.splitlines()[-1]), result.stdout)


def describe(info: dict[str, Any], output: str) -> RunningEnclave:
    people = {row["username"]: row for row in json.loads(Path(info["people_file"]).read_text())}
    port = info["portal"].rsplit(":", 1)[1]
    return RunningEnclave(info, people, {**demo_environment(info["home"]), "ENCLAVE_PORT": port}, output)


@pytest.fixture(scope="package")
def enclave_home() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="en", dir="/tmp") as folder:
        yield folder + "/home"


def permit_with_terminals() -> Path:
    """The sample hospital's, and it allows terminals."""
    file = _FOLDER / "permit.yaml"
    file.write_text(_SAMPLE_PERMIT.read_text().replace("idle_minutes: 120", "idle_minutes: 120, terminals: true"))
    return file


@pytest.fixture(scope="package")
def enclave(enclave_home: str) -> Iterator[RunningEnclave]:
    """A fresh enclave, or the running one whose JSON line is in the file that ``ENCLAVE_E2E_INFO`` names."""
    if info := os.environ.get("ENCLAVE_E2E_INFO"):
        yield describe(json.loads(Path(info).read_text()), "")
        return
    try:
        yield run_journey(enclave_home, "--permit", str(permit_with_terminals()))
    finally:
        subprocess.run(
            [ENCLAVE, "demo", "--stop"],
            env=demo_environment(enclave_home),
            timeout=120,
            check=True,
            capture_output=True,
        )


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    quiet += ["--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=quiet)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chosen = os.environ.get("ENCLAVE_SCREENSHOTS")
    folder = Path(chosen) if chosen else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


_SESSIONS: dict[str, Any] = {}


@dataclass
class Visitor:
    """One person in a browser of their own."""

    page: Page
    context: BrowserContext
    enclave: RunningEnclave
    screenshots: Path
    username: str

    def portal(self, path: str) -> None:
        self.page.goto(self.enclave.info["portal"] + path)

    def log_in(self) -> None:
        """Password and second factor the first time; later visits of a person go on with their session."""
        if self.username in _SESSIONS:
            self.context.add_cookies(_SESSIONS[self.username])
            self.portal("/")
            return
        person = self.enclave.people[self.username]
        self.portal("/accounts/login/")
        self.page.fill("input[name=login]", self.username)
        self.page.fill("input[name=password]", person["password"])
        self.page.press("input[name=password]", "Enter")
        self.page.wait_for_url("**/accounts/2fa/authenticate/**")
        self._give_code(person["totp_secret"])
        expect(self.page, self.page.locator("main").inner_text()).not_to_have_url(re.compile("/accounts/"))
        _SESSIONS[self.username] = self.context.cookies()

    def _give_code(self, secret: str) -> None:
        """A code works once: the journey may have used this one, then a person waits for the next (at most 30 s)."""
        code = totp_code(secret)
        self.page.fill("input[name=code]", code)
        self.page.press("input[name=code]", "Enter")
        self.page.wait_for_load_state()
        deadline = time.monotonic() + 35
        while "/accounts/" in self.page.url and time.monotonic() < deadline:
            if (fresh := totp_code(secret)) != code:
                self.page.fill("input[name=code]", fresh)
                self.page.press("input[name=code]", "Enter")
                return
            self.page.wait_for_timeout(250)

    def shoot(self, name: str, full_page: bool = True) -> None:
        self.page.screenshot(path=self.screenshots / f"{name}.png", full_page=full_page)


class Lab:
    """JupyterLab in a person's workspace, with the panel open."""

    def __init__(self, visitor: Visitor, link: str) -> None:
        """``link``: the words of the portal's link to the workspace."""
        self.page, info, who = visitor.page, visitor.enclave.info, visitor.username
        visitor.log_in()
        visitor.portal(f"/projects/{info['project']}/")
        self.page.get_by_role("link", name=link).click()
        self.page.wait_for_url(re.compile(rf"/user/{who}/{info['project']}/lab"), timeout=LONG_MS)
        self.page.goto(f"{info['hub']}/user/{who}/{info['project']}/lab?reset")
        self.page.locator(".jp-SideBar.jp-mod-left li[data-id='enclave-lab:panel']").click(timeout=LONG_MS)
        self.panel = self.page.locator(".enclave-Panel")
        expect(self.panel).to_be_visible(timeout=LONG_MS)

    def new_notebook(self) -> None:
        self.page.locator(".jp-LauncherCard[data-category=Notebook]").first.click(timeout=LONG_MS)
        self.await_idle()

    def await_idle(self) -> None:
        expect(self.page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=LONG_MS)

    def run(self, code: str) -> None:
        """Into the last cell of the notebook, which is empty, and run it."""
        cell = self.page.locator(".jp-Notebook:visible .jp-CodeCell").last
        cell.locator(".cm-content").click()
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Shift+Enter")

    def output(self, text: str) -> Locator:
        return self.page.locator(".jp-Notebook:visible .jp-OutputArea-output").filter(has_text=text).first

    def fold(self, *names: str) -> None:
        """Close these sections of the panel."""
        for name in names:
            heading = self.panel.get_by_role("heading", name=re.compile(rf"^{name}")).get_by_role("button")
            if heading.get_attribute("aria-expanded") == "true":
                heading.click()
            expect(heading).to_have_attribute("aria-expanded", "false")

    def section(self, name: str) -> Locator:
        return self.panel.get_by_role("region", name=name)

    def choose_theme(self, name: str, *, is_light: str) -> None:
        self.page.get_by_role("menuitem", name="Settings", exact=True).click()
        words = self.page.locator(".lm-Menu-itemLabel")
        words.get_by_text("Theme", exact=True).hover()
        words.get_by_text(name, exact=True).click()
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-light", is_light, timeout=LONG_MS)


@pytest.fixture(scope="session")
def open_lab() -> type[Lab]:
    return Lab


@pytest.fixture
def visit(chromium: Browser, enclave: RunningEnclave, screenshots: Path) -> Iterator[Any]:
    opened: list[BrowserContext] = []

    def open_for(username: str, locale: str = "en-GB") -> Visitor:
        context = chromium.new_context(locale=locale, viewport={"width": 1280, "height": 860})
        context.set_default_timeout(30_000)
        opened.append(context)
        return Visitor(context.new_page(), context, enclave, screenshots, username)

    yield open_for
    for context in opened:
        context.close()


@pytest.fixture(scope="session")
def enclave_command() -> Path:
    return ENCLAVE
