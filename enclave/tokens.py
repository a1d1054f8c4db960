"""Workspace tokens: per person and per workspace, short-lived, signed with EdDSA (RFC 8037) by PyJWT.

The gateway holds only the public key. A token says who, in which project, from which workspace and until when; whether
that person may do a thing is decided anew at each call from the access files. Non-goal: sessions in the portal.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from enclave.domain.ids import PersonId, ProjectId, Username, WorkspaceId

AUDIENCE = "enclave-gateway"
ISSUER = "enclave-portal"
CLI_WORKSPACE = WorkspaceId("cli")
"""The workspace of a token that an admin issued on the machine (``enclave token issue``)."""

CANARY_WORKSPACE = WorkspaceId("canary")
"""The workspace of a token that carries an auditor's test query and nothing else."""


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
) -> str:
    """A signed token that holds for ``ttl`` from ``now`` (default: the clock)."""
    start = now or datetime.now(UTC)
    claims = {
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
    return TokenClaims(
        person=PersonId(claims["sub"]),
        username=Username(claims["usr"]),
        project=ProjectId(claims["prj"]),
        workspace=WorkspaceId(claims["wsp"]),
        token_id=claims["jti"],
        issued_at=int(claims["iat"]),
        expires_at=int(claims["exp"]),
    )
