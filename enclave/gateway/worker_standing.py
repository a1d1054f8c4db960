"""May a worker stay? Its person may lose the project, and what it was started for may not be what they would get now.

A worker that stays too long holds copies of the rows a person may see (``row_copies``), so other rules, another extract
or a withdrawn right end it within seconds, whether or not that person asks for anything.
"""

from __future__ import annotations

from enclave.access import AccessFiles
from enclave.domain.decisions import RefusedError
from enclave.domain.ids import PersonId, ProjectId
from enclave.domain.people import Person, Role
from enclave.domain.person_rules import rules_for
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.gateway.extract_source import ExtractSource
from enclave.gateway.project_files import ProjectFilesReader


class WorkerStanding:
    """One per front; thread-safe. Reads the access files anew (one ``stat`` each)."""

    def __init__(self, access: AccessFiles) -> None:
        self._access = access
        self._files = ProjectFilesReader(access)

    def may_ask(self, project: ProjectId, person: PersonId) -> bool:
        """As admission decides, in short; an auditor's test query comes from somebody who is no member."""
        return self._find(project, person) is not None

    def find_source(self, project: ProjectId, person: PersonId) -> ExtractSource | None:
        """What that person's worker would be started for now; None when that cannot be told."""
        found = self._find(project, person)
        folder = self._access.extract_folder(found[0]) if found is not None else None
        if found is None or folder is None:
            return None
        try:
            permit = self._files.read_permit(found[0])
        except RefusedError:
            return None
        return ExtractSource(folder, rules_for(permit, found[1].username))

    def _find(self, project: ProjectId, person: PersonId) -> tuple[ProjectRecord, Person] | None:
        try:
            record, who = self._access.project(project), self._access.find_person(person)
        except (OSError, ValueError):
            return None
        if record is None or who is None or not who.active or record.state is not ProjectState.ACTIVE:
            return None
        return (record, who) if person in record.members or Role.AUDITOR in who.roles else None
