"""The exposure meter: counts what reaches each person's browser, slows it down and stops it, and puts it on record.

EHDS Regulation (EU) 2025/327 art. 73(1)(e): identifiable logs of access. The kernel is hostile, so the edge counts. A
``screen:shown`` record per person and project says how much (never what), at most every five minutes and after the end
of a session; reaching 80, 100 and 150 % of the permit's budget is a record of its own. A record that the audit daemon
does not take stays pending, in the file as well, and is tried again: the gateway's queries are what stops without it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import structlog

from audit.client import AuditUnavailable
from audit.event import AuditEvent
from enclave.domain.events import EventType
from enclave.domain.ids import PROJECT_ID, USERNAME, ProjectId
from enclave.edge.account import Account, Pending
from enclave.edge.archiving import ShownArchive
from enclave.edge.budgets import Budgets
from enclave.edge.exposure import ExposureState
from enclave.edge.throttle import Throttle
from enclave.shown.lines import Head

log = structlog.get_logger()

RECORD_SECONDS = 300.0
_SESSION_END_SECONDS = 60.0
_NEWS_SECONDS = 5.0
SLOW_RATE, SLOW_BURST = 100_000.0, 300_000.0
STOPPED_RATE, STOPPED_BURST = 5_000.0, 50_000.0
_SYSTEM = "system:edge"
_EVENTS = {
    ExposureState.WARNED: EventType.WORKSPACE_EXPOSURE_WARNED,
    ExposureState.SLOWED: EventType.WORKSPACE_EXPOSURE_SLOWED,
    ExposureState.STOPPED: EventType.WORKSPACE_EXPOSURE_STOPPED,
}

Record = Callable[[AuditEvent], object]


def _today() -> date:
    return datetime.now(UTC).date()


class Meter:
    """One per edge. ``record`` blocks until the record is durable and raises AuditUnavailable."""

    def __init__(
        self,
        folder: Path,
        budgets: Budgets,
        record: Record,
        *,
        archive: ShownArchive | None = None,
        today: Callable[[], date] = _today,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._folder = folder
        self._budgets = budgets
        self._record = record
        self.archive = archive
        self._today = today
        self._clock = clock
        self._sleep = sleep
        self._accounts: dict[tuple[str, str], Account] = {}
        self._throttles: dict[tuple[str, bool], Throttle] = {}
        self._tried_at: dict[tuple[str, str], float] = {}

    def account(self, username: str, project: str) -> Account:
        """The account of one person in one project. Raises ValueError for names that no workspace has."""
        key = (project, username)
        if key not in self._accounts:
            if not (PROJECT_ID.fullmatch(project) and USERNAME.fullmatch(username)):
                raise ValueError("expected the names of a person and a project")
            path = self._folder / project / f"{username}.json"
            budget = partial(self._budgets.of, ProjectId(project))
            self._accounts[key] = Account(project, username, path, self._today, budget)
            self._tried_at[key] = self._clock()
        return self._accounts[key]

    def has_terminals(self, account: Account) -> bool:
        """Does the permit allow terminals, as it stands now? One that cannot be read does not."""
        return self._budgets.terms(ProjectId(account.project)).terminals

    async def pace(self, account: Account, size: int) -> None:
        """Wait as long as the person's state asks for before ``size`` bytes go on. One bucket for all their windows."""
        state = account.state()
        if state not in (ExposureState.SLOWED, ExposureState.STOPPED):
            return
        stopped = state is ExposureState.STOPPED
        rates = (STOPPED_RATE, STOPPED_BURST) if stopped else (SLOW_RATE, SLOW_BURST)
        throttle = self._throttles.setdefault((account.username, stopped), Throttle(*rates))
        if (seconds := throttle.delay(size, self._clock())) > 0:
            await self._sleep(seconds)

    def load_pending(self) -> None:
        """After a start: accounts whose last records are still due."""
        for path in sorted(self._folder.glob("*/*.json")):
            try:
                found = json.loads(path.read_bytes())
                if found["pending"] or found["news"]:
                    self.account(found["username"], found["project"])
            except (OSError, ValueError, KeyError, TypeError):
                log.warning("exposure:file-unreadable", file=path.name)

    async def run(self) -> None:
        """Save and record once a second until cancelled."""
        while True:
            await self._sleep(1.0)
            await self.turn()

    async def turn(self, *, last: bool = False) -> None:
        """One turn: write changed files, record what is due (``last``: everything). Does not raise.

        What nobody foresaw about one account keeps no other one, and no later turn, from its record.
        """
        now, log_is_away = self._clock(), False
        await self._close_past_days()
        for key, account in list(self._accounts.items()):
            try:
                if not log_is_away and (last or self._is_due(account, now - self._tried_at[key])):
                    self._tried_at[key] = now
                    log_is_away = not await self._record_pending(account)
                if account.dirty:
                    await self._save(account)
            except Exception:
                log.exception("exposure:turn-failed", project=account.project)

    async def _close_past_days(self) -> None:
        try:
            if self.archive is not None:
                await asyncio.to_thread(self.archive.close_before, self._today())
        except OSError as error:
            log.error("shown-archive:not-closed", error=type(error).__name__)

    @staticmethod
    def _is_due(account: Account, waited: float) -> bool:
        if account.news:
            return waited >= _NEWS_SECONDS
        wait = RECORD_SECONDS if account.sockets else _SESSION_END_SECONDS
        return bool(account.pending) and waited >= wait

    async def _save(self, account: Account) -> None:
        try:
            await asyncio.to_thread(account.save)
        except OSError as error:
            account.dirty = True
            log.error("exposure:not-saved", project=account.project, error=type(error).__name__)

    async def _record_pending(self, account: Account) -> bool:
        """False when the audit log takes nothing; then the others wait for the next turn as well."""
        person = self._budgets.person(account.username) or _SYSTEM
        try:
            while account.news:
                await asyncio.to_thread(self._record, _state_event(account, account.news[0], person))
                account.news.pop(0)
                account.dirty = True
            for what in list(account.pending):
                if what.volume.messages or what.kept:
                    head = await self._committed(account, what.day)
                    await asyncio.to_thread(self._record, _shown_event(account, what, person, head))
                account.recorded(what)
        except AuditUnavailable:
            log.warning("exposure:not-recorded", project=account.project)
            return False
        except OSError as error:
            log.error("shown-archive:not-committed", project=account.project, error=type(error).__name__)
        return True

    async def _committed(self, account: Account, day: date) -> Head | None:
        if self.archive is None:
            return None
        return await asyncio.to_thread(self.archive.commit, account, day.isoformat())


def _shown_event(account: Account, what: Pending, person: str, head: Head | None) -> AuditEvent:
    """``head``: where the archive of that day stands, so that the log commits to every line up to there."""
    volume = what.volume
    archived = {} if head is None else {"archive": head.digest}
    lines = {} if head is None else {"archived": head.lines}
    return AuditEvent(
        type=EventType.SCREEN_SHOWN,
        actor=person,
        project=account.project,
        counts={
            "bytes": volume.bytes,
            "rows": volume.rows,
            "messages": volume.messages,
            "overhead": volume.overhead,
            **lines,
        },
        data={"day": what.day.isoformat(), "digest": what.digest, **archived},
    )


def _state_event(account: Account, state: ExposureState, person: str) -> AuditEvent:
    budget = account.budget()
    return AuditEvent(
        type=_EVENTS[state],
        actor=person,
        project=account.project,
        decision="deny" if state is ExposureState.STOPPED else None,
        counts={
            "shown_bytes": account.shown.shown_bytes,
            "shown_rows": account.shown.rows,
            "budget_bytes": budget.bytes,
            "budget_rows": budget.rows,
        },
        data={"day": account.day.isoformat()},
    )
