"""The packages that a project has added, for its kernels: read-only at ``/opt/project``, last on ``PYTHONPATH``.

The Jupyter server does not have them: nothing of a project's choice runs in it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from enclave.domain.ids import ProjectId
from enclave.domain.packages import SET_VERSION
from enclave.sandbox import Bind
from enclave.settings import Settings
from enclave.workspaces.host_plan import HostPlan

PACKAGES = Path("/opt/project")


class PackagesMissingError(Exception):
    """The project's package set is not where it should be."""


def with_packages(plan: HostPlan, settings: Settings, project: ProjectId, version: str) -> HostPlan:
    """The plan with version ``version`` of the project's set; empty: as it is. Raises PackagesMissingError."""
    if not version:
        return plan
    folder = settings.projects_dir / project / "packages" / version / "site-packages"
    if not SET_VERSION.fullmatch(version) or not folder.is_dir():
        raise PackagesMissingError(
            f"Expected the packages of the project (version {version[:10]}), found none. Tell your admin."
        )
    kernel = plan.kernel
    env = {**kernel.env, "PYTHONPATH": f"{kernel.env['PYTHONPATH']}:{PACKAGES}"}
    return replace(plan, kernel=replace(kernel, env=env, binds=(*kernel.binds, Bind(folder, PACKAGES))))
