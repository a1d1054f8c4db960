"""Chromium shows hostile outputs through the real edge: which of these ways reach a stand-in internet on loopback?

A look-up of a name counts as well as a request (Chromium's own network log). The same outputs on a page without our
headers and cleaning are the positive control: a way that does not work there proves nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from beacons import FROM_KERNEL, KINDS, PAGE, RENDERER, Outside, bundles, showing  # type: ignore[import-not-found]
from enclave_test_stand import wait_for  # type: ignore[import-not-found]
from kernel_messages import frame, message  # type: ignore[import-not-found]
from playwright.sync_api import BrowserContext, Page, sync_playwright
from stand_in_workspace import StandInWorkspace  # type: ignore[import-not-found]

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update"]
QUIET += ["--disable-sync", "--disable-popup-blocking", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE *.localhost"]
PREDICTING = ["--disable-background-networking"]
"""Playwright's own option that would turn look-ups and connections ahead of time off: the ways we are after."""
BY_NAME_ONLY = {"link-dns-prefetch", "link-preconnect", "iframe", "form"}
"""No content policy stops these from looking a name up or opening an empty connection (Chromium prepares a navigation
before it asks the policy); only cleaning does."""


@dataclass
class Found:
    """Kinds that reached the outside, by mode (control, kernel, server), and what else happened."""

    reached: dict[str, set[str]]
    """By a request, a connection or the look-up of a name."""
    requested: dict[str, set[str]]
    """By a request that arrived."""
    popups: dict[str, int]
    plots: int
    navigated: bool


def let_in(context: BrowserContext, workspace: Any) -> None:
    name, _, value = workspace.pass_cookie().partition("=")
    context.add_cookies([{"name": name, "value": value, "url": workspace.origin}])


def show(context: BrowserContext, address: str, popups: dict[str, int], mode: str) -> Page:
    page = context.new_page()
    page.on("popup", lambda _: popups.__setitem__(mode, popups.get(mode, 0) + 1))
    page.goto(address)
    page.wait_for_function(f"window.shown >= {len(KINDS)}", timeout=60_000)
    page.wait_for_load_state("networkidle", timeout=60_000)
    return page


def kernel_frames(port: int) -> list[str]:
    given = [frame(message("display_data", {"data": data, "metadata": {}}), "text") for data in bundles("k", port)]
    plot = '<img class="plot" src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=">'
    svg = '<svg class="plot" viewBox="0 0 9 9"><path d="M0 0L9 9"></path></svg>'
    return [str(frame(message("display_data", {"data": {"text/html": plot + svg}}), "text")), *map(str, given)]


@pytest.fixture(scope="module")
def found(edge: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    outside, log = Outside(), tmp_path_factory.mktemp("chromium") / "net.json"
    popups: dict[str, int] = {}
    with StandInWorkspace(edge, "alice", "study-one") as cell, StandInWorkspace(edge, "mallory", "study-two") as server:
        for workspace in (cell, server):
            script = f"{workspace.prefix}/static/probe.js"
            workspace.pages["/lab"] = ("text/html", PAGE.format(script=script).encode())
        cell.pages["/static/probe.js"] = ("text/javascript", (RENDERER + FROM_KERNEL).encode())
        cell.frames = kernel_frames(outside.port)
        server.pages["/static/probe.js"] = ("text/javascript", showing("s", outside.port).encode())
        outside.control = showing("c", outside.port)
        with sync_playwright() as playwright:
            arguments = [*QUIET, f"--log-net-log={log}"]
            context = playwright.chromium.launch_persistent_context(
                str(log.parent / "profile"),
                executable_path="/usr/bin/chromium",
                args=arguments,
                ignore_default_args=PREDICTING,
            )
            for workspace in (cell, server):
                let_in(context, workspace)
            show(context, f"http://control.localhost:{outside.port}/control.html", popups, "c")
            page = show(context, f"{cell.origin}{cell.prefix}/lab", popups, "k")
            plots = page.locator(".plot").count()
            show(context, f"{server.origin}{server.prefix}/lab", popups, "s")
            navigated = "beacon.localhost" in page.url
            wait_for(lambda: len([host for host in outside.hosts if host.startswith("c")]) > 20, "the control page")
            context.close()
    outside.shutdown()
    outside.server_close()
    wait_for(lambda: log.exists() and log.read_text().rstrip().endswith("}"), "Chromium's network log")
    arrived = {host for host in outside.hosts if host.endswith(".beacon.localhost")}
    named = set(re.findall(r"\b[cks]\d+\.beacon\.localhost", log.read_text()))
    yield Found(by_mode(arrived | named), by_mode(arrived), popups, plots, navigated)


def by_mode(hosts: set[str]) -> dict[str, set[str]]:
    names = [host.partition(".")[0] for host in hosts]
    return {mode: {KINDS[int(name[1:])] for name in names if name[0] == mode} for mode in "cks"}


@pytest.mark.parametrize("kind", KINDS)
def test_positive_control_the_way_works_without_us(found: Found, kind: str) -> None:
    assert kind in found.reached["c"]


def test_no_output_of_a_kernel_reaches_anybody(found: Found) -> None:
    assert found.reached["k"] == set()
    assert not found.navigated


def test_a_replaced_server_reaches_nobody_but_through_names(found: Found) -> None:
    """Cleaning does not cover scripts that a server of the researcher's own making sends; the content policy does."""
    assert found.requested["s"] == set()
    assert found.reached["s"] <= BY_NAME_ONLY


def test_no_window_opens(found: Found) -> None:
    assert found.popups.get("c", 0) >= 1
    assert found.popups.get("k", 0) == found.popups.get("s", 0) == 0


def test_plots_are_still_shown(found: Found) -> None:
    assert found.plots == 2
