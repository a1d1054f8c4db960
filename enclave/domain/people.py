"""People and their roles (DESIGN.md, *Words*). One person may hold several roles; nobody decides about themselves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from enclave.domain.ids import PersonId, Username


class Role(StrEnum):
    """What a person comes for. Stored strings."""

    RESEARCHER = "researcher"
    DATA_STEWARD = "data-steward"
    OUTPUT_CHECKER = "output-checker"
    AUDITOR = "auditor"
    ADMIN = "admin"
    DATA_PROTECTION_OFFICER = "data-protection-officer"


@dataclass(frozen=True)
class Person:
    """A named user (EHDS art. 73(1)(a), (d): access for named users only, with unique identities)."""

    id: PersonId
    username: Username
    roles: frozenset[Role]
    active: bool = True
    """False after a revocation, and until a first password has been replaced by the person's own."""
    tokens_valid_from: int = 0
    """Unix seconds: a token issued before this moment is refused. Revoking a person moves it to now."""
