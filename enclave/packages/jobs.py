"""What the runner does when a package was approved, or a set has to be made again. May be repeated after a crash."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog

from audit.client import AuditRefused, AuditUnavailable
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.domain.ids import ProjectId
from enclave.domain.packages import PackageState
from enclave.domain.projects import ProjectState
from enclave.packages.fetch import IngressError
from enclave.packages.ingress import PackageSet, discard_set, make_set
from enclave.portal.actions.packages import RUNNER, deliver_packages, fail_packages, queue_ingress
from enclave.portal.models import PackageRequest, Project
from enclave.portal.record import record
from enclave.settings import Settings

log = structlog.get_logger()
_LOG_AWAY = timedelta(minutes=1)
_NOT_ACTIVE = "Packages are added to active projects only, and this one is not active any more. Nothing was added."
_UNFORESEEN = (
    "The packages could not be made for a reason that was not foreseen; it is in the runner's log. Tell the admin, "
    "then try again."
)
_NO_RECORD = (
    "The audit log does not take the record of these packages as it is, so nothing was added. Ask for packages that "
    "need fewer others, or tell the admin."
)


def ingress(settings: Settings, payload: dict[str, Any]) -> None:
    """Make the project's set with all its packages and, when ``payload["request"]`` is not 0, that one more.

    When it cannot be made, the set stays as it is and the new request fails; made again after a removal, all of them.
    No request stays *approved* for a reason that nobody sees.
    """
    project = ProjectId(payload["project"])
    fresh = list(_in_state(project, PackageState.APPROVED).filter(pk=payload["request"]))
    kept = list(_in_state(project, PackageState.AVAILABLE))
    row = Project.objects.get(pk=project)
    if not fresh and (payload["request"] or not kept or row.packages_version):
        log.info("ingress-not-needed", project=project)  # a repeated job, or decided otherwise meanwhile
        return
    concerned = [one.pk for one in fresh or kept]
    if row.project_state is not ProjectState.ACTIVE:
        _fail(payload, concerned, [_NOT_ACTIVE])
        return
    try:
        made = make_set(
            settings, project, [one.requirement for one in (*kept, *fresh)], partial(_led_elsewhere, project)
        )
    except IngressError as error:
        _fail(payload, concerned, list(error.reasons))
        raise
    except Exception:  # what nobody foresaw: the runner's log has it, the steward can try again
        _fail(payload, concerned, [_UNFORESEEN])
        raise
    _deliver(settings, payload, concerned, [one.pk for one in (*kept, *fresh)], made)


def _led_elsewhere(project: ProjectId, place: str) -> None:
    """The mirror named or redirected to a place that nobody may be sent to. Raises AuditUnavailable."""
    data: dict[str, str | int | bool | list[str]] = {"place": place}
    record(EventType.PACKAGE_FETCH_REFUSED, RUNNER, project=project, decision="deny", data=data)


def _deliver(
    settings: Settings, payload: dict[str, Any], concerned: list[int], wanted: list[int], made: PackageSet
) -> None:
    """A set that is not given out does not stay. It is made once more when that may help; else ``concerned`` fail."""
    project, added = ProjectId(payload["project"]), [f"{one.name}=={one.version}" for one in made.added]
    try:
        deliver_packages(project, wanted, made.version, made.bom_sha256, made.versions, added)
    except RefusedError:
        log.warning("ingress-overtaken", project=project)  # something was removed while it was made
        discard_set(settings, project, made.version)
        queue_ingress(project, payload["request"])
    except Exception as error:
        discard_set(settings, project, made.version)
        if isinstance(error, AuditUnavailable) and not isinstance(error, AuditRefused):
            _wait_for_the_log(payload)
        else:  # a ValueError: no record can have this form, for instance with too many wheels in it
            has_no_record = isinstance(error, AuditRefused | ValueError)
            _fail(payload, concerned, [_NO_RECORD if has_no_record else _UNFORESEEN])
        raise


def _fail(payload: dict[str, Any], numbers: list[int], reasons: list[str]) -> None:
    """Said to steward and requester. While the log takes no record of that either, all of it is tried again."""
    try:
        fail_packages(payload["project"], numbers, reasons)
    except AuditUnavailable:
        _wait_for_the_log(payload)
        raise


def _wait_for_the_log(payload: dict[str, Any]) -> None:
    log.warning("ingress-not-recorded", project=payload["project"])
    queue_ingress(payload["project"], payload["request"], datetime.now(UTC) + _LOG_AWAY)


def _in_state(project: ProjectId, state: PackageState) -> Any:
    return PackageRequest.objects.filter(project_id=project, state=state).order_by("pk")
