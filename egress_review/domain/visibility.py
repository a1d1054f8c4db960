"""Who sees what of an output request: the table ``VISIBLE``, by the person's relation to the request.

A requester who is also a steward is only a requester here. Other researchers, and admins, see nothing.
Auditors see what happened and the hashes, never content (DESIGN.md: an auditor must never be able to read data).
"""

from __future__ import annotations

from enum import StrEnum

from egress_review.domain.rules import REVIEWER_ROLES, RequestFacts
from egress_review.domain.sentences import Sentence
from egress_review.domain.states import RequestState
from enclave.domain.decisions import Allow, Decision, Deny, check
from enclave.domain.people import Person, Role


class Part(StrEnum):
    """A part of an output request that can be shown."""

    STATUS = "status"
    """State, times, title, who decided and their comments."""
    HASHES = "hashes"
    """Names' number, sizes, SHA-256 and the receipt."""
    FINDINGS = "findings"
    FILES = "files"
    """The bytes, rendered or raw, for review."""
    QUERIES = "queries"
    """What the requester asked of the project before, as the log has it: columns and numbers of people, no values."""
    RELEASED_FILES = "released-files"
    """The bytes as a download."""


class Relation(StrEnum):
    """What a person is to one output request."""

    REQUESTER = "requester"
    REVIEWER = "reviewer"
    AUDITOR = "auditor"
    STRANGER = "stranger"


VISIBLE: dict[Relation, frozenset[Part]] = {
    Relation.REQUESTER: frozenset({Part.STATUS, Part.HASHES, Part.FINDINGS, Part.RELEASED_FILES}),
    Relation.REVIEWER: frozenset({Part.STATUS, Part.HASHES, Part.FINDINGS, Part.FILES, Part.QUERIES}),
    Relation.AUDITOR: frozenset({Part.STATUS, Part.HASHES}),
    Relation.STRANGER: frozenset(),
}


def relation(person: Person, facts: RequestFacts) -> Relation:
    """The first that fits, so that one's own request never opens by another role."""
    if not person.active:
        return Relation.STRANGER
    if person.id == facts.requester:
        return Relation.REQUESTER
    if person.roles & REVIEWER_ROLES:
        return Relation.REVIEWER
    return Relation.AUDITOR if Role.AUDITOR in person.roles else Relation.STRANGER


def decide_see(part: Part, person: Person, facts: RequestFacts) -> Decision:
    """May ``person`` see ``part``? Released files only once they are released."""
    if part not in VISIBLE[relation(person, facts)]:
        return Deny((Sentence("This part of the output request is not shown to you."),))
    if part is Part.RELEASED_FILES and facts.state is not RequestState.RELEASED:
        return Deny((Sentence("Nothing can be downloaded before the output request is released."),))
    return Allow((f"see-{part}",))


def check_see(part: Part, person: Person, facts: RequestFacts) -> None:
    """Raises RefusedError; see decide_see."""
    check(decide_see(part, person, facts))


def can_see(part: Part, person: Person, facts: RequestFacts) -> bool:
    """See decide_see."""
    return isinstance(decide_see(part, person, facts), Allow)
