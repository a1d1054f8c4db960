"""Bad input on a running enclave: a clear sentence for the person, a refusal on record, nothing half-done."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import adbc_driver_flightsql.dbapi as flightsql
import pytest
from enclave_test_waiting import wait_for  # type: ignore[import-not-found]

from audit.event import timestamp
from enclave.demo.people import DemoPerson, read_people
from enclave.domain.people import Role
from enclave.extracts.permit_file import parse_permit
from enclave.journey import project_steps
from enclave.journey.browser import Browser, JourneyError
from enclave.journey.context import Context
from enclave.settings import Settings

PERMIT = Path(__file__).resolve().parents[2] / "examples" / "permits" / "gibleed.yaml"


def permit_text(project: str, *replacements: tuple[str, str]) -> str:
    text = re.sub(r"(?m)^project:.*$", f"project: {project}", PERMIT.read_text())
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    return text


async def _walk(enclave: Any, text: str, steps: list[Callable[[Context], Awaitable[str]]]) -> None:
    settings = Settings(home=Path(enclave.info["home"]), port=int(enclave.info["portal"].rsplit(":", 1)[1]))
    people = {person.username: person for person in read_people(settings)}
    browsers: dict[str, Browser] = {}

    async def browser_of(person: DemoPerson) -> Browser:
        if person.username not in browsers:
            opened = Browser(settings, person.username, person.password, person.totp_secret)
            browsers[person.username] = await opened.__aenter__()
            await opened.log_in()
        return browsers[person.username]

    try:
        researcher = await browser_of(people["amelie"])
        by_role = {Role.DATA_STEWARD: "stephane", Role.DATA_PROTECTION_OFFICER: "diane", Role.ADMIN: "adele"}
        context = Context(
            settings=settings,
            permit=parse_permit(text),
            permit_text=text.encode(),
            browsers=browsers,
            researcher=researcher,
            by_role={role: [await browser_of(people[name])] for role, name in by_role.items()} if steps[1:] else {},
        )
        for step in steps:
            await step(context)
    finally:
        for browser in browsers.values():
            await browser.__aexit__()


def walk(enclave: Any, text: str, *steps: Callable[[Context], Awaitable[str]]) -> None:
    """In a thread of its own: the browser tests' event loop occupies this one."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(asyncio.run, _walk(enclave, text, list(steps))).result(timeout=150)


def published(
    enclave: Any, event: str, is_wanted: Callable[[dict[str, Any]], bool], least: int = 1
) -> list[dict[str, Any]]:
    """Records of a kind, at least so many: what is durable is published about a second later."""

    def look() -> list[dict[str, Any]]:
        shown = enclave.command("audit", "show", enclave.info["log_dir"], "--type", event, "--json")
        assert shown.returncode == 0, shown.stderr
        found = [leaf for line in shown.stdout.splitlines() if is_wanted(leaf := json.loads(line)["leaf"])]
        return found if len(found) >= least else []

    return wait_for(look, f"{least} published {event}")


def test_an_expired_permit(enclave: Any) -> None:
    text = permit_text("expired-project", ("expires_on: 2027-12-31", "expires_on: 2020-01-01"))
    with pytest.raises(JourneyError, match="expired on 2020-01-01"):
        walk(enclave, text, project_steps.apply)
    assert published(enclave, "application:refused", lambda leaf: leaf.get("project") == "expired-project")


def test_an_unknown_table_and_an_unknown_column(enclave: Any) -> None:
    text = permit_text(
        "unknown-names", ("  observation_period:", "  observation_periods:"), ("gender_concept_id", "gender_concept")
    )
    with pytest.raises(JourneyError, match="observation_period"):
        walk(enclave, text, project_steps.apply, project_steps.approve, project_steps.provision)
    refused = published(enclave, "extract:refused", lambda leaf: leaf.get("project") == "unknown-names")
    assert refused
    assert refused[0]["decision"] == "deny"
    extracts = Path(enclave.info["home"]) / "projects" / "unknown-names" / "extracts"
    assert [path.name for path in extracts.iterdir() if not path.name.startswith(".lock")] == []


def test_a_tampered_token_and_an_outsider(enclave: Any) -> None:
    began = timestamp(datetime.now(UTC))
    outsider = enclave.command("token", "issue", "--user", "aurore", "--project", enclave.info["project"])
    assert outsider.returncode == 1
    assert "Refused:" in outsider.stderr
    token = enclave.command("token", "issue", "--user", "amelie", "--project", enclave.info["project"]).stdout.strip()
    head, body, signature = token.split(".")
    for broken in (f"{head}.{body[:-2]}AA.{signature}", f"{head}.{body}.{signature[::-1]}", "nonsense"):
        with pytest.raises(flightsql.Error, match="token"):
            enclave.ask(broken)
    assert enclave.ask(token) == 1
    # the driver calls twice with each token, so five records are of three tokens
    assert published(enclave, "token:refused", lambda leaf: leaf["at"] >= began and leaf["actor"] == "unknown", 5)
    assert published(enclave, "token:refused", lambda leaf: leaf["at"] >= began and leaf["actor"] == "system:portal")
