"""The table in access_policies/README.md is what the policies say."""

from __future__ import annotations

from enclave.policy import PolicyAction, PolicyDecisionPoint
from enclave.policy.table import README, render, role_by_action


def test_the_readme_is_current() -> None:
    point = PolicyDecisionPoint()
    assert README.read_text(encoding="utf-8") == render(point), "run: python -m enclave.policy.table"


def test_only_researchers_reach_data() -> None:
    allowed = {role for role, row in role_by_action(PolicyDecisionPoint()).items() if row[PolicyAction.QUERY]}
    assert {str(role) for role in allowed} == {"researcher"}
