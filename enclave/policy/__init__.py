"""Policy decision point: may this person do this in that project? Cedar decides, ``access_policies/`` says how.

Contract: ``load_policies`` refuses to start on a missing, unreadable or invalid policy; ``decide`` is pure and cheap
(about 0.2 ms). Non-goals: statement rules of the gateway (``enclave.gateway.gate``) and rules about who approves what
(``enclave.domain``).
"""

from enclave.policy.actions import PolicyAction
from enclave.policy.decision_point import PolicyDecisionPoint
from enclave.policy.explanation import Question, explain
from enclave.policy.loading import POLICY_FOLDER, PolicyError, load_policies

__all__ = [
    "POLICY_FOLDER",
    "PolicyAction",
    "PolicyDecisionPoint",
    "PolicyError",
    "Question",
    "explain",
    "load_policies",
]
