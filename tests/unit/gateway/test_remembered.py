"""What admission remembers ends with what it was made from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enclave.domain.decisions import Allow, Deny
from enclave.domain.ids import ExtractVersion, PersonId, ProjectId, Username, WorkspaceId
from enclave.domain.people import Person, Role
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.gateway.recent import Recent
from enclave.gateway.remembered import RememberedDecisions, VerifiedTokens
from enclave.policy import PolicyAction, PolicyDecisionPoint
from enclave.tokens import TokenError, issue

_ALICE = PersonId("u-000000000001")
_PERSON = Person(_ALICE, Username("alice"), frozenset({Role.RESEARCHER}))
_TODAY = date(2026, 5, 1)
_RECORD = ProjectRecord(
    ProjectId("heart-study"),
    "A study",
    ProjectState.ACTIVE,
    ExtractVersion("v1"),
    "0" * 64,
    date(2026, 12, 31),
    frozenset({_ALICE}),
)


def test_a_remembered_token_still_expires() -> None:
    key = Ed25519PrivateKey.generate()
    now = datetime.now(UTC)
    token = issue(
        key,
        person=_ALICE,
        username=Username("alice"),
        project=_RECORD.id,
        workspace=WorkspaceId("cli"),
        ttl=timedelta(seconds=-1),
        now=now + timedelta(seconds=3),
    )
    clock = [now.timestamp() - 60]
    issued_for_later = VerifiedTokens(key.public_key(), lambda: clock[0])
    with pytest.raises(TokenError):  # its time of issue lies ahead, so it is refused and not remembered
        issued_for_later.verify(token)
    good = issue(
        key,
        person=_ALICE,
        username=Username("alice"),
        project=_RECORD.id,
        workspace=WorkspaceId("cli"),
        ttl=timedelta(minutes=1),
    )
    tokens = VerifiedTokens(key.public_key(), lambda: clock[0])
    first = tokens.verify(good)
    assert tokens.verify(good) is first
    clock[0] = first.expires_at
    assert tokens.verify(good) is not first  # the clock says it is over, so the signature's library decides again


def test_another_or_altered_token_is_not_the_remembered_one() -> None:
    key, stranger = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    tokens = VerifiedTokens(key.public_key())

    def token(signer: Ed25519PrivateKey) -> str:
        names = {"person": _ALICE, "username": Username("alice"), "project": _RECORD.id}
        return issue(signer, workspace=WorkspaceId("cli"), ttl=timedelta(minutes=1), **names)

    good = token(key)
    tokens.verify(good)
    for bad in (good[:-2] + ("AA" if good[-2:] != "AA" else "BB"), good + "A", token(stranger)):
        with pytest.raises(TokenError):
            tokens.verify(bad)


@pytest.mark.parametrize(
    ("person", "record", "today"),
    [
        (replace(_PERSON, active=False), _RECORD, _TODAY),
        (replace(_PERSON, roles=frozenset({Role.ADMIN})), _RECORD, _TODAY),
        (_PERSON, replace(_RECORD, members=frozenset()), _TODAY),
        (_PERSON, replace(_RECORD, state=ProjectState.CLOSED), _TODAY),
        (_PERSON, _RECORD, date(2027, 1, 1)),
    ],
)
def test_a_remembered_decision_holds_for_the_same_facts_only(
    person: Person, record: ProjectRecord, today: date
) -> None:
    decisions = RememberedDecisions(PolicyDecisionPoint())
    first = decisions.decide(_PERSON, PolicyAction.QUERY, _RECORD, _TODAY)
    assert isinstance(first, Allow)
    assert decisions.decide(_PERSON, PolicyAction.QUERY, _RECORD, _TODAY) is first
    assert isinstance(decisions.decide(person, PolicyAction.QUERY, record, today), Deny)


def test_only_the_most_recently_used_are_kept() -> None:
    recent: Recent[str, int] = Recent(2)
    for name in ("a", "b"):
        recent.keep(name, 1)
    assert recent.find("a") == 1
    recent.keep("c", 1)
    assert recent.find("b") is None and recent.find("a") == 1
