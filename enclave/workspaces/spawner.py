"""One workspace = one host process with a sandbox for JupyterLab and one per kernel, started on the portal's word.

What the workspace gets of the outside: its listening socket as a descriptor, and ``/run/enclave`` with the gateway's
socket and its token, renewed half-way through its time. It gets no way to the hub (ADR 0004). It outlives a hub that is
killed or restarted: the next one finds its host again and goes on (ADR 0014). A token that the portal will not renew
means the person or the project was revoked: the workspace ends at once.
"""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from jupyterhub.spawner import Spawner, SpawnException

from enclave.domain.decisions import RefusedError
from enclave.domain.ids import PROJECT_ID, USERNAME, ProjectId, Username, WorkspaceId
from enclave.domain.workspaces import WorkspaceGrant
from enclave.metering.ledger import begin_ledger
from enclave.sandbox import SandboxError
from enclave.settings import Settings, get_settings
from enclave.workspaces import launch
from enclave.workspaces.bookkeeping import bookkeeping
from enclave.workspaces.ending import clear
from enclave.workspaces.engines import check_engine
from enclave.workspaces.host import NO_SANDBOX
from enclave.workspaces.host_process import HostIdentity, HostProcess
from enclave.workspaces.hub_words import WORDS, preferred_language
from enclave.workspaces.idleness import Idleness
from enclave.workspaces.limit_notes import FOLDER
from enclave.workspaces.limit_records import limit_records
from enclave.workspaces.limits import write_limits
from enclave.workspaces.obstacles import (
    FAILURES,
    SENTENCES,
    EndedAtOnceError,
    RevokedError,
    check_space,
    obstacle_of,
    refusal,
)
from enclave.workspaces.opening import write_first_notebook
from enclave.workspaces.planning import Opening, plan_host
from enclave.workspaces.services import PartnerAwayError, Partners, answers
from enclave.workspaces.shared_opening import note_fill, open_shared
from enclave.workspaces.standing import KILL_SECONDS, STOP_SECONDS, Standing
from enclave.workspaces.start_records import StartRecords

_RETRY_SECONDS = 5.0
_START_SECONDS = 75.0
_ENDING = ThreadPoolExecutor(max_workers=64, thread_name_prefix="ending")
"""Threads that do nothing else: a Docker daemon that hangs, for instance, keeps nobody from being put out."""


