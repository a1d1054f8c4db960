"""What the portal grants a workspace, as the hub gets it. Pure.

``from_answer`` reads what the portal sent as JSON; it raises KeyError, TypeError or ValueError for anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from enclave.domain.ids import PersonId, WorkspaceId


@dataclass(frozen=True)
class WorkspaceToken:
    """A token and how long it holds."""

    token: str
    token_seconds: int

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> WorkspaceToken:
        return cls(str(answer["token"]), int(answer["token_seconds"]))


@dataclass(frozen=True)
class WorkspaceGrant:
    """The portal's yes to one workspace, with its first token and its limits."""

    person: PersonId
    workspace: WorkspaceId
    token: str
    token_seconds: int
    project_title: str
    memory_mb: int
    processes: int
    idle_minutes: int
    hours: int
    disk_mb: int
    shared_mb: int
    packages: str
    """Version of the project's package set; empty: none."""
    terminals: bool = False

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> WorkspaceGrant:
        numbers = ("token_seconds", "memory_mb", "processes", "idle_minutes", "hours", "disk_mb", "shared_mb")
        return cls(
            person=PersonId(answer["person"]),
            workspace=WorkspaceId(answer["workspace"]),
            token=str(answer["token"]),
            project_title=str(answer["project_title"]),
            packages=str(answer["packages"]),
            terminals=answer.get("terminals") is True,
            **{name: int(answer[name]) for name in numbers},
        )
