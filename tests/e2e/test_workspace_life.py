"""The end of a workspace is said ten minutes before, in both languages; "Keep it going" moves it. Refused starts."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

LONG_MS = 60_000
STATIC = Path(__file__).resolve().parents[2] / "workspace_images" / "lab" / "enclave-lab" / "static"
ENDS = {"ends_at": "2026-01-15T20:00:00+00:00", "idle_minutes": 120, "idle_ends_at": "2026-01-15T12:00:00+00:00"}
CASES: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "long before": (ENDS, "11:49:59", None),
    "ten minutes before": (ENDS, "11:50:00", "idle"),
    "just before": (ENDS, "11:59:59", "idle"),
    "over, so a cell is running": (ENDS, "12:00:00", None),
    "the hours are nearly over": (ENDS, "19:55:00", "hours"),
    "hours before idleness": ({**ENDS, "ends_at": ENDS["idle_ends_at"]}, "11:55:00", "hours"),
    "not counted yet": ({**ENDS, "idle_ends_at": None}, "11:55:00", None),
    "the hub has not said anything": ({}, "11:55:00", None),
}


@pytest.fixture(scope="module")
def rule(chromium: Browser) -> Any:
    """``findEnd`` of the panel, as the browser runs it; the clock is an argument."""
    context = chromium.new_context()
    page = context.new_page()

    def serve(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        kind = "text/javascript" if name.endswith(".js") else "text/html"
        route.fulfill(body=(STATIC / name).read_text() if name else "<!doctype html>", content_type=kind)

    page.route("http://panel.localhost/**", serve)
    page.goto("http://panel.localhost/")
    code = "([limits, now]) => import('/life.js').then((life) => life.findEnd(limits, Date.parse(now)))"
    yield lambda limits, now: page.evaluate(code, [limits, now])
    context.close()


@pytest.mark.parametrize("case", CASES)
def test_an_end_is_near_from_ten_minutes_before(rule: Any, case: str) -> None:
    limits, time, expected = CASES[case]
    found = rule(limits, f"2026-01-15T{time}Z")
    assert (found["kind"] if found else None) == expected


@pytest.mark.parametrize(
    ("locale", "link", "warning", "keep", "kept", "picture", "dark"),
    [
        ("en-GB", "Open workspace", "It ends at", "Keep it going", "goes on", "workspace-ends-soon", ""),
        (
            "fr-FR",
            "Ouvrir l’espace de travail",
            "il se ferme à",
            "Le garder ouvert",
            "reste ouvert",
            "espace-se-ferme-bientot",
            "JupyterLab Dark",
        ),
    ],
)
def test_the_end_is_said_and_can_be_moved(
    visit: Any, open_lab: Any, locale: str, link: str, warning: str, keep: str, kept: str, picture: str, dark: str
) -> None:
    """The browser's clock is set to eight minutes before the idle end; everything else is as it always is."""
    visitor = visit("amelie", locale=locale)
    lab = open_lab(visitor, link)
    page: Page = visitor.page
    if dark:
        lab.choose_theme(dark, is_light="false")
    before = idle_end(page)
    page.clock.set_system_time(before - timedelta(minutes=8))
    notice = page.locator(".Toastify__toast").filter(has_text=warning)
    expect(notice).to_be_visible(timeout=LONG_MS)
    notice.evaluate(STANDS_STILL)
    visitor.shoot(picture, full_page=False)
    notice.get_by_role("button", name=keep).click()
    expect(page.locator(".Toastify__toast").filter(has_text=kept)).to_be_visible(timeout=LONG_MS)
    page.wait_for_function(LATER, arg=before.isoformat(), timeout=LONG_MS, polling=500)
    if dark:
        lab.choose_theme("JupyterLab Light", is_light="true")


STANDS_STILL = """async (element) => {
    const ends = (one) => one.effect.getComputedTiming().endTime < 1e6;
    await Promise.allSettled(element.getAnimations({ subtree: true }).filter(ends).map((one) => one.finished));
}"""
LIMITS = "fetch(location.pathname.replace(/lab.*/, '') + 'enclave/limits').then((answer) => answer.json())"
LATER = f"(before) => {LIMITS}.then((limits) => Date.parse(limits.idle_ends_at) > Date.parse(before))"


def idle_end(page: Page) -> datetime:
    """The hub writes it at its first look after somebody did something."""
    page.wait_for_function(f"() => {LIMITS}.then((limits) => limits.idle_ends_at)", timeout=LONG_MS, polling=500)
    return datetime.fromisoformat(page.evaluate(LIMITS)["idle_ends_at"])


@pytest.mark.parametrize(
    ("locale", "title", "sentence", "picture"),
    [
        ("en-GB", "The workspace is not open", "There is no project", "workspace-refused"),
        ("fr-FR", "L'espace de travail n'est pas ouvert", "Il n’y a pas de projet", "espace-refuse"),
    ],
)
def test_a_refused_start_says_why(visit: Any, locale: str, title: str, sentence: str, picture: str) -> None:
    """Each reason: tests/unit/workspaces/test_obstacles.py and tests/integration/portal/test_interfaces.py."""
    visitor = visit("amelie", locale=locale)
    visitor.log_in()
    visitor.page.goto(f"{visitor.enclave.info['hub']}/hub/spawn/amelie/no-such-project")
    expect(visitor.page.get_by_role("heading", name=title)).to_be_visible(timeout=LONG_MS)
    expect(visitor.page.locator("main, #main, body").first).to_contain_text(sentence)
    visitor.shoot(picture, full_page=False)
