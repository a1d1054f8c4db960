"""Reading manifests. Non-goal: opening the data (the gateway's worker does)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from enclave.domain.ids import PROJECT_ID, ExtractVersion, ProjectId
from enclave.domain.manifest import Manifest
from enclave.settings import Settings


class CatalogueError(Exception):
    """A manifest that is missing or not one; the sentence says which."""


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file. Raises CatalogueError."""
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        found = os.strerror(error.errno or 0)
        raise CatalogueError(f"Expected the manifest {path.name}, found: {found}. Build the extract first.") from None
    except ValidationError as error:
        count = error.error_count()
        raise CatalogueError(
            f"Expected a manifest of format 1 in {path.name}, found {count} differences. Build the extract again."
        ) from None


def find_manifest(settings: Settings, project: ProjectId, version: ExtractVersion) -> Manifest | None:
    """The manifest of an extract version, or None while there is none. Raises CatalogueError for a broken one."""
    if not PROJECT_ID.fullmatch(project) or "/" in version or version.startswith("."):
        return None
    path = settings.projects_dir / project / "extracts" / version / "manifest.json"
    return read_manifest(path) if path.is_file() else None


def list_tables(manifest: Manifest) -> list[dict[str, Any]]:
    """What the gateway's ``enclave.tables`` action answers: name, rows and columns (name, type, treatment)."""
    return [
        {
            "name": table.name,
            "rows": table.rows,
            "columns": [{"name": c.name, "type": c.type, "treatment": c.treatment.value} for c in table.columns],
        }
        for table in manifest.tables
    ]
