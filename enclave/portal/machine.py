"""What an admin does at the machine's command line: tokens for tests and tools (``enclave token issue``)."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.portal.actions.workspaces import check_may_work, find_member_and_project, issue_workspace_token
from enclave.portal.record import audited_change
from enclave.tokens import CLI_WORKSPACE, DoorKind

LONGEST = timedelta(hours=24)


def issue_token(username: str, project: str, ttl: timedelta, door: DoorKind = DoorKind.UNIX, client: str = "") -> str:
    """A token for a member of an active project, recorded. Raises ``RefusedError`` with sentences, also recorded."""
    with audited_change(None, refusal=EventType.TOKEN_REFUSED) as change:
        user, row = find_member_and_project(username, project)
        change.project = row.pk
        if not timedelta(0) < ttl <= LONGEST:
            raise RefusedError("Expected a token life between 1 second and 24 hours, found another one. Change --ttl.")
        _check_binding(door, client)
        policies = check_may_work(user, row)
        change.record(
            EventType.TOKEN_ISSUED,
            workspace=CLI_WORKSPACE,
            subject=user.person_id,
            decision="allow",
            policies=policies,
            counts={"token_seconds": int(ttl.total_seconds())},
            data={"door": door, **({"client": client} if client else {})} if door is not DoorKind.UNIX else {},
        )
    return issue_workspace_token(user, row, CLI_WORKSPACE, ttl, door, client)


def _check_binding(door: DoorKind, client: str) -> None:
    """A token nobody could use is not issued: with mutual TLS it names a certificate, without it cannot."""
    wants = door is DoorKind.TCP and settings.ENCLAVE.gateway_tls_client_ca is not None
    if wants and not client:
        raise RefusedError(
            "Expected --client with the first name in the client's certificate, found none: the gateway's TCP port "
            "asks for client certificates (gateway_tls_client_ca). Add --client."
        )
    if client and not wants:
        raise RefusedError(
            "Expected --client only with --tcp and a gateway whose TCP port asks for client certificates "
            "(gateway_tls_client_ca), found it without. Leave it out."
        )
