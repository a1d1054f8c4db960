"""Destroying what a closed project left: each folder on record first, with how much is in it, then removed.

The EHDS Regulation and the CNIL's référentiel want data gone when the permit's purpose is over, and proof of it (SATRE
1.4.04 and 3.1.10). Contract: nothing is touched while a workspace of the project runs; whatever a crash or an error
leaves is found at the next turn (the runner takes one every minute while anything is left), and recorded once.
"""

from __future__ import annotations

import structlog

from enclave.destruction.remains import (
    Remain,
    RemainKind,
    find_remains,
    measure,
    remove_empty_above,
    set_aside,
)
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.domain.ids import ProjectId
from enclave.domain.projects import ProjectState
from enclave.files import remove_tree
from enclave.portal.models import Destruction, Project, User
from enclave.portal.record import audited_change
from enclave.settings import Settings
from enclave.workspaces.host_process import running_workspaces
from enclave.workspaces.shared_folder import close_for_good

log = structlog.get_logger()

EVENTS: dict[RemainKind, EventType] = {
    RemainKind.EXTRACT: EventType.EXTRACT_DESTROYED,
    RemainKind.SHARED_FOLDER: EventType.SHARED_FOLDER_DESTROYED,
    RemainKind.HOME: EventType.HOME_DESTROYED,
    RemainKind.SCRATCH: EventType.SCRATCH_DESTROYED,
}
_RUNNER = "system:runner"


class LeftOverError(Exception):
    """Some of it could not be destroyed now; the next turn tries again."""


def count_running(settings: Settings, project: ProjectId) -> int:
    """How many workspaces of this project live on this machine."""
    own = Project.objects.get(pk=project).workspaces.values_list("id", flat=True)
    return len(running_workspaces(settings.run_dir) & set(own))


def destroy_project_data(settings: Settings, project: ProjectId) -> int:
    """How many folders went. Raises RefusedError (recorded), AuditUnavailable, LeftOverError."""
    _check(settings, project)
    remains, failed = find_remains(settings, project), 0
    for remain in remains:
        try:
            _destroy(settings, project, remain)
        except OSError as error:
            failed += 1
            log.error("not-destroyed", project=project, kind=remain.kind.value, reason=str(error))
    if failed:
        raise LeftOverError(
            f"Expected all {len(remains)} folders of the closed project to go, found {failed} that cannot be removed "
            "now. It is tried again in a minute; the runner's log says why."
        )
    remove_empty_above(settings, project)
    return len(remains)


def _check(settings: Settings, project: ProjectId) -> None:
    with audited_change(_RUNNER, project=project, subject=project):
        state = Project.objects.get(pk=project).project_state
        if state is not ProjectState.CLOSED:
            raise RefusedError(f"Expected a closed project, found one that is {state}. Nothing was destroyed.")
        if running := count_running(settings, project):
            raise RefusedError(
                f"Expected no workspace of the closed project to run, found {running}. Nothing was destroyed; it is "
                "tried again in a minute."
            )


def _destroy(settings: Settings, project: ProjectId, remain: Remain) -> None:
    if remain.kind is RemainKind.SHARED_FOLDER:
        close_for_good(settings, project)
    aside = set_aside(remain)
    if not Destruction.objects.filter(token=aside.token).exists():
        _record(project, aside)
    remove_tree(aside.path)
    log.info("destroyed", project=project, kind=aside.kind.value)


def _record(project: ProjectId, aside: Remain) -> None:
    """In the log, then as a line of the project's page. Who it belonged to is a person id where there is an account."""
    extent = measure(aside.path)
    owner = _find_owner(aside)
    with audited_change(_RUNNER, project=project, subject=aside.name) as change:
        receipt = change.record(
            EVENTS[aside.kind],
            subject=owner.person_id if owner else None if _is_personal(aside) else aside.name,
            request_id=aside.token,
            counts={"files": extent.files, "bytes": extent.bytes},
            payload={"folder": aside.name} if _is_personal(aside) and owner is None else None,
        )
        Destruction.objects.create(
            project_id=project,
            kind=aside.kind.value,
            name=owner.username if owner else aside.name,
            token=aside.token,
            files=extent.files,
            bytes=extent.bytes,
            audit_index=receipt.index,
        )


def _is_personal(remain: Remain) -> bool:
    return remain.kind in (RemainKind.HOME, RemainKind.SCRATCH)


def _find_owner(remain: Remain) -> User | None:
    """Homes are named by username, scratch spaces by person id."""
    match remain.kind:
        case RemainKind.HOME:
            return User.objects.filter(username=remain.name).first()
        case RemainKind.SCRATCH:
            return User.objects.filter(person_id=remain.name).first()
        case _:
            return None
