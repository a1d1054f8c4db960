"""Workspace tokens: per person and per workspace, short-lived, signed with EdDSA (RFC 8037) by PyJWT.

The gateway holds only the public key. A token says who, in which project, from which workspace and until when; whether
that person may do a thing is decided anew at each call from the access files. A token is good at one kind of door: a
workspace's own is worthless on the gateway's TCP port, and one for the port is worthless in a workspace. One for the
port may be bound to the name in a client certificate (``cnf``, RFC 7800). Non-goal: sessions in the portal.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from enclave.domain.ids import PersonId, ProjectId, Username, WorkspaceId

AUDIENCE = "enclave-gateway"
ISSUER = "enclave-portal"
CLI_WORKSPACE = WorkspaceId("cli")
"""The workspace of a token that an admin issued on the machine (``enclave token issue``)."""

CANARY_WORKSPACE = WorkspaceId("canary")
"""The workspace of a token that carries an auditor's test query and nothing else."""


_CLIENT_NAME = "tls-client-name"


class DoorKind(StrEnum):
    """Where a token may be shown: at a unix socket (tokens say nothing then), or at the gateway's TCP port."""

    UNIX = "unix"
    TCP = "tcp"


@dataclass(frozen=True)
class TokenClaims:
    """What a valid token says. Times in Unix seconds."""

    person: PersonId
    username: Username
    project: ProjectId
    workspace: WorkspaceId
    token_id: str
    issued_at: int
    expires_at: int
    door: DoorKind = DoorKind.UNIX
    client: str = ""
    """Name in the client certificate the token is bound to; empty: bound to none."""


class TokenError(Exception):
    """The token is not acceptable; the sentence says why and what to do, never the token."""


def issue(
    private_key: Ed25519PrivateKey,
    *,
    person: PersonId,
    username: Username,
    project: ProjectId,
    workspace: WorkspaceId,
    ttl: timedelta,
    now: datetime | None = None,
    door: DoorKind = DoorKind.UNIX,
    client: str = "",
) -> str:
    """A signed token that holds for ``ttl`` from ``now`` (default: the clock)."""
    start = now or datetime.now(UTC)
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": person,
        "usr": username,
        "prj": project,
        "wsp": workspace,
        "jti": secrets.token_hex(8),
        "iat": int(start.timestamp()),
        "exp": int((start + ttl).timestamp()),
    }
    if door is not DoorKind.UNIX:
        claims["door"] = door
    if client:
        claims["cnf"] = {_CLIENT_NAME: client}
    return jwt.encode(claims, private_key, algorithm="EdDSA")


def verify(public_key: Ed25519PublicKey, token: str) -> TokenClaims:
    """Check signature, audience and times; raises TokenError."""
    required = ["sub", "usr", "prj", "wsp", "jti", "iat", "exp"]
    try:
        claims = jwt.decode(
            token, public_key, algorithms=["EdDSA"], audience=AUDIENCE, issuer=ISSUER, options={"require": required}
        )
    except jwt.ExpiredSignatureError as error:
        raise TokenError("This token has expired. Read the token file again, or restart the workspace.") from error
    except jwt.InvalidTokenError as error:
        raise TokenError(
            "Expected a token signed by this enclave's portal, found one that is altered or from elsewhere. "
            "Use the token of this workspace as it is."
        ) from error
    if not all(isinstance(claims[name], str) for name in required[:5]):
        raise TokenError("Expected text claims in the token, found other types. Use the token as it was issued.")
    door, client = _binding(claims)
    return TokenClaims(
        person=PersonId(claims["sub"]),
        username=Username(claims["usr"]),
        project=ProjectId(claims["prj"]),
        workspace=WorkspaceId(claims["wsp"]),
        token_id=claims["jti"],
        issued_at=int(claims["iat"]),
        expires_at=int(claims["exp"]),
        door=door,
        client=client,
    )


def _binding(claims: dict[str, Any]) -> tuple[DoorKind, str]:
    """Where the token may be shown and by whom; a binding this version does not know is no binding to ignore."""
    try:
        door = DoorKind(claims.get("door", DoorKind.UNIX))
        confirmation = claims.get("cnf", {_CLIENT_NAME: ""})
        (client,) = confirmation.values()
        if set(confirmation) != {_CLIENT_NAME} or not isinstance(client, str):
            raise ValueError
    except (ValueError, AttributeError, TypeError) as error:
        raise TokenError(
            "Expected a token bound as this gateway knows it, found another binding. Ask for a new token."
        ) from error
    return door, client
