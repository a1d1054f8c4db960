"""What waits in a new home: the starter notebook, made from the project's permit and manifest."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from enclave.access import AccessFiles
from enclave.domain.ids import ProjectId, Username
from enclave.domain.manifest import Manifest
from enclave.domain.person_rules import rules_for
from enclave.extracts.permit_file import PermitError, read_permit
from enclave.settings import Settings
from enclave.workspaces.starter import write_starter


def write_first_notebook(settings: Settings, project: ProjectId, person: Username, uid: int, home: Path) -> bool:
    """Write ``start-here.ipynb``; False when the project's files do not allow it (a workspace works without)."""
    access = AccessFiles(settings)
    record = access.project(project)
    folder = access.extract_folder(record) if record is not None else None
    if folder is None:
        return False
    try:
        manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
        permit = read_permit(access.permit_file(project))
    except (OSError, ValidationError, PermitError):
        return False
    manifest = rules_for(permit, person).narrow(manifest)
    write_starter(home, manifest, permit, settings.site_language, uid if os.geteuid() == 0 else os.geteuid())
    return True
