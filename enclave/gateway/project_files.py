"""What the front reads about a project: the approved permit's caps and the extract's manifest. It never opens the data.

Read again when a file changes; a file that is missing, unreadable or not the approved one refuses (fail closed).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from enclave.access import AccessFiles
from enclave.domain.decisions import RefusedError
from enclave.domain.manifest import Manifest
from enclave.domain.permits import Permit
from enclave.domain.projects import ProjectRecord
from enclave.extracts.permit_file import PermitError, parse_permit
from enclave.gateway.engine import MANIFEST_FILE
from enclave.gateway.populations import person_columns

_T = TypeVar("_T")
_Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class ProjectFiles:
    """A project as a query needs it."""

    folder: Path
    manifest: Manifest
    permit: Permit

    @property
    def table_names(self) -> frozenset[str]:
        return frozenset(table.name for table in self.manifest.tables)

    @cached_property
    def columns(self) -> dict[str, frozenset[str]]:
        """Names of columns by table."""
        return {table.name: frozenset(column.name for column in table.columns) for table in self.manifest.tables}

    @cached_property
    def person_columns(self) -> frozenset[str]:
        """Columns that carry the person's pseudonym, lower case."""
        return person_columns(self.manifest)


class ProjectFilesReader:
    """Reads and caches; thread-safe because every entry is replaced whole."""

    def __init__(self, access: AccessFiles) -> None:
        self._access = access
        self._cache: dict[Path, tuple[_Stamp, object]] = {}

    def read(self, record: ProjectRecord) -> ProjectFiles:
        """Raises RefusedError with a sentence."""
        folder = self._access.extract_folder(record)
        if folder is None:
            raise RefusedError(f"Project {record.id} has no extract yet. Wait until the data steward has built it.")
        permit = self.read_permit(record)
        manifest = self._cached(folder / MANIFEST_FILE, lambda raw: _read_manifest(raw, record))
        if manifest.project != record.id:
            raise RefusedError(f"The extract of project {record.id} belongs to another project. Tell the data steward.")
        return ProjectFiles(folder, manifest, permit)

    def read_permit(self, record: ProjectRecord) -> Permit:
        """The approved permit alone. Raises RefusedError with a sentence."""
        permit = self._cached(self._access.permit_file(record.id), lambda raw: _read_permit(raw, record))
        if permit.sha256 != record.permit_sha256:
            raise RefusedError(
                f"The data permit of project {record.id} is not the one that was approved. Tell the data steward."
            )
        return permit

    def _cached(self, path: Path, read: Callable[[bytes], _T]) -> _T:
        try:
            status = path.stat()
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            cached = self._cache.get(path)
            if cached is None or cached[0] != stamp:
                cached = (stamp, read(path.read_bytes()))
                self._cache[path] = cached
        except OSError as error:
            raise RefusedError(
                f"Expected the file {path.name} of this project, found {type(error).__name__}. Tell the data steward."
            ) from error
        return cached[1]  # type: ignore[return-value]


def _read_permit(raw: bytes, record: ProjectRecord) -> Permit:
    if hashlib.sha256(raw).hexdigest() != record.permit_sha256:
        raise RefusedError(
            f"The data permit of project {record.id} is not the one that was approved. Tell the data steward."
        )
    try:
        return parse_permit(raw.decode())
    except (PermitError, UnicodeDecodeError) as error:
        raise RefusedError(f"The data permit of project {record.id} cannot be read. Tell the data steward.") from error


def _read_manifest(raw: bytes, record: ProjectRecord) -> Manifest:
    try:
        return Manifest.model_validate_json(raw)
    except ValueError as error:
        raise RefusedError(
            f"The manifest of project {record.id}'s extract cannot be read. Tell the data steward."
        ) from error
