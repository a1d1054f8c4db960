"""What admission may remember between two calls of one person: a signature that was right, a decision that was yes.

Neither outlives what it was made from. A token's signature stays right until the token expires; a decision is a pure
function of person, action, project record and day, so a changed people or project file is another question. Whether the
token has been withdrawn is not remembered: that is looked up at every call. Refusals are never remembered.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from enclave.domain.decisions import Allow, Decision
from enclave.domain.people import Person
from enclave.domain.projects import ProjectRecord
from enclave.gateway.recent import Recent
from enclave.policy import PolicyAction, PolicyDecisionPoint
from enclave.tokens import TokenClaims, verify

REMEMBERED = 4096


class VerifiedTokens:
    """``verify`` as ``enclave.tokens`` has it, with the signature checked once per token."""

    def __init__(self, public_key: Ed25519PublicKey, clock: Callable[[], float] = time.time) -> None:
        self._key = public_key
        self._clock = clock
        self._recent: Recent[str, TokenClaims] = Recent(REMEMBERED)

    def verify(self, token: str) -> TokenClaims:
        """Raises TokenError."""
        found = self._recent.find(token)
        if found is not None and found.expires_at > self._clock():
            return found
        claims = verify(self._key, token)
        self._recent.keep(token, claims)
        return claims


class RememberedDecisions:
    """``decide`` as the decision point has it; what was allowed is not asked again on the same facts."""

    def __init__(self, policy: PolicyDecisionPoint) -> None:
        self._policy = policy
        self._recent: Recent[tuple[Person, PolicyAction, ProjectRecord, date], Allow] = Recent(REMEMBERED)

    def decide(self, person: Person, action: PolicyAction, project: ProjectRecord, today: date) -> Decision:
        """Allow or Deny with reasons; ``today`` in UTC."""
        key = (person, action, project, today)
        found = self._recent.find(key)
        if found is not None:
            return found
        decision = self._policy.decide(person, action, project, today)
        if isinstance(decision, Allow):
            self._recent.keep(key, decision)
        return decision
