"""The release receipt: a JWS (RFC 7515, compact, EdDSA) that anybody with the public key can verify.

It says which bytes left (names, SHA-256, lengths), who asked, who approved and when, under which data permit, and where
the audit log holds the record (origin and index). No revocation: a receipt states what happened. SATRE 3.3.09.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from egress_review.domain.snapshots import SnapshotFile

TYPE = "enclave-release+jws"
ISSUER = "enclave-egress-review"


class ReceiptError(Exception):
    """The text is not a receipt signed with this key."""


@dataclass(frozen=True)
class ReceiptApproval:
    """One approval; ``at`` RFC 3339, UTC."""

    by: str
    at: str


@dataclass(frozen=True)
class Receipt:
    """Content of a receipt. ``issued_at`` in Unix seconds; ids are person ids, never names."""

    request: str
    project: str
    requester: str
    files: tuple[SnapshotFile, ...]
    snapshot_sha256: str
    approvals: tuple[ReceiptApproval, ...]
    permit_sha256: str
    log_origin: str
    log_index: int
    issued_at: int


def issue(private_key: Ed25519PrivateKey, receipt: Receipt) -> str:
    """The signed receipt as text."""
    claims = asdict(receipt)
    claims["iss"] = ISSUER
    return jwt.encode(claims, private_key, algorithm="EdDSA", headers={"typ": TYPE})


def verify(text: str, public_key: Ed25519PublicKey) -> Receipt:
    """The content of a receipt whose signature holds; raises ReceiptError."""
    try:
        whole = jwt.decode_complete(text, public_key, algorithms=["EdDSA"], issuer=ISSUER)
    except jwt.InvalidTokenError as error:
        raise ReceiptError(
            "Expected a receipt signed by this enclave, found one that is altered or from elsewhere. "
            "Compare it with the one in the portal."
        ) from error
    if whole["header"].get("typ") != TYPE:
        raise ReceiptError(f"Expected a signed text of type {TYPE}, found another type. Use the file receipt.jws.")
    try:
        return _read(whole["payload"])
    except (KeyError, TypeError, ValueError) as error:
        raise ReceiptError("Expected the fields of a release receipt, found others. Use receipt.jws.") from error


def _read(claims: dict[str, Any]) -> Receipt:
    return Receipt(
        request=str(claims["request"]),
        project=str(claims["project"]),
        requester=str(claims["requester"]),
        files=tuple(SnapshotFile(str(f["name"]), str(f["sha256"]), int(f["bytes"])) for f in claims["files"]),
        snapshot_sha256=str(claims["snapshot_sha256"]),
        approvals=tuple(ReceiptApproval(str(a["by"]), str(a["at"])) for a in claims["approvals"]),
        permit_sha256=str(claims["permit_sha256"]),
        log_origin=str(claims["log_origin"]),
        log_index=int(claims["log_index"]),
        issued_at=int(claims["issued_at"]),
    )


def approvals_of(rows: Sequence[tuple[str, datetime]]) -> tuple[ReceiptApproval, ...]:
    """(person id, aware UTC time) → approvals of a receipt, in order of time."""
    return tuple(ReceiptApproval(by, at.isoformat(timespec="seconds")) for by, at in sorted(rows, key=lambda r: r[1]))
