"""Steps from the log-in to a project space with its extract."""

from __future__ import annotations

import asyncio
import re
import time
from http import HTTPStatus

from enclave.domain.people import Role
from enclave.journey.browser import Browser, JourneyError
from enclave.journey.context import Context
from enclave.journey.forms import Page

_BUILD_SECONDS = 120.0


async def log_in(context: Context) -> str:
    """Everybody, one after the other."""
    for browser in context.browsers.values():
        await browser.log_in()
    return f"{len(context.browsers)} people"


async def apply(context: Context) -> str:
    """Upload the data permit as the researcher."""
    browser = context.researcher
    was_there = (await browser.get(_project_path(context))).status == HTTPStatus.OK
    page = await browser.get("/apply/")
    form = page.form(with_field="permit_file")
    permit = {"permit_file": ("permit.yaml", context.permit_text)}
    page = await browser.submit(page, form, permit, summary=context.permit.purpose)
    if not page.url.rstrip("/").endswith(f"/projects/{context.permit.project}"):
        # the portal may have been restarted after it took the application and before it said so
        there = await browser.get(_project_path(context))
        if not was_there and there.status == HTTPStatus.OK:
            return f"project {context.permit.project} (taken, its answer was lost)"
        raise JourneyError(f"Expected the application's page, found {page.url} (HTTP {page.status}): {words_of(page)}")
    return f"project {context.permit.project}"


async def approve(context: Context) -> str:
    """Two people, each in their role."""
    for role in (Role.DATA_STEWARD, Role.DATA_PROTECTION_OFFICER):
        await decide(context, context.one(role), "approve", role)
    return "two approvals"


async def provision(context: Context) -> str:
    """Order the extract and wait until the project is active."""
    admin = context.one(Role.ADMIN)
    await decide(context, admin, "provision", Role.ADMIN)
    deadline = time.monotonic() + _BUILD_SECONDS
    while time.monotonic() < deadline:
        page = await admin.get(_project_path(context))
        state = state_of(page)
        if state == "active":
            return "extract built, project active"
        if state == "failed":
            raise JourneyError(f"Expected the extract to be built, found a failure: {words_of(page, 'notice')}")
        await asyncio.sleep(0.3)
    raise JourneyError(f"Expected an active project within {_BUILD_SECONDS:.0f} s, found it {state}.")


async def decide(context: Context, browser: Browser, verb: str, role: Role, comment: str = "") -> None:
    """Send the form of a project's page as ``browser``, in ``role``. Raises JourneyError when it is refused."""
    page = await browser.get(_project_path(context))
    form = page.form(action=_project_path(context))
    page = await browser.submit(page, form, to=f"{_project_path(context)}{verb}", as_role=role.value, comment=comment)
    if page.status >= 400:
        raise JourneyError(f"Expected {browser.username} to {verb}, found HTTP {page.status}: {words_of(page)}")


def _project_path(context: Context) -> str:
    return f"/projects/{context.permit.project}/"


def state_of(page: Page) -> str:
    """The state under a page's heading, from the chip's ``data-state``."""
    found = re.search(r'class="lead">.*?data-state="([a-z-]+)"', page.text, flags=re.S)
    return found[1] if found else ""


def words_of(page: Page, css_class: str = "main") -> str:
    """What a person reads on a page, shortened: for the sentence of an error."""
    start = max(page.text.find(css_class), page.text.find("<main"))
    text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", " ", page.text[max(start, 0) :], flags=re.S)
    return " ".join(text.split())[:500]
