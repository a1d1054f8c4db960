"""What a project's approved permit says about the screen: read like the gateway reads caps, hash checked.

A permit that is missing, changed or unreadable does not lift the limit: a tenth of the usual budget holds then.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import structlog

from enclave.access import AccessFiles
from enclave.domain.ids import PersonId, ProjectId
from enclave.domain.permits import WorkspaceRules
from enclave.edge.exposure import Budget
from enclave.extracts.permit_file import PermitError, parse_permit

log = structlog.get_logger()

_USUAL = WorkspaceRules()
WITHOUT_PERMIT = Budget(_USUAL.shown_bytes_per_day // 10, _USUAL.shown_rows_per_day // 10)


@dataclass(frozen=True)
class Terms:
    """What a project's permit says about the screen. ``archive_days``: what is shown is kept for so long; None: not."""

    budget: Budget = WITHOUT_PERMIT
    archive_days: int | None = None
    kept_days: int | None = None
    """The same for what is kept already, which a permit that orders no archive any more lets end as well."""
    terminals: bool = False
    is_known: bool = False
    """False: the permit is missing, changed or unreadable."""


class Budgets:
    """Reads and caches; a changed permit holds from the next message on."""

    def __init__(self, access: AccessFiles) -> None:
        self._access = access
        self._cache: dict[ProjectId, tuple[str, Terms]] = {}

    def of(self, project: ProjectId) -> Budget:
        """Today's budget per person."""
        return self.terms(project).budget

    def terms(self, project: ProjectId) -> Terms:
        """All of it."""
        try:
            record = self._access.project(project)
        except (OSError, ValueError, KeyError, TypeError):
            return Terms()
        if record is None:
            return Terms()
        cached = self._cache.get(project)
        if cached is None or cached[0] != record.permit_sha256:
            terms = self._read(project, record.permit_sha256)
            if terms is None:
                return Terms()
            cached = (record.permit_sha256, terms)
            self._cache[project] = cached
        return cached[1]

    def _read(self, project: ProjectId, sha256: str) -> Terms | None:
        try:
            raw = self._access.permit_file(project).read_bytes()
            if hashlib.sha256(raw).hexdigest() != sha256:
                return None
            rules = parse_permit(raw.decode()).workspace
        except (OSError, PermitError, UnicodeDecodeError) as error:
            log.warning("exposure:permit-unreadable", project=project, error=type(error).__name__)
            return None
        budget = Budget(rules.shown_bytes_per_day, rules.shown_rows_per_day)
        ordered = rules.archive_days if rules.archive_shown else None
        return Terms(budget, ordered, rules.archive_days, terminals=rules.terminals, is_known=True)

    def person(self, username: str) -> PersonId | None:
        """The pseudonymous identity that records carry."""
        try:
            people = self._access.people()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return next((person.id for person in people.values() if person.username == username), None)
