"""The rules of the egress review as tables: states and verbs, who may decide, remark, follow, when bytes may leave."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_review.domain.rules import (
    QUORUM,
    REMARK_CHARACTERS,
    REMARKS,
    FollowedFacts,
    ReleaseConditions,
    RequestFacts,
    ReviewFact,
    SubmitFacts,
    Verdict,
    can_follow,
    can_submit,
    can_withdraw,
    decide_follow,
    decide_release,
    decide_remark,
    decide_review,
    has_quorum,
    valid_approvers,
)
from egress_review.domain.snapshots import SnapshotFile, snapshot_sha256
from egress_review.domain.states import TRANSITIONS, RequestState, Verb, decide_transition, next_state
from enclave.domain.decisions import Allow, Deny
from enclave.domain.people import Person, Role

S, V = RequestState, Verb
TODAY = date(2026, 6, 1)


def person(number: int, *roles: Role, active: bool = True) -> Person:
    return Person(id=f"u-{number:012x}", username=f"p{number}", roles=frozenset(roles), active=active)


REQUESTER = person(1, Role.RESEARCHER)
STEWARD = person(2, Role.DATA_STEWARD)
CHECKER = person(3, Role.OUTPUT_CHECKER)
THIRD = person(4, Role.OUTPUT_CHECKER)
RESEARCHER = person(5, Role.RESEARCHER)
AUDITOR = person(6, Role.AUDITOR)
ADMIN = person(7, Role.ADMIN)
OFFICER = person(8, Role.DATA_PROTECTION_OFFICER)
REVOKED = person(9, Role.OUTPUT_CHECKER, active=False)
STEWARD_REQUESTER = person(1, Role.RESEARCHER, Role.DATA_STEWARD, Role.OUTPUT_CHECKER, Role.AUDITOR)

OPEN = RequestFacts(REQUESTER.id, S.SUBMITTED, "a" * 64, is_quarantined=False)
APPROVE, REJECT, RETURN = Verdict.APPROVE, Verdict.REJECT, Verdict.RETURN


def reviewed(*reviews: tuple[Person, Verdict, str], state: RequestState = S.IN_REVIEW) -> RequestFacts:
    facts = tuple(ReviewFact(who.id, verdict, letter * 64) for who, verdict, letter in reviews)
    return replace(OPEN, state=state, reviews=facts)


STEPS = {
    (V.APPROVE, S.SUBMITTED): S.IN_REVIEW,
    (V.APPROVE, S.IN_REVIEW): S.IN_REVIEW,
    (V.REACH_QUORUM, S.IN_REVIEW): S.APPROVED,
    (V.RELEASE, S.APPROVED): S.RELEASED,
    (V.REJECT, S.SUBMITTED): S.REJECTED,
    (V.REJECT, S.IN_REVIEW): S.REJECTED,
    (V.RETURN, S.SUBMITTED): S.RETURNED,
    (V.RETURN, S.IN_REVIEW): S.RETURNED,
    (V.WITHDRAW, S.SUBMITTED): S.WITHDRAWN,
    (V.WITHDRAW, S.IN_REVIEW): S.WITHDRAWN,
    (V.VOID, S.SUBMITTED): S.VOIDED,
    (V.VOID, S.IN_REVIEW): S.VOIDED,
    (V.VOID, S.APPROVED): S.VOIDED,
}


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("state", RequestState)
def test_states(verb: Verb, state: RequestState) -> None:
    assert isinstance(decide_transition(verb, state), Allow) is ((verb, state) in STEPS)
    if (verb, state) in STEPS:
        assert next_state(verb, state) is STEPS[verb, state]
    else:
        with pytest.raises(ValueError, match="expected one of"):
            next_state(verb, state)


def test_every_verb_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(Verb)


LONG = "Looked at every cell of it, none is about people."
REVIEWS = [
    # verb, who, facts, hash seen, comment, allowed
    (V.APPROVE, STEWARD, OPEN, "a", "", True),
    (V.APPROVE, CHECKER, OPEN, "a", "", True),
    (V.APPROVE, REQUESTER, OPEN, "a", "", False),
    (V.APPROVE, STEWARD_REQUESTER, OPEN, "a", "", False),
    (V.REJECT, STEWARD_REQUESTER, OPEN, "a", "no", False),
    (V.APPROVE, RESEARCHER, OPEN, "a", "", False),
    (V.APPROVE, AUDITOR, OPEN, "a", "", False),
    (V.APPROVE, ADMIN, OPEN, "a", "", False),
    (V.APPROVE, OFFICER, OPEN, "a", "", False),
    (V.APPROVE, REVOKED, OPEN, "a", "", False),
    (V.APPROVE, CHECKER, OPEN, "b", "", False),
    (V.APPROVE, CHECKER, reviewed((STEWARD, APPROVE, "a")), "a", "", True),
    (V.APPROVE, STEWARD, reviewed((STEWARD, APPROVE, "a")), "a", "", False),
    (V.REJECT, STEWARD, reviewed((STEWARD, APPROVE, "a")), "a", "changed my mind", False),
    (V.APPROVE, CHECKER, replace(OPEN, is_quarantined=True), "a", "ok", False),
    (V.APPROVE, CHECKER, replace(OPEN, is_quarantined=True), "a", " " * 50, False),
    (V.APPROVE, CHECKER, replace(OPEN, is_quarantined=True), "a", LONG, True),
    (V.APPROVE, CHECKER, OPEN, "a", "x" * 5000, False),
    (V.REJECT, CHECKER, OPEN, "a", "", False),
    (V.REJECT, CHECKER, OPEN, "a", "  ", False),
    (V.REJECT, CHECKER, OPEN, "a", "too small", True),
    (V.RETURN, CHECKER, OPEN, "a", " ", False),
    (V.RETURN, CHECKER, OPEN, "a", "round the counts", True),
    (V.RETURN, CHECKER, reviewed((STEWARD, APPROVE, "a")), "a", "round the counts", True),
    (V.RETURN, STEWARD, reviewed((STEWARD, APPROVE, "a")), "a", "round the counts", False),
    (V.RETURN, STEWARD_REQUESTER, OPEN, "a", "round the counts", False),
    (V.RETURN, RESEARCHER, OPEN, "a", "round the counts", False),
    (V.RETURN, AUDITOR, OPEN, "a", "round the counts", False),
    (V.RETURN, CHECKER, OPEN, "a", "x" * 5000, False),
    (V.RETURN, CHECKER, replace(OPEN, is_quarantined=True), "a", "no", True),
    (V.RETURN, THIRD, replace(OPEN, state=S.APPROVED), "a", "late", False),
    (V.RETURN, THIRD, replace(OPEN, state=S.RETURNED), "a", "again", False),
    (V.APPROVE, THIRD, replace(OPEN, state=S.RETURNED), "a", LONG, False),
    (V.APPROVE, CHECKER, replace(OPEN, state=S.REJECTED), "a", "", False),
    (V.APPROVE, CHECKER, replace(OPEN, state=S.VOIDED), "a", "", False),
    (V.APPROVE, THIRD, replace(OPEN, state=S.APPROVED), "a", "", False),
    (V.REJECT, THIRD, replace(OPEN, state=S.APPROVED), "a", "late", False),
]


@pytest.mark.parametrize(("verb", "who", "facts", "seen", "comment", "allowed"), REVIEWS)
def test_reviews(verb: Verb, who: Person, facts: RequestFacts, seen: str, comment: str, allowed: bool) -> None:
    assert isinstance(decide_review(verb, who, facts, seen * 64, comment), Allow) is allowed


QUORA = [
    ((), False),
    (((STEWARD, APPROVE, "a"),), False),
    (((STEWARD, APPROVE, "a"), (CHECKER, APPROVE, "a")), True),
    (((STEWARD, APPROVE, "a"), (STEWARD, APPROVE, "a")), False),
    (((STEWARD, APPROVE, "a"), (CHECKER, APPROVE, "b")), False),
    (((STEWARD, APPROVE, "a"), (REQUESTER, APPROVE, "a")), False),
    (((STEWARD, APPROVE, "a"), (CHECKER, APPROVE, "a"), (THIRD, REJECT, "a")), False),
    (((STEWARD, APPROVE, "a"), (CHECKER, REJECT, "a")), False),
    (((STEWARD, APPROVE, "a"), (CHECKER, APPROVE, "a"), (THIRD, RETURN, "a")), False),
]


@pytest.mark.parametrize(("reviews", "reached"), QUORA)
def test_quorum(reviews: tuple[tuple[Person, Verdict, str], ...], reached: bool) -> None:
    assert has_quorum(reviewed(*reviews)) is reached


APPROVED = reviewed((STEWARD, APPROVE, "a"), (CHECKER, APPROVE, "a"), state=S.APPROVED)
GOOD = ReleaseConditions("a" * 64, TODAY, TODAY, True, frozenset({STEWARD.id, CHECKER.id}))
RELEASES = [
    (APPROVED, GOOD, True),
    (replace(APPROVED, state=S.IN_REVIEW), GOOD, False),
    (replace(APPROVED, state=S.RELEASED), GOOD, False),
    (replace(APPROVED, state=S.VOIDED), GOOD, False),
    (APPROVED, replace(GOOD, held_sha256="b" * 64), False),
    (APPROVED, replace(GOOD, held_sha256=""), False),
    (APPROVED, replace(GOOD, permit_expires_on=date(2026, 5, 31)), False),
    (APPROVED, replace(GOOD, is_requester_active=False), False),
    (APPROVED, replace(GOOD, still_reviewers=frozenset({STEWARD.id})), False),
    (replace(APPROVED, snapshot_sha256="b" * 64), replace(GOOD, held_sha256="b" * 64), False),
]


@pytest.mark.parametrize(("facts", "now", "allowed"), RELEASES)
def test_release(facts: RequestFacts, now: ReleaseConditions, allowed: bool) -> None:
    assert isinstance(decide_release(facts, now), Allow) is allowed


MAY = SubmitFacts(True, True, TODAY, TODAY)
SUBMISSIONS = [
    (REQUESTER, MAY, True),
    (replace(REQUESTER, active=False), MAY, False),
    (REQUESTER, replace(MAY, is_member=False), False),
    (REQUESTER, replace(MAY, is_project_active=False), False),
    (REQUESTER, replace(MAY, today=date(2026, 6, 2)), False),
    (REQUESTER, replace(MAY, open_requests=19), True),
    (REQUESTER, replace(MAY, open_requests=20), False),
]


@pytest.mark.parametrize(("who", "facts", "allowed"), SUBMISSIONS)
def test_submit(who: Person, facts: SubmitFacts, allowed: bool) -> None:
    assert can_submit(who, facts) is allowed


CLOSED = [state for state in RequestState if state not in (S.SUBMITTED, S.IN_REVIEW)]
REMARKED = [
    # who, facts, text, remarks made before, allowed
    (STEWARD, OPEN, "line 3?", 0, True),
    (CHECKER, reviewed((STEWARD, APPROVE, "a")), "line 3?", REMARKS - 1, True),
    (CHECKER, OPEN, "line 3?", REMARKS, False),
    (CHECKER, OPEN, " ", 0, False),
    (CHECKER, OPEN, "x" * (REMARK_CHARACTERS + 1), 0, False),
    (STEWARD, reviewed((STEWARD, APPROVE, "a")), "one thing more", 1, False),
    (REQUESTER, OPEN, "look", 0, False),
    (STEWARD_REQUESTER, OPEN, "look", 0, False),
    (RESEARCHER, OPEN, "look", 0, False),
    (AUDITOR, OPEN, "look", 0, False),
    (ADMIN, OPEN, "look", 0, False),
    (REVOKED, OPEN, "look", 0, False),
    *((CHECKER, replace(OPEN, state=state), "late", 0, False) for state in CLOSED),
]


@pytest.mark.parametrize(("who", "facts", "text", "given", "allowed"), REMARKED)
def test_remarks(who: Person, facts: RequestFacts, text: str, given: int, allowed: bool) -> None:
    assert isinstance(decide_remark(who, facts, text, given), Allow) is allowed


@pytest.mark.parametrize("state", RequestState)
def test_what_can_be_followed(state: RequestState) -> None:
    """Closed without a release; by its requester, in its project, once."""
    earlier = FollowedFacts(REQUESTER.id, "gut-study", state, is_followed=False)
    may = state in (S.RETURNED, S.REJECTED, S.WITHDRAWN, S.VOIDED)
    assert can_follow(REQUESTER, "gut-study", earlier) is may
    assert not can_follow(REQUESTER, "gut-study", replace(earlier, is_followed=True))
    for who, project in ((REQUESTER, "other-study"), (RESEARCHER, "gut-study"), (STEWARD, "gut-study")):
        assert decide_follow(who, project, earlier) == decide_follow(who, project, None)
        assert isinstance(decide_follow(who, project, earlier), Deny)


def test_only_the_requester_withdraws_and_only_in_time() -> None:
    for who in (STEWARD, CHECKER, RESEARCHER, AUDITOR, ADMIN):
        assert not can_withdraw(who, OPEN)
    for state in RequestState:
        assert can_withdraw(REQUESTER, replace(OPEN, state=state)) is (state in (S.SUBMITTED, S.IN_REVIEW))


PEOPLE = st.sampled_from([REQUESTER, STEWARD_REQUESTER, STEWARD, CHECKER, THIRD, RESEARCHER, AUDITOR, ADMIN, REVOKED])
TRIES = st.lists(
    st.tuples(st.sampled_from([V.APPROVE, V.REJECT, V.RETURN]), PEOPLE, st.sampled_from("ab"), st.just(LONG))
)


@given(TRIES)
def test_whatever_people_try_release_needs_two_others(tries: list[tuple[Verb, Person, str, str]]) -> None:
    """State machine: only what decide_review lets pass is applied, in any order."""
    facts = OPEN
    for verb, who, seen, comment in tries:
        if isinstance(decide_review(verb, who, facts, seen * 64, comment), Deny):
            continue
        verdict = Verdict(verb.value)
        facts = replace(
            facts,
            state=next_state(verb, facts.state),
            reviews=(*facts.reviews, ReviewFact(who.id, verdict, facts.snapshot_sha256)),
        )
        if verb is V.APPROVE and has_quorum(facts):
            facts = replace(facts, state=next_state(V.REACH_QUORUM, facts.state))
    assert len({review.by for review in facts.reviews}) == len(facts.reviews)
    if facts.state is S.APPROVED:
        approvers = valid_approvers(facts)
        assert len(approvers) >= QUORUM
        assert REQUESTER.id not in approvers


FILES = st.lists(st.builds(SnapshotFile, st.text(max_size=5), st.text("ab", min_size=4, max_size=4), st.integers(0, 9)))


@given(FILES, FILES)
def test_the_snapshot_hash_tells_any_two_apart(first: list[SnapshotFile], second: list[SnapshotFile]) -> None:
    def key(file: SnapshotFile) -> str:
        return file.name

    same = sorted(first, key=key) == sorted(second, key=key)
    assert (snapshot_sha256("r", first) == snapshot_sha256("r", second)) is same
    assert snapshot_sha256("r", first) != snapshot_sha256("s", first)
