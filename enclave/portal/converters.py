"""Shapes of identifiers in addresses: what has another shape is not found, and never reaches a view or a record."""

from __future__ import annotations

from enclave.domain.ids import PROJECT_ID


class ProjectIdConverter:
    """``domain.ids.ProjectId``."""

    regex = PROJECT_ID.pattern

    def to_python(self, value: str) -> str:
        """As it is."""
        return value

    def to_url(self, value: str) -> str:
        """As it is."""
        return value


class PersonIdConverter(ProjectIdConverter):
    """``domain.ids.PersonId``."""

    regex = "u-[0-9a-f]{12}"


class AlertKeyConverter(ProjectIdConverter):
    """A rule and a hash (``audit.alerts``)."""

    regex = "[a-z]+(?:-[a-z]+)*-[0-9a-f]{20}"
