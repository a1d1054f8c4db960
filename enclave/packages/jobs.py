"""What the runner does when a package was approved, or a set has to be made again. May be repeated after a crash."""

from __future__ import annotations

from typing import Any

import structlog

from enclave.domain.decisions import RefusedError
from enclave.domain.ids import ProjectId
from enclave.domain.packages import PackageState
from enclave.packages.fetch import IngressError
from enclave.packages.ingress import discard_set, make_set
from enclave.portal.actions.packages import deliver_packages, fail_packages, queue_ingress
from enclave.portal.models import PackageRequest, Project
from enclave.settings import Settings

log = structlog.get_logger()


def ingress(settings: Settings, payload: dict[str, Any]) -> None:
    """Make the project's set with all its packages and, when ``payload["request"]`` is not 0, that one more.

    When it cannot be made, the set stays as it is and the new request fails; made again after a removal, all of them.
    """
    project = ProjectId(payload["project"])
    fresh = list(_in_state(project, PackageState.APPROVED).filter(pk=payload["request"]))
    kept = list(_in_state(project, PackageState.AVAILABLE))
    has_set = bool(Project.objects.get(pk=project).packages_version)
    if not fresh and (payload["request"] or not kept or has_set):
        log.info("ingress-not-needed", project=project)  # a repeated job, or decided otherwise meanwhile
        return
    wanted = [*kept, *fresh]
    try:
        made = make_set(settings, project, [one.requirement for one in wanted])
        added = [f"{one.name}=={one.version}" for one in made.added]
        deliver_packages(project, [one.pk for one in wanted], made.version, made.bom_sha256, made.versions, added)
    except IngressError as error:
        fail_packages(project, [one.pk for one in fresh or kept], list(error.reasons))
        raise
    except RefusedError:
        log.warning("ingress-overtaken", project=project)  # something was removed while it was made: once more
        discard_set(settings, project, made.version)
        queue_ingress(project, payload["request"])


def _in_state(project: ProjectId, state: PackageState) -> Any:
    return PackageRequest.objects.filter(project_id=project, state=state).order_by("pk")