class WorkspaceSpawner(Spawner):  # type: ignore[misc]  # JupyterHub ships no types
    """See the module. ``self.name`` (the server's name) is the project id."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._settings: Settings = get_settings()
        self._partners = Partners(self._settings)
        self._standing = Standing(self._settings)
        self._records = StartRecords(self._settings)
        self._workspace: WorkspaceId | None = None
        self._host: HostProcess | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._idle_minutes = 0
        self._token_seconds = 0
        self._ends_at = 0.0
        self._idleness = Idleness(self._partners)

    async def start(self) -> str:
        """Ask, prepare, start; returns the URL of the workspace's socket. Raises SpawnException with sentences."""
        project, username = self._names()
        language = preferred_language(self.handler, self._settings.site_language)
        try:
            grant = await self._partners.start_workspace(username, project, language)
        except RefusedError as error:  # the portal has recorded it
            raise refusal(" ".join(error.reasons), "refused", 403) from error
        except PartnerAwayError as error:
            raise await self._not_started(error, username, project, language) from error
        self._workspace = grant.workspace
        places = launch.Places(self._settings.root, grant.workspace)
        try:
            await self._launch(grant, project, username, places, language)
            await self._wait_until_ready(places)
        except FAILURES as error:
            raise await self._not_started(error, username, project, language) from error
        self._renewal = asyncio.create_task(self._keep_token_fresh(places, grant.token_seconds / 2))
        return places.url

    async def _not_started(
        self, error: Exception, username: Username, project: ProjectId, language: str
    ) -> SpawnException:
        """Record what was in the way; the exception with the sentence for the researcher."""
        obstacle = obstacle_of(error)
        self.log.error("workspace not started: %s (%s)", obstacle.value, error)
        await self._records.not_started(username, project, self._workspace, obstacle)
        said = error.said if isinstance(error, PartnerAwayError) else ()
        sentence = " ".join(said) or SENTENCES[obstacle][language]
        return refusal(sentence, obstacle.value, 503)

    def _names(self) -> tuple[ProjectId, Username]:
        if not (PROJECT_ID.fullmatch(self.name or "") and USERNAME.fullmatch(self.user.name)):
            language = preferred_language(self.handler, self._settings.site_language)
            raise refusal(WORDS[language]["no-project"], "no-project", 400)
        return ProjectId(self.name), Username(self.user.name)

    async def _launch(
        self, grant: WorkspaceGrant, project: ProjectId, username: Username, places: launch.Places, language: str
    ) -> None:
        settings = self._settings
        await asyncio.to_thread(check_engine, settings)
        check_space(settings)
        uid = launch.allocate_uid(settings, project, username)
        fill = partial(write_first_notebook, settings, project, username, uid)
        home = await asyncio.to_thread(launch.prepare_home, settings, project, username, uid, fill)
        places.create()
        places.write_token(grant.token)
        await self._partners.open_gateway(grant.workspace, project, grant.person)
        self._idle_minutes = grant.idle_minutes
        self._token_seconds = grant.token_seconds
        shared = await asyncio.to_thread(open_shared, grant, project, home, language)
        self._ends_at = time.time() + grant.hours * 3600
        write_limits(places.inside, self._ends_at, self._idle_minutes, None)
        usage = begin_ledger(settings.metering_dir, project, grant.workspace, grant.person)
        base_url = self.server.base_url
        opening = Opening(grant, project, username, base_url, places, home, uid, shared, self._ends_at, usage, language)
        with launch.listen(places) as listening:
            plan = plan_host(settings, opening, listening.fileno())
            self._host = await asyncio.to_thread(HostProcess.start, plan, listening.fileno())

    async def _wait_until_ready(self, places: launch.Places) -> None:
        """Until JupyterLab answers on its socket; a server that ends first is told at once, not after a timeout.

        Nobody looks after a workspace that starts, so who is revoked meanwhile is found here.
        Raises EndedAtOnceError, RevokedError, SandboxError.
        """
        ends = time.monotonic() + _START_SECONDS
        while time.monotonic() < ends:
            if (objection := self._find_objection()) is not None:
                raise RevokedError(objection)
            if not self._is_running():
                self.log.error("workspace server ended; its log: %r", launch.log_tail(places))
                if self._host is not None and self._host.exit_code() == NO_SANDBOX:
                    raise SandboxError("The workspace's host could not make a sandbox.")
                raise EndedAtOnceError("The workspace's server ended before it answered.")
            if await answers(places.listening_socket, f"{self.server.base_url}api"):
                return
        raise EndedAtOnceError(f"The workspace's server did not answer within {_START_SECONDS:.0f} s.")

    async def _keep_token_fresh(self, places: launch.Places, wait: float) -> None:
        """Renew after ``wait`` seconds, then at half-time; refused → end the workspace; portal away → again soon."""
        while self._is_running():
            await asyncio.sleep(wait)
            try:
                fresh = await self._partners.renew_token(places.workspace)
                places.write_token(fresh.token)
                wait = fresh.token_seconds / 2
            except RefusedError:
                self.log.warning("workspace %s: token not renewed, so it ends now", places.workspace)
                await self._end()
                return
            except (PartnerAwayError, OSError) as error:
                self.log.warning("workspace %s: no fresh token yet: %s", places.workspace, error)
                wait = _RETRY_SECONDS

    def _find_objection(self) -> str | None:
        return self._standing.find_objection(self.user.name, self.name, datetime.now(UTC).date())

    def _is_running(self) -> bool:
        return self._host is not None and self._host.is_running()

    async def _has_idled(self) -> bool:
        if self._workspace is None or self.server is None:
            return False
        noted = self.orm_spawner.last_activity if self.orm_spawner else None
        places = launch.Places(self._settings.root, self._workspace)
        noted = noted and noted.replace(tzinfo=UTC)
        return await self._idleness.is_over(places, self.server.base_url, noted, self._idle_minutes)

    async def poll(self) -> int | None:
        """None while it runs. An ended workspace is reported to portal and gateway, once; an idle one is ended."""
        if self._host is None and self._start_pending:
            return None
        if self._is_running():
            who = self._who()
            reason = self._find_objection()
            if reason is None:
                if not await self._has_idled():
                    self._look_after()
                    bookkeeping().begin(partial(_note, *who))
                    return None
                idle = partial(limit_records().idle, *who[:3], self._idleness.seen, self._idle_minutes)
                await bookkeeping().do(idle)
                reason = f"nobody has used it for {self._idle_minutes} minutes"
            self.log.info("workspace %s ends: %s", self._workspace, reason)
            await self._end()
        await self._clean_up()
        return 0

    def _who(self) -> tuple[str, ProjectId, WorkspaceId, Path]:
        """For a record about this workspace, and where its host leaves notes for one."""
        workspace = self._workspace or WorkspaceId("")
        notes = launch.Places(self._settings.root, workspace).host / FOLDER
        return self._records.person(Username(self.user.name)), ProjectId(self.name), workspace, notes

    def _look_after(self) -> None:
        """Sign of life for the host, the remaining times for the researcher, and after a hub's restart the renewal."""
        if self._workspace is None:
            return
        places = launch.Places(self._settings.root, self._workspace)
        try:
            os.utime(places.state)
            write_limits(places.inside, self._ends_at, self._idle_minutes, self._idleness.seen)
            age = time.time() - places.token.stat().st_mtime
        except OSError as error:
            self.log.warning("workspace %s: its folder cannot be written: %s", self._workspace, error)
            return
        if self._renewal is None and not self._start_pending:
            wait = max(0.0, self._token_seconds / 2 - age)
            self._renewal = asyncio.create_task(self._keep_token_fresh(places, wait))

    async def stop(self, now: bool = False) -> None:
        """End the host and with it the sandboxes: asked first (it kills them at once), then killed."""
        await self._end()
        await self._clean_up()

    async def _end(self) -> None:
        await asyncio.get_running_loop().run_in_executor(_ENDING, self._end_host)

    def _end_host(self) -> None:
        host = self._host
        if host is None:
            return
        host.terminate()
        if not host.wait(STOP_SECONDS):
            host.kill()
            host.wait(KILL_SECONDS)

    async def _clean_up(self) -> None:
        if self._renewal is not None and self._renewal is not asyncio.current_task():
            self._renewal.cancel()
        self._renewal = None
        if self._host is not None:
            self._host.close()
        self._host = None
        who = self._who()
        workspace, self._workspace = self._workspace, None
        if workspace is None:
            return
        await bookkeeping().do(partial(limit_records().settle, *who))
        for told in (self._partners.close_gateway, self._partners.workspace_stopped):
            try:
                await told(workspace)
            except (PartnerAwayError, RefusedError) as error:
                self.log.warning("workspace %s has ended, but: %s", workspace, error)
        await asyncio.to_thread(clear, self._settings, ProjectId(self.name), workspace)

    def get_state(self) -> dict[str, Any]:
        """Survives a hub restart: enough to find the running workspace again, or to say that it is gone."""
        state: dict[str, Any] = super().get_state()
        if self._workspace is not None:
            state["workspace"] = self._workspace
        if self._host is not None:
            identity = self._host.identity
            state["host"] = {"pid": identity.pid, "started": identity.started}
            state["limits"] = [self._idle_minutes, self._token_seconds, self._ends_at]
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """After a restart: take up the workspace that an earlier hub started, if it still runs."""
        super().load_state(state)
        if "workspace" in state:
            self._workspace = WorkspaceId(state["workspace"])
        if "host" in state:
            self._idle_minutes, self._token_seconds, self._ends_at = state["limits"]
            self._host = HostProcess.find(HostIdentity(state["host"]["pid"], state["host"]["started"]))

    def clear_state(self) -> None:
        """Forget; files and partners were dealt with when it ended."""
        super().clear_state()
        self._workspace = None
        self._host = None


def _note(person: str, project: ProjectId, workspace: WorkspaceId, notes: Path) -> None:
    """On record beside a look: limits that were reached, and a shared folder that is full. Does not raise."""
    limit_records().settle(person, project, workspace, notes)
    note_fill(project, workspace)
