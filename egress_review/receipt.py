"""The release receipt: a JWS (RFC 7515, compact, EdDSA) that anybody with the public key can verify.

It says which bytes left (names, SHA-256, lengths), who asked, who approved and when, under which data permit, where the
audit log holds the record (origin and index), and by which criteria disclosure was controlled. Receipts from before
those were in it still verify. No revocation: a receipt states what happened. SATRE 3.3.09.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from egress_review.domain.findings import Finding
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
class ReceiptFindings:
    """How many findings of one check with one severity the reviewers saw."""

    check: str
    severity: str
    number: int


@dataclass(frozen=True)
class ReceiptReview:
    """One review; ``justified``: its reviewer wrote why, as a quarantined request needs. ``at`` RFC 3339, UTC."""

    by: str
    at: str
    verdict: str
    justified: bool


@dataclass(frozen=True)
class DisclosureControl:
    """The criteria, what the checks found by them at submission, and who looked. Never a file's value or a comment.

    ``checks_at_release_sha256``: the checks installed when the receipt was issued (``egress_review.checks_version``);
    an update between submission and release changes it.
    """

    permit_sha256: str
    minimum_count: int
    file_types: tuple[str, ...]
    maximum_bytes: int
    maximum_files: int
    quarantined: bool
    findings: tuple[ReceiptFindings, ...]
    reviews: tuple[ReceiptReview, ...]
    checks_at_release_sha256: str


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
    disclosure_control: DisclosureControl | None = None
    """None in receipts from before it was recorded."""


def issue(private_key: Ed25519PrivateKey, receipt: Receipt) -> str:
    """The signed receipt as text."""
    claims = asdict(receipt)
    if receipt.disclosure_control is None:
        del claims["disclosure_control"]
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
        disclosure_control=_read_control(claims["disclosure_control"]) if "disclosure_control" in claims else None,
    )


def _read_control(claims: dict[str, Any]) -> DisclosureControl:
    return DisclosureControl(
        permit_sha256=str(claims["permit_sha256"]),
        minimum_count=int(claims["minimum_count"]),
        file_types=tuple(str(file_type) for file_type in claims["file_types"]),
        maximum_bytes=int(claims["maximum_bytes"]),
        maximum_files=int(claims["maximum_files"]),
        quarantined=bool(claims["quarantined"]),
        findings=tuple(
            ReceiptFindings(str(f["check"]), str(f["severity"]), int(f["number"])) for f in claims["findings"]
        ),
        reviews=tuple(
            ReceiptReview(str(r["by"]), str(r["at"]), str(r["verdict"]), bool(r["justified"]))
            for r in claims["reviews"]
        ),
        checks_at_release_sha256=str(claims["checks_at_release_sha256"]),
    )


def approvals_of(rows: Sequence[tuple[str, datetime]]) -> tuple[ReceiptApproval, ...]:
    """(person id, aware UTC time) → approvals of a receipt, in order of time."""
    return tuple(ReceiptApproval(by, at.isoformat(timespec="seconds")) for by, at in sorted(rows, key=lambda r: r[1]))


def findings_of(found: Iterable[Finding]) -> tuple[ReceiptFindings, ...]:
    """Findings → their numbers by check and severity, in that order of names."""
    numbers = Counter((finding.check, finding.severity.value) for finding in found)
    return tuple(ReceiptFindings(check, severity, number) for (check, severity), number in sorted(numbers.items()))
