"""Starts that the portal allowed and that did not happen, in the audit log: ``workspace:refused`` with the obstacle.

Written by the hub itself, because the portal may be what is missing. An audit log that is away cannot be told so
either; then nothing was started, and the portal's own refusal says the same to the researcher.
"""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path

import structlog

from audit.client import AuditClient, AuditUnavailable
from audit.event import AuditEvent
from enclave.access import AccessFiles
from enclave.domain.events import EventType
from enclave.domain.ids import ProjectId, Username, WorkspaceId
from enclave.settings import Settings
from enclave.workspaces.obstacles import SENTENCES, Obstacle

log = structlog.get_logger()
_WRITER = "hub"
_SYSTEM = "system:hub"


@cache
def _client(socket: Path) -> AuditClient:
    """One per process: records are numbered per writer and start."""
    return AuditClient(socket, _WRITER)


class StartRecords:
    """One per spawner; ``not_started`` returns when the record is durable, or when it is clear that it cannot be."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._access = AccessFiles(settings)

    async def not_started(
        self, username: Username, project: ProjectId, workspace: WorkspaceId | None, obstacle: Obstacle
    ) -> bool:
        """False: the audit log took nothing."""
        event = AuditEvent(
            type=EventType.WORKSPACE_REFUSED,
            actor=self.person(username),
            project=project,
            workspace=workspace,
            decision="deny",
            data={"reasons": [SENTENCES[obstacle]["en"]], "obstacle": obstacle.value},
        )
        try:
            await asyncio.to_thread(_client(self._settings.audit_socket).record, event)
        except AuditUnavailable as error:
            log.error("start-not-recorded", project=project, obstacle=obstacle, reason=str(error))
            return False
        return True

    def person(self, username: Username) -> str:
        """As records name this person; the hub itself when nobody of that name can be found."""
        try:
            people = self._access.people()
        except (OSError, ValueError, KeyError, TypeError):
            return _SYSTEM
        return next((person.id for person in people.values() if person.username == username), _SYSTEM)
