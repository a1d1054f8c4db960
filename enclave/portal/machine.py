"""What an admin does at the machine's command line: tokens for tests and tools (``enclave token issue``)."""

from __future__ import annotations

from datetime import timedelta

from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.portal.actions.workspaces import check_may_work, find_member_and_project, issue_workspace_token
from enclave.portal.record import audited_change
from enclave.tokens import CLI_WORKSPACE

LONGEST = timedelta(hours=24)


def issue_token(username: str, project: str, ttl: timedelta) -> str:
    """A token for a member of an active project, recorded. Raises ``RefusedError`` with sentences, also recorded."""
    with audited_change(None, refusal=EventType.TOKEN_REFUSED) as change:
        user, row = find_member_and_project(username, project)
        change.project = row.pk
        if not timedelta(0) < ttl <= LONGEST:
            raise RefusedError("Expected a token life between 1 second and 24 hours, found another one. Change --ttl.")
        policies = check_may_work(user, row)
        change.record(
            EventType.TOKEN_ISSUED,
            workspace=CLI_WORKSPACE,
            subject=user.person_id,
            decision="allow",
            policies=policies,
            counts={"token_seconds": int(ttl.total_seconds())},
        )
    return issue_workspace_token(user, row, CLI_WORKSPACE, ttl)
