"""The states of an output request and the one table that says which verb leads where.

Pages take their buttons from ``TRANSITIONS`` and the actions enforce it, so the two cannot drift apart.
Non-goal: who may do a thing to *this* request; that is ``egress_review.domain.rules``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from egress_review.domain.sentences import Sentence
from enclave.domain.decisions import Allow, Decision, Deny


class RequestState(StrEnum):
    """Stored strings. ``submitted`` → first approval → ``in-review`` → second → ``approved`` → ``released``."""

    SUBMITTED = "submitted"
    IN_REVIEW = "in-review"
    APPROVED = "approved"
    RELEASED = "released"
    REJECTED = "rejected"
    RETURNED = "returned"
    """Sent back for changes: what comes next is another request that follows this one."""
    WITHDRAWN = "withdrawn"
    VOIDED = "voided"
    """The bytes held no longer match what was reviewed, or a condition of the release no longer holds."""


class Verb(StrEnum):
    """What people and the runner do to an output request."""

    APPROVE = "approve"
    REJECT = "reject"
    RETURN = "return"
    WITHDRAW = "withdraw"
    REACH_QUORUM = "reach-quorum"
    RELEASE = "release"
    VOID = "void"


@dataclass(frozen=True)
class Transition:
    """From which states a verb may be done and where it leads."""

    sources: frozenset[RequestState]
    target: RequestState


_S = RequestState
_OPEN = frozenset({_S.SUBMITTED, _S.IN_REVIEW})

TRANSITIONS: dict[Verb, Transition] = {
    Verb.APPROVE: Transition(_OPEN, _S.IN_REVIEW),
    Verb.REJECT: Transition(_OPEN, _S.REJECTED),
    Verb.RETURN: Transition(_OPEN, _S.RETURNED),
    Verb.WITHDRAW: Transition(_OPEN, _S.WITHDRAWN),
    Verb.REACH_QUORUM: Transition(frozenset({_S.IN_REVIEW}), _S.APPROVED),
    Verb.RELEASE: Transition(frozenset({_S.APPROVED}), _S.RELEASED),
    Verb.VOID: Transition(_OPEN | {_S.APPROVED}, _S.VOIDED),
}

OPEN_STATES: frozenset[RequestState] = _OPEN
"""Waiting for reviewers."""
FOLLOWABLE_STATES: frozenset[RequestState] = frozenset({_S.RETURNED, _S.REJECTED, _S.WITHDRAWN, _S.VOIDED})
"""Closed without a release: the requester may make the next version. Each is final: a follow-up is another request."""

_CLOSED_BECAUSE: dict[RequestState, Sentence] = {
    _S.SUBMITTED: Sentence("This output request has not been reviewed yet. Wait for two reviewers to decide."),
    _S.IN_REVIEW: Sentence("This output request still needs a second reviewer. Ask a colleague to review it."),
    _S.APPROVED: Sentence("This output request is already approved; its release is under way."),
    _S.RELEASED: Sentence("This output request is already released. For other bytes, make a new output request."),
    _S.REJECTED: Sentence("This output request was rejected. Change the files and make a new output request."),
    _S.RETURNED: Sentence("This output request was sent back for changes. Change the files and make the next version."),
    _S.WITHDRAWN: Sentence("This output request was withdrawn. Make a new output request."),
    _S.VOIDED: Sentence("This output request is void: its approvals no longer hold. Make a new output request."),
}


def decide_transition(verb: Verb, state: RequestState) -> Decision:
    """May ``verb`` be done in ``state``, whoever asks?"""
    if state in TRANSITIONS[verb].sources:
        return Allow((f"output-request-{verb}",))
    return Deny((_CLOSED_BECAUSE[state],))


def decide_open(state: RequestState) -> Decision:
    """Do reviewers still look at a request in ``state``? For what changes no state, such as a remark."""
    return Allow(("output-request-open",)) if state in OPEN_STATES else Deny((_CLOSED_BECAUSE[state],))


def decide_followable(state: RequestState) -> Decision:
    """May a request in ``state`` have a next version?"""
    if state in FOLLOWABLE_STATES:
        return Allow(("output-request-follow",))
    if state in OPEN_STATES:
        return Deny((Sentence("Reviewers still look at this version. Wait for their decision, or withdraw it."),))
    return Deny((_CLOSED_BECAUSE[state],))


def next_state(verb: Verb, state: RequestState) -> RequestState:
    """Where ``verb`` leads from ``state``. Raises ValueError when the table has no such step (a fault of ours)."""
    rule = TRANSITIONS[verb]
    if state not in rule.sources:
        raise ValueError(f"expected one of {sorted(rule.sources)} before {verb}, found {state}")
    return rule.target
