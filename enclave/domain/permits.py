"""A data permit as frozen values: what a decision of the data access body allows, nothing more.

The permit is the only place that names tables and columns; no code knows a data set by name. It is written as YAML
(``enclave.extracts.permit_file`` reads it and names the line of every error) and is the contract of the extract, the
gateway and the disclosure checks. EHDS Regulation (EU) 2025/327 art. 68 lists what a data permit must state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from enclave.domain.ids import ProjectId, Username


class Treatment(StrEnum):
    """What happens to a column on its way into the extract. Stored strings, also in the manifest."""

    KEEP = "keep"
    PERSON_PSEUDONYM = "person-pseudonym"
    """Keyed project pseudonym of the person."""
    PSEUDONYM = "pseudonym"
    """Keyed project pseudonym of another identifier, in the space named by ``argument`` (default: column name)."""
    SHIFT_DATE = "shift-date"
    """The person's own constant number of days is added."""
    YEAR = "year"
    """Date or timestamp → first day of its year."""
    MONTH = "month"
    """Date or timestamp → first day of its month."""
    BAND = "band"
    """Number → lower edge of a band ``argument`` wide."""
    TOP = "top"
    """Number → at most ``argument`` (top coding)."""
    TRUNCATE = "truncate"
    """Text → its first ``argument`` characters."""


@dataclass(frozen=True)
class PermittedColumn:
    """One column of one permitted table. ``name`` is matched to the source without regard to case."""

    name: str
    treatment: Treatment = Treatment.KEEP
    argument: str | None = None


@dataclass(frozen=True)
class PermittedTable:
    """One permitted table. ``person`` names its column of person identifiers (None: no personal data, a vocabulary)."""

    name: str
    columns: tuple[PermittedColumn, ...]
    person: str | None = None
    rows: str | None = None
    """An SQL condition over the source columns of this table; rows for which it is not true never arrive."""


@dataclass(frozen=True)
class TableRule:
    """Narrows one table of the extract for some of the project's people. At least one of columns and rows is given."""

    people: tuple[Username, ...]
    table: str
    columns: tuple[str, ...] = ()
    """The columns that remain visible; empty: all of them."""
    rows: str | None = None
    """An SQL condition over the extract's columns of this table; rows for which it is not true are not visible."""


@dataclass(frozen=True)
class OutputRules:
    """What may be asked to leave (SNDS: counts under 11 are not shown)."""

    minimum_count: int = 11
    file_types: tuple[str, ...] = (".csv", ".ipynb", ".md", ".txt", ".png", ".svg", ".json")
    maximum_bytes: int = 5_000_000
    maximum_files: int = 20


@dataclass(frozen=True)
class QueryCaps:
    """Limits per query, per person and day (UTC), and per person at a time; a query that meets one ends and says so."""

    rows: int = 5_000_000
    bytes: int = 1_000_000_000
    seconds: int = 300
    statement_characters: int = 100_000
    rows_per_day: int = 50_000_000
    bytes_per_day: int = 10_000_000_000
    streams: int = 8
    """Queries of one person that run at once: a reader that stalls holds memory."""


USUAL_SHARED_MB = 2048


@dataclass(frozen=True)
class WorkspaceRules:
    """What a workspace of this project gets (SATRE 2.3.03 and 3.1.18)."""

    memory_mb: int = 4096
    processes: int = 512
    idle_minutes: int = 120
    shown_bytes_per_day: int = 200_000_000
    """Output that reaches one person's browser in a day (UTC); measured and enforced by the edge."""
    shown_rows_per_day: int = 2_000_000
    """Rows and lines among that output, as far as the edge can tell."""
    hours: int = 12
    """From start to end, whatever it does."""
    disk_mb: int = 20_480
    """What the home may hold."""
    shared_mb: int | None = None
    """What the permit says about the folder that members share; see ``Permit.shared_folder_mb``."""
    archive_shown: bool = False
    """Displayed output is kept, sealed to a key that auditors hold; the researcher is told."""
    archive_days: int = 365
    """For so long after the day it was shown (EHDS art. 73(1)(e): logs of activities at least a year)."""
    terminals: bool = False
    """JupyterLab offers terminals, each in a sandbox of its own; what they show counts like a notebook's output."""


@dataclass(frozen=True)
class Permit:
    """A whole data permit. ``sha256`` is the hash of the file's bytes, cited by manifest and records."""

    project: ProjectId
    title: str
    purpose: str
    legal_basis: str
    researchers: tuple[Username, ...]
    dataset: str
    dataset_version: str
    tables: tuple[PermittedTable, ...]
    pseudonym_domain: str
    date_shift_days: int
    """Each person's shift is a constant drawn from −n … +n days without 0; 0 turns shifting off."""
    expires_on: date
    """Last day on which the permit holds, in UTC."""
    sha256: str
    outputs: OutputRules = field(default_factory=OutputRules)
    caps: QueryCaps = field(default_factory=QueryCaps)
    workspace: WorkspaceRules = field(default_factory=WorkspaceRules)
    rules: tuple[TableRule, ...] = ()
    """Finer than the extract; whoever no rule names sees all of it."""

    @property
    def shared_folder_mb(self) -> int:
        """What the folder may hold that the project's members share; 0: they share none.

        Where rules show some people less, what a colleague writes there could show them more: so only if it is ordered.
        """
        if self.workspace.shared_mb is not None:
            return self.workspace.shared_mb
        return 0 if self.rules else USUAL_SHARED_MB

    def is_expired(self, today: date) -> bool:
        """The permit holds on ``expires_on`` itself and no longer."""
        return today > self.expires_on
