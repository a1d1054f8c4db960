"""Who sees what of an output request: the tables ``VISIBLE`` and ``ONCE_CLOSED``, by the person's relation to it.

A requester who is also a steward is only a requester here. Other researchers, and admins, see nothing.
Auditors see what happened and the hashes, never content (DESIGN.md: an auditor must never be able to read data).

Two reviewers check independently (DESIGN.md, invariant 7: two people). So a reviewer who has still to decide sees
nothing of what others decided or remarked, nor that anybody did: a rejection and a return end a request at once, so
"somebody has decided" would mean "somebody has approved". The requester learns it all at the same moment, when nobody
can decide any more. What a person wrote, that person sees. Non-goal: what is said about *earlier* versions; those are
closed, and what was said about them is meant to be read.
"""

from __future__ import annotations

from enum import StrEnum

from egress_review.domain.rules import REVIEWER_ROLES, RequestFacts, has_decided
from egress_review.domain.sentences import Sentence
from egress_review.domain.states import OPEN_STATES, RequestState
from enclave.domain.decisions import Allow, Decision, Deny, check
from enclave.domain.ids import PersonId
from enclave.domain.people import Person, Role


class Part(StrEnum):
    """A part of an output request that can be shown."""

    STATUS = "status"
    """Title, times, and the state as far as it does not tell of a decision (``shown_state``)."""
    HASHES = "hashes"
    """Names' number, sizes, SHA-256 and the receipt."""
    FINDINGS = "findings"
    FILES = "files"
    """The bytes, rendered or raw, for review."""
    QUERIES = "queries"
    """What the requester asked of the project before, as the log has it: columns and numbers of people, no values."""
    REVIEWS = "reviews"
    """Decisions of others: who, what, when, with which comment; and whether there is any."""
    REMARKS = "remarks"
    """Remarks of others on files; they may quote what stands in a file."""
    RELEASED_FILES = "released-files"
    """The bytes as a download."""


class Relation(StrEnum):
    """What a person is to one output request."""

    REQUESTER = "requester"
    REVIEWER = "reviewer"
    """May decide, and has not."""
    DECIDED = "reviewer-who-decided"
    AUDITOR = "auditor"
    STRANGER = "stranger"


_REVIEW = frozenset({Part.STATUS, Part.HASHES, Part.FINDINGS, Part.FILES, Part.QUERIES})
_WORDS = frozenset({Part.REVIEWS, Part.REMARKS})

VISIBLE: dict[Relation, frozenset[Part]] = {
    Relation.REQUESTER: frozenset({Part.STATUS, Part.HASHES, Part.FINDINGS, Part.RELEASED_FILES}),
    Relation.REVIEWER: _REVIEW,
    Relation.DECIDED: _REVIEW | _WORDS,
    Relation.AUDITOR: frozenset({Part.STATUS, Part.HASHES, Part.REVIEWS}),
    Relation.STRANGER: frozenset(),
}
ONCE_CLOSED: dict[Relation, frozenset[Part]] = {
    Relation.REQUESTER: _WORDS,
    Relation.REVIEWER: _WORDS,
    Relation.DECIDED: frozenset(),
    Relation.AUDITOR: frozenset(),
    Relation.STRANGER: frozenset(),
}
"""In addition once nobody can decide any more."""


def relation(person: Person, facts: RequestFacts) -> Relation:
    """The first that fits, so that one's own request never opens by another role."""
    if not person.active:
        return Relation.STRANGER
    if person.id == facts.requester:
        return Relation.REQUESTER
    if person.roles & REVIEWER_ROLES:
        return Relation.DECIDED if has_decided(person, facts) else Relation.REVIEWER
    return Relation.AUDITOR if Role.AUDITOR in person.roles else Relation.STRANGER


def decide_see(part: Part, person: Person, facts: RequestFacts) -> Decision:
    """May ``person`` see ``part``? Released files only once they are released."""
    found = relation(person, facts)
    shown = VISIBLE[found] if facts.state in OPEN_STATES else VISIBLE[found] | ONCE_CLOSED[found]
    if part not in shown:
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


def can_read(part: Part, author: PersonId, person: Person, facts: RequestFacts) -> bool:
    """May ``person`` read what ``author`` wrote as ``part``? One's own words always, as long as one reviews at all."""
    own = person.id == author and can_see(Part.STATUS, person, facts)
    return own or can_see(part, person, facts)


def shown_state(person: Person, facts: RequestFacts) -> RequestState:
    """The state as ``person`` may know it: ``in-review`` says that somebody has approved."""
    if facts.state is RequestState.IN_REVIEW and not can_see(Part.REVIEWS, person, facts):
        return RequestState.SUBMITTED
    return facts.state
