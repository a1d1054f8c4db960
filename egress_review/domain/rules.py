"""May this person do this to this output request now? Pure functions from frozen values to ``Allow`` or ``Deny``.

The rules, in the order they are asked:
1. the state allows the verb (``egress_review.domain.states``);
2. nobody decides about themselves: a requester is never a reviewer, whatever their roles (DESIGN.md, invariant 7);
3. only output checkers and data stewards review, one decision per person;
4. the reviewer decides about the bytes they saw: the snapshot hash must be the current one (invariant 6);
5. a finding that blocks quarantines: approving then needs a written justification (CNIL, EDS référentiel);
6. a release needs two distinct approvals of exactly these bytes, a permit that still holds,
   and a requester still active;
7. a reviewer remarks on files before deciding, never after: who has read the others is not independent of them;
8. the next version of a request is made by its requester, in its project, once, after it was closed without a release.
Each rule is a ``decide_x`` (the Decision); ``check_x`` raises, ``can_x`` is the boolean of a button. Approvals belong
to one request: no rule looks at those of an earlier version.
Not handled: whether the second reviewer belongs to another department; the enclave knows no departments.
SATRE 3.1.05, 3.1.06, 3.3.04 and 3.3.05.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from egress_review.domain.sentences import Sentence
from egress_review.domain.states import RequestState, Verb, decide_followable, decide_open, decide_transition
from enclave.domain.decisions import Allow, Decision, Deny, check
from enclave.domain.ids import PersonId, ProjectId
from enclave.domain.people import Person, Role

QUORUM = 2
REVIEWER_ROLES = frozenset({Role.OUTPUT_CHECKER, Role.DATA_STEWARD})
JUSTIFICATION_CHARACTERS = 20
"""A justification shorter than this says nothing."""
COMMENT_CHARACTERS = 4000
REMARK_CHARACTERS = 1000
REMARKS = 50
"""Per person and request."""
OPEN_REQUESTS = 20
"""Per person and project, so that nobody buries the reviewers."""


class Verdict(StrEnum):
    """Stored strings."""

    APPROVE = "approve"
    REJECT = "reject"
    RETURN = "return"


@dataclass(frozen=True)
class ReviewFact:
    """One recorded decision of one reviewer about one snapshot."""

    by: PersonId
    verdict: Verdict
    snapshot_sha256: str


@dataclass(frozen=True)
class RequestFacts:
    """What the rules need to know of an output request."""

    requester: PersonId
    state: RequestState
    snapshot_sha256: str
    is_quarantined: bool
    """A blocking finding is there."""
    reviews: tuple[ReviewFact, ...] = ()


@dataclass(frozen=True)
class FollowedFacts:
    """What the rules need to know of the request that another is to follow."""

    requester: PersonId
    project: ProjectId
    state: RequestState
    is_followed: bool


@dataclass(frozen=True)
class ReleaseConditions:
    """What is true at the moment of the release. ``held_sha256`` is computed from the bytes in the vault, now."""

    held_sha256: str
    today: date
    permit_expires_on: date
    is_requester_active: bool
    still_reviewers: frozenset[PersonId]
    """Which of the approvers are active and still hold a reviewer's role."""


@dataclass(frozen=True)
class SubmitFacts:
    """What decides whether somebody may make an output request in a project."""

    is_member: bool
    is_project_active: bool
    permit_expires_on: date
    today: date
    open_requests: int = 0
    """How many of this person's requests in this project wait for reviewers."""


def valid_approvers(facts: RequestFacts) -> frozenset[PersonId]:
    """Distinct people, never the requester, whose approval cites the current snapshot."""
    return frozenset(
        review.by
        for review in facts.reviews
        if review.verdict is Verdict.APPROVE
        and review.snapshot_sha256 == facts.snapshot_sha256
        and review.by != facts.requester
    )


def has_quorum(facts: RequestFacts) -> bool:
    """Two distinct valid approvals and nobody who decided otherwise."""
    return len(valid_approvers(facts)) >= QUORUM and all(r.verdict is Verdict.APPROVE for r in facts.reviews)


def decide_submit(person: Person, facts: SubmitFacts) -> Decision:
    """May ``person`` make an output request in this project today?"""
    if not person.active:
        return Deny((Sentence("Your access has been revoked. Ask the admin of the enclave."),))
    if not facts.is_member:
        return Deny((Sentence("Only people named in the data permit can ask for a release from this project."),))
    if not facts.is_project_active:
        return Deny((Sentence("This project is not active, so nothing can be released from it."),))
    if facts.today > facts.permit_expires_on:
        return Deny((_EXPIRED,))
    if facts.open_requests >= OPEN_REQUESTS:
        return Deny((Sentence("You have %(limit)s output requests in review. Wait for a decision, or withdraw one.",
                              limit=OPEN_REQUESTS),))  # fmt: skip
    return Allow(("output-request-submit",))


_EXPIRED = Sentence("The data permit of this project has expired. Ask the data access body for an amendment first.")


def decide_reviewer(person: Person, facts: RequestFacts) -> Decision:
    """May ``person`` review this request at all (rules 2 and 3, without the state)?"""
    if person.id == facts.requester:
        return Deny((Sentence("This is your own output request; others have to decide about it."),))
    if not person.active or not (person.roles & REVIEWER_ROLES):
        return Deny((Sentence("Only output checkers and data stewards review output requests."),))
    return Allow(("two-distinct-reviewers",))


def has_decided(person: Person, facts: RequestFacts) -> bool:
    """Has ``person`` given a decision about this request?"""
    return any(review.by == person.id for review in facts.reviews)


