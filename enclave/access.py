"""Who is who and which project stands where, as files: written by portal and runner, read by gateway and hub.

``access/people.json`` and ``projects/<id>/project.json`` are replaced atomically; a reader notices a new file by its
inode and modification time, so a revocation holds from the next call on. A file that cannot be read means nobody gets
in (fail closed).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from enclave.domain.ids import PROJECT_ID, ExtractVersion, PersonId, ProjectId, Username
from enclave.domain.people import Person, Role
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.files import write_atomically
from enclave.settings import Settings

_Stamp = tuple[int, int, int]


@dataclass
class _Cached:
    stamp: _Stamp
    value: Any


class AccessFiles:
    """Reader and writer of the access files. Reading costs one ``stat`` when nothing changed.

    What cannot be read raises OSError or ValueError.
    """

    def __init__(self, settings: Settings) -> None:
        self._people = settings.access_dir / "people.json"
        self._projects = settings.projects_dir
        self._cache: dict[Path, _Cached] = {}

    def people(self) -> dict[PersonId, Person]:
        """Everybody known, by person id; empty when the file is not there."""
        found = self._load(self._people, _read_people)
        return found if isinstance(found, dict) else {}

    def find_person(self, person: PersonId) -> Person | None:
        """One person, or None."""
        return self.people().get(person)

    def project(self, project: ProjectId) -> ProjectRecord | None:
        """One project's record, or None when it is unknown or its id has not the shape of one."""
        if not PROJECT_ID.fullmatch(project):
            return None
        found = self._load(self._projects / project / "project.json", _read_project)
        return found if isinstance(found, ProjectRecord) else None

    def projects(self) -> list[ProjectId]:
        """Ids of all projects that have a record."""
        if not self._projects.is_dir():
            return []
        return sorted(ProjectId(f.parent.name) for f in self._projects.glob("*/project.json"))

    def permit_file(self, project: ProjectId) -> Path:
        """``projects/<id>/permit.yaml``: the bytes that were approved."""
        return self._projects / project / "permit.yaml"

    def extract_folder(self, record: ProjectRecord) -> Path | None:
        """Folder of the current extract, or None while there is none."""
        if record.extract_version is None:
            return None
        return self._projects / record.id / "extracts" / record.extract_version

    def read_for(self, record: ProjectRecord) -> tuple[Path, Path, Path]:
        """The files that say who somebody is, where the project stands and what its permit says."""
        return self._people, self._projects / record.id / "project.json", self.permit_file(record.id)

    def write_people(self, people: Iterable[Person]) -> None:
        """Replace the whole file."""
        self._people.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        content = {p.id: _person_json(p) for p in people}
        write_atomically(self._people, json.dumps(content, sort_keys=True, indent=1).encode())

    def write_project(self, record: ProjectRecord) -> None:
        """Replace one project's record."""
        folder = self._projects / record.id
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        content = {
            "id": record.id,
            "title": record.title,
            "state": record.state,
            "extract_version": record.extract_version,
            "permit_sha256": record.permit_sha256,
            "expires_on": record.expires_on.isoformat(),
            "members": sorted(record.members),
        }
        write_atomically(folder / "project.json", json.dumps(content, indent=1).encode())

    def _load(self, path: Path, read: Any) -> Any:
        try:
            status = path.stat()
        except OSError:
            return None
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        cached = self._cache.get(path)
        if cached is None or cached.stamp != stamp:
            cached = self._cache[path] = _Cached(stamp, _parsed(path.read_bytes(), read))
        return cached.value


def _parsed(content: bytes, read: Any) -> Any:
    """Raises ValueError for whatever is not in it as it should be: readers refuse then, whatever the fault."""
    try:
        return read(json.loads(content))
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError("Expected an access file as the portal writes it, found other content.") from error


def _person_json(person: Person) -> dict[str, Any]:
    return {
        "username": person.username,
        "roles": sorted(person.roles),
        "active": person.active,
        "tokens_valid_from": person.tokens_valid_from,
    }


def _read_people(content: dict[str, Any]) -> dict[PersonId, Person]:
    return {
        PersonId(key): Person(
            id=PersonId(key),
            username=Username(value["username"]),
            roles=frozenset(Role(role) for role in value["roles"]),
            active=bool(value["active"]),
            tokens_valid_from=int(value["tokens_valid_from"]),
        )
        for key, value in content.items()
    }


def _read_project(content: dict[str, Any]) -> ProjectRecord:
    version = content["extract_version"]
    return ProjectRecord(
        id=ProjectId(content["id"]),
        title=content["title"],
        state=ProjectState(content["state"]),
        extract_version=ExtractVersion(version) if version else None,
        permit_sha256=content["permit_sha256"],
        expires_on=date.fromisoformat(content["expires_on"]),
        members=frozenset(PersonId(m) for m in content["members"]),
    )
