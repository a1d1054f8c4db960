"""What a person's queries read, as the front tells it to that person's worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from enclave.domain.person_rules import NO_RULES, PersonRules


@dataclass(frozen=True)
class ExtractSource:
    """An extract's folder and, of the extract, what the permit's rules leave to the person.

    A worker that was started for another source is replaced before it is asked anything.
    """

    folder: Path
    rules: PersonRules = NO_RULES
