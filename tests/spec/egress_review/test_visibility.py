"""Who sees what of an output request, and when, as tables: two reviewers decide independently of each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from egress_review.domain.rules import RequestFacts, ReviewFact, Verdict
from egress_review.domain.states import RequestState
from egress_review.domain.visibility import Part, can_read, can_see, shown_state
from enclave.domain.people import Person, Role

S = RequestState


def person(number: int, *roles: Role, active: bool = True) -> Person:
    return Person(id=f"u-{number:012x}", username=f"p{number}", roles=frozenset(roles), active=active)


REQUESTER = person(1, Role.RESEARCHER)
STEWARD_REQUESTER = person(1, Role.RESEARCHER, Role.DATA_STEWARD, Role.OUTPUT_CHECKER, Role.AUDITOR)
STEWARD = person(2, Role.DATA_STEWARD)
CHECKER = person(3, Role.OUTPUT_CHECKER)
CHECKER_AUDITOR = person(3, Role.OUTPUT_CHECKER, Role.AUDITOR)
RESEARCHER = person(5, Role.RESEARCHER)
AUDITOR = person(6, Role.AUDITOR)
ADMIN = person(7, Role.ADMIN)
OFFICER = person(8, Role.DATA_PROTECTION_OFFICER)
REVOKED = person(9, Role.OUTPUT_CHECKER, active=False)

OPEN = RequestFacts(REQUESTER.id, S.SUBMITTED, "a" * 64, is_quarantined=False)
APPROVED_BY_STEWARD = replace(
    OPEN, state=S.IN_REVIEW, reviews=(ReviewFact(STEWARD.id, Verdict.APPROVE, OPEN.snapshot_sha256),)
)
SUBJECT = Part.STATUS, Part.HASHES, Part.FINDINGS
WORDS = Part.REVIEWS, Part.REMARKS
SEEN = {
    # who: parts seen of a request that waits for reviewers, and those seen as well once nobody can decide any more
    REQUESTER: ({*SUBJECT}, {*WORDS}),
    STEWARD_REQUESTER: ({*SUBJECT}, {*WORDS}),
    STEWARD: ({*SUBJECT, Part.FILES, Part.QUERIES}, {*WORDS}),
    CHECKER: ({*SUBJECT, Part.FILES, Part.QUERIES}, {*WORDS}),
    AUDITOR: ({Part.STATUS, Part.HASHES, Part.REVIEWS}, set()),
    RESEARCHER: (set(), set()),
    ADMIN: (set(), set()),
    OFFICER: (set(), set()),
    REVOKED: (set(), set()),
}
CLOSED = [state for state in RequestState if state not in (S.SUBMITTED, S.IN_REVIEW)]


@pytest.mark.parametrize("who", SEEN)
@pytest.mark.parametrize("part", Part)
def test_visibility(who: Person, part: Part) -> None:
    always, after = SEEN[who]
    for state in (S.SUBMITTED, S.IN_REVIEW):
        assert can_see(part, who, replace(OPEN, state=state)) is (part in always)
    for state in CLOSED:
        own = part is Part.RELEASED_FILES and state is S.RELEASED and who in (REQUESTER, STEWARD_REQUESTER)
        assert can_see(part, who, replace(OPEN, state=state)) is (own or part in always | after)


def test_who_has_decided_sees_what_others_decided() -> None:
    for part in Part:
        assert can_see(part, STEWARD, APPROVED_BY_STEWARD) is (part is not Part.RELEASED_FILES)
        for who in (CHECKER, CHECKER_AUDITOR):
            assert can_see(part, who, APPROVED_BY_STEWARD) is (part in {*SUBJECT, Part.FILES, Part.QUERIES})


SHOWN_STATES = {
    # state that is: what the requester, a reviewer who has still to decide, one who has, and an auditor are told
    S.SUBMITTED: (S.SUBMITTED, S.SUBMITTED, S.SUBMITTED, S.SUBMITTED),
    S.IN_REVIEW: (S.SUBMITTED, S.SUBMITTED, S.IN_REVIEW, S.IN_REVIEW),
    **{state: (state,) * 4 for state in CLOSED},
}


@pytest.mark.parametrize("state", RequestState)
def test_the_state_tells_nobody_of_a_decision_too_early(state: RequestState) -> None:
    facts = replace(APPROVED_BY_STEWARD, state=state)
    told = tuple(shown_state(who, facts) for who in (REQUESTER, CHECKER, STEWARD, AUDITOR))
    assert told == SHOWN_STATES[state]


def test_people_read_their_own_words_and_strangers_none() -> None:
    for part in WORDS:
        assert can_read(part, CHECKER.id, CHECKER, OPEN)
        assert not can_read(part, STEWARD.id, CHECKER, OPEN)
        assert not can_read(part, STEWARD.id, REQUESTER, OPEN)
        assert not can_read(part, ADMIN.id, ADMIN, OPEN)
        assert can_read(part, STEWARD.id, REQUESTER, replace(OPEN, state=S.RETURNED))
