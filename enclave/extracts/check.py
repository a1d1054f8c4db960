"""Checking an extract against its manifest: is every file there, read-only, and of the bytes that were hashed?"""

from __future__ import annotations

from enclave.catalogue import CatalogueError, read_manifest
from enclave.domain.ids import ExtractVersion, ProjectId
from enclave.extracts.version_folder import MANIFEST_FILE, extracts_folder, file_sha256
from enclave.settings import Settings


def check_extract(settings: Settings, project: ProjectId, version: ExtractVersion) -> list[str]:
    """Sentences about everything that does not match; empty when the extract is as it was built."""
    folder = extracts_folder(settings, project) / version
    try:
        manifest = read_manifest(folder / MANIFEST_FILE)
    except CatalogueError as error:
        return [str(error)]
    problems = []
    if (manifest.project, manifest.extract_version) != (project, version):
        problems.append(
            f"Expected the manifest of {project} {version}, found one of {manifest.project} {manifest.extract_version}."
        )
    for file in manifest.files:
        path = folder / file.path
        if not path.is_file() or path.is_symlink():
            problems.append(f"Expected the file {file.path}, found none. Build the extract again.")
        elif (found := file_sha256(path)) != file.sha256:
            problems.append(
                f"Expected {file.path} with SHA-256 {file.sha256}, found {found}. "
                "Stop the project's queries and build again."
            )
        elif path.stat().st_mode & 0o222:
            problems.append(f"Expected {file.path} to be read-only, found it writable. Mend it with chmod 444.")
    listed = {MANIFEST_FILE, *(file.path for file in manifest.files)}
    for extra in sorted(p.name for p in folder.iterdir() if p.name not in listed):
        problems.append(f"Expected only the files of the manifest, found {extra}. Move it away.")
    return problems
