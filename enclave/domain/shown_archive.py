"""Who may read the archive of displayed output, and what they have to say first. Pure."""

from __future__ import annotations

from enclave.domain.decisions import Allow, Decision, Deny
from enclave.domain.people import Person, Role

READERS = frozenset({Role.AUDITOR, Role.DATA_PROTECTION_OFFICER})
SHORTEST_REASON = 10


def decide_reading(person: Person | None, subject: Person | None, reason: str) -> Decision:
    """May ``person`` read what ``subject`` was shown, for this reason? Nobody reads their own."""
    if person is None or not person.active or not person.roles & READERS:
        wanted = " or ".join(sorted(READERS))
        return Deny((f"Only {wanted} may read what was shown. Ask a colleague who holds that role.",))
    if subject is not None and subject.id == person.id:
        return Deny(("This archive is of your own screen. A colleague has to read it.",))
    if len(reason.strip()) < SHORTEST_REASON:
        return Deny(
            (f"Expected a reason of at least {SHORTEST_REASON} characters, found less. Say why you read this.",)
        )
    return Allow(("shown-archive-readers",))
