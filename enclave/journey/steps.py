"""The main job without a person: apply → approve → extract → workspace → queries → output request → review → release →
download → audit verification, through the same HTTP, WebSocket and Flight interfaces that people and clients use.

Nothing here imports the portal, the gateway or the egress review: it is a client. One line per step with its time; the
first failure ends it with a sentence. A process that is being restarted meanwhile is waited for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from enclave.demo.people import DemoPerson
from enclave.domain.people import Role
from enclave.domain.permits import Permit
from enclave.journey import audit_steps, project_steps, release_steps, seed_steps, workspace_steps
from enclave.journey.browser import Browser, JourneyError
from enclave.journey.context import Context
from enclave.settings import Settings

Step = Callable[[Context], Awaitable[str]]

STEPS: tuple[tuple[str, str, Step], ...] = (
    ("log-in", "Everybody logs in with a second factor", project_steps.log_in),
    ("apply", "The researcher applies with the data permit", project_steps.apply),
    ("approve", "The steward and the data-protection officer approve", project_steps.approve),
    ("provision", "The admin provisions; the extract is built", project_steps.provision),
    ("workspace", "The researcher opens a workspace", workspace_steps.open_workspace),
    ("notebook", "The starter notebook runs from top to bottom", workspace_steps.run_starter),
    ("client", "A stock ADBC client queries from inside the workspace", workspace_steps.run_stock_client),
    ("isolation", "The workspace finds no network", workspace_steps.find_no_network),
    ("request", "The researcher asks for a release", release_steps.find_request),
    ("own-review", "The requester may not review", release_steps.refuse_own_review),
    ("review", "Two output checkers approve", release_steps.review),
    ("release", "The result is released with a signed receipt", release_steps.await_release),
    ("download", "The researcher downloads it; hashes and receipt hold", release_steps.download),
    ("auditor", "The auditor finds the query and its proof", audit_steps.find_query),
    ("verify", "The whole log is verified offline", audit_steps.verify_log),
)


SEED_STEPS: tuple[tuple[str, str, Step], ...] = (
    *STEPS[:10],
    ("seed", "Further projects, one in each state", seed_steps.seed_states),
)
"""For ``make dev``: up to an output request that waits for review, then projects in every other state."""


class Journey:
    """The journey on one running enclave; ``steps`` is what is done, in order."""

    def __init__(
        self,
        settings: Settings,
        permit: Permit,
        permit_file: Path,
        people: tuple[DemoPerson, ...],
        steps: tuple[tuple[str, str, Step], ...] = STEPS,
    ) -> None:
        self._settings = settings
        self._permit = permit
        self._permit_file = permit_file
        self._people = people
        self._steps = steps

    async def run(self, say: Callable[[str], None], should_stop: Callable[[], bool]) -> None:
        """Go through the steps. Raises JourneyError on the first that fails, or when told to stop."""
        async with AsyncExitStack() as stack:
            context = await self._open(stack)
            for _, sentence, step in self._steps:
                started = time.monotonic()
                detail = await _unless_stopped(step(context), should_stop, sentence)
                say(f"  ✓ {sentence:58} {time.monotonic() - started:6.1f} s  {detail}")

    async def _open(self, stack: AsyncExitStack) -> Context:
        browsers: dict[str, Browser] = {}
        for person in self._people:
            browser = Browser(self._settings, person.username, person.password, person.totp_secret)
            browsers[person.username] = await stack.enter_async_context(browser)
        return Context(
            settings=self._settings,
            permit=self._permit,
            permit_text=self._permit_file.read_bytes(),
            browsers=browsers,
            researcher=browsers[self._permit.researchers[0]],
            by_role={role: [browsers[p.username] for p in self._people if role in p.roles] for role in Role},
        )


async def _unless_stopped(work: Awaitable[str], should_stop: Callable[[], bool], sentence: str) -> str:
    task = asyncio.ensure_future(work)
    while not task.done():
        await asyncio.wait({task}, timeout=0.2)
        if should_stop() and not task.done():
            task.cancel()
            raise JourneyError(f"Interrupted at: {sentence}.")
    try:
        return task.result()
    except LookupError as error:
        raise JourneyError(f"{sentence}: {error}") from error
    except JourneyError as error:
        raise JourneyError(f"{sentence}: {error}") from error