def decide_decision(verb: Verb, person: Person, facts: RequestFacts) -> Decision:
    """May ``person`` approve, reject or send back now? What the three buttons ask."""
    for decision in (decide_transition(verb, facts.state), decide_reviewer(person, facts)):
        if isinstance(decision, Deny):
            return decision
    if has_decided(person, facts):
        return Deny((Sentence("You have already decided about this output request. Each person decides once."),))
    return Allow(("two-distinct-reviewers", f"output-request-{verb}"))


def decide_review(verb: Verb, person: Person, facts: RequestFacts, seen_sha256: str, comment: str) -> Decision:
    """May ``person`` approve, reject or send back the bytes ``seen_sha256`` with this comment?"""
    first = decide_decision(verb, person, facts)
    if isinstance(first, Deny):
        return first
    if len(comment) > COMMENT_CHARACTERS:
        return Deny((Sentence("A comment has at most %(limit)s characters. Shorten it.", limit=COMMENT_CHARACTERS),))
    if verb in _NEEDS_WORDS:
        return first if comment.strip() else Deny((_NEEDS_WORDS[verb],))
    if seen_sha256 != facts.snapshot_sha256:
        return Deny((STALE,))
    if facts.is_quarantined and len(comment.strip()) < JUSTIFICATION_CHARACTERS:
        return Deny((NEEDS_JUSTIFICATION,))
    return first


_NEEDS_WORDS = {
    Verb.REJECT: Sentence("Say why you reject, so that the researcher can mend it."),
    Verb.RETURN: Sentence("Say what should change, so that the researcher can do it."),
}
STALE = Sentence("The files differ from those you were shown, so nothing was approved. Open the request again.")
NEEDS_JUSTIFICATION = Sentence(
    "A check failed, so approving needs a written justification of at least %(limit)s characters.",
    limit=JUSTIFICATION_CHARACTERS,
)


def is_stale(decision: Decision) -> bool:
    """A refusal because the reviewer was shown other bytes: a conflict (HTTP 409), not a question of who asks."""
    return isinstance(decision, Deny) and STALE in decision.reasons


def decide_remark(person: Person, facts: RequestFacts, text: str, given: int) -> Decision:
    """May ``person``, who has made ``given`` remarks on this request, make another? Only before their own decision."""
    for decision in (decide_open(facts.state), decide_reviewer(person, facts)):
        if isinstance(decision, Deny):
            return decision
    if has_decided(person, facts):
        return Deny((Sentence("You have decided, and your remarks are part of your decision. It is final."),))
    if given >= REMARKS:
        return Deny((Sentence("You have made %(limit)s remarks. Put the rest into your comment.", limit=REMARKS),))
    if not 0 < len(text.strip()) <= REMARK_CHARACTERS:
        return Deny((Sentence("Expected a remark of 1 to %(limit)s characters.", limit=REMARK_CHARACTERS),))
    return Allow(("output-request-remark",))


def decide_follow(person: Person, project: ProjectId, followed: FollowedFacts | None) -> Decision:
    """May ``person`` make the next version of ``followed`` in ``project``? None: there is no such request.

    Another person's request is refused with the words for one that does not exist, so ids of others tell nothing.
    """
    if followed is None or followed.requester != person.id or followed.project != project:
        return Deny(
            (
                Sentence(
                    "Expected an output request of yours in this project, found none with this id. Look at the list."
                ),
            )
        )
    step = decide_followable(followed.state)
    if isinstance(step, Deny):
        return step
    if followed.is_followed:
        return Deny((Sentence("This version has a next one already. Make the next version of the latest."),))
    return step


def decide_withdraw(person: Person, facts: RequestFacts) -> Decision:
    """Only the requester withdraws, while reviewers have not finished."""
    if person.id != facts.requester:
        return Deny((Sentence("Only the person who made the output request can withdraw it."),))
    return decide_transition(Verb.WITHDRAW, facts.state)


def decide_release(facts: RequestFacts, now: ReleaseConditions) -> Decision:
    """May exactly these bytes leave now? Asked again at the release, not only at the second approval."""
    step = decide_transition(Verb.RELEASE, facts.state)
    if isinstance(step, Deny):
        return step
    if now.held_sha256 != facts.snapshot_sha256:
        return Deny((Sentence("The files held are not those that were reviewed, so nothing is released."),))
    if not has_quorum(facts) or len(valid_approvers(facts) & now.still_reviewers) < QUORUM:
        return Deny((Sentence("Two approvals by two people who may still review are needed, and they are not there."),))
    if now.today > now.permit_expires_on:
        return Deny((_EXPIRED,))
    if not now.is_requester_active:
        return Deny((Sentence("The requester's access has been revoked, so nothing is released to them."),))
    return Allow(("two-approvals", "bytes-approved-are-bytes-released"))


def check_submit(person: Person, facts: SubmitFacts) -> None:
    """Raises RefusedError; see decide_submit."""
    check(decide_submit(person, facts))


def can_submit(person: Person, facts: SubmitFacts) -> bool:
    """See decide_submit."""
    return isinstance(decide_submit(person, facts), Allow)


def can_follow(person: Person, project: ProjectId, followed: FollowedFacts) -> bool:
    """See decide_follow."""
    return isinstance(decide_follow(person, project, followed), Allow)


def can_withdraw(person: Person, facts: RequestFacts) -> bool:
    """See decide_withdraw."""
    return isinstance(decide_withdraw(person, facts), Allow)
