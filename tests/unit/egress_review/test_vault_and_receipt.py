"""The vault holds bytes once and for all; a receipt says what left and cannot be altered."""

from __future__ import annotations

import stat
import subprocess
import threading
from dataclasses import asdict, replace
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from egress_review.checks_version import checks_sha256
from egress_review.domain.snapshots import SnapshotFile, sha256
from egress_review.receipt import (
    DisclosureControl,
    Receipt,
    ReceiptApproval,
    ReceiptError,
    ReceiptFindings,
    ReceiptReview,
    issue,
    verify,
)
from egress_review.vault import Vault, VaultError
from enclave.settings import REPOSITORY


def test_stored_by_hash_write_once(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault")
    digest = vault.store(b"table")
    assert vault.store(b"table") == digest == sha256(b"table")
    path = tmp_path / "vault" / "sha256" / digest[:2] / digest
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert vault.read(digest) == b"table"
    assert [p.name for p in (tmp_path / "vault").rglob("*") if p.is_file()] == [digest]


def test_altered_or_missing_bytes_are_never_given_out(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    digest = vault.store(b"table")
    path = tmp_path / "sha256" / digest[:2] / digest
    path.chmod(0o600)
    path.write_bytes(b"other")
    with pytest.raises(VaultError, match="were altered on disk"):
        vault.read(digest)
    with pytest.raises(VaultError, match="were altered on disk"):
        vault.store(b"table")
    assert vault.current_sha256(digest) == sha256(b"other")
    path.unlink()
    with pytest.raises(VaultError, match="Restore the vault"):
        vault.read(digest)
    assert vault.current_sha256(digest) == ""


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_only_hashes_are_names(tmp_path: Path, digest: str) -> None:
    with pytest.raises(VaultError, match="64 lower-case hex"):
        Vault(tmp_path).read(digest)


def test_many_writers_of_the_same_bytes(tmp_path: Path) -> None:
    found: list[str] = []
    writers = [threading.Thread(target=lambda: found.append(Vault(tmp_path).store(b"x" * 100_000))) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(20)
    assert found == [sha256(b"x" * 100_000)] * 8


RECEIPT = Receipt(
    request="r-000000000001",
    project="gut-study",
    requester="u-000000000001",
    files=(SnapshotFile("t.csv", "a" * 64, 12),),
    snapshot_sha256="b" * 64,
    approvals=(ReceiptApproval("u-000000000002", "2026-01-01T00:00:00+00:00"),),
    permit_sha256="c" * 64,
    log_origin="enclave.localhost/log",
    log_index=7,
    issued_at=1_767_225_600,
)


CONTROL = DisclosureControl(
    permit_sha256="c" * 64,
    minimum_count=11,
    file_types=(".csv", ".png"),
    maximum_bytes=5_000_000,
    maximum_files=20,
    quarantined=True,
    findings=(ReceiptFindings("picture", "info", 3), ReceiptFindings("small-count", "blocking", 1)),
    reviews=(ReceiptReview("u-000000000002", "2026-01-01T00:00:00+00:00", "approve", True),),
    checks_at_release_sha256="d" * 64,
)


@pytest.mark.parametrize("receipt", [RECEIPT, replace(RECEIPT, disclosure_control=CONTROL)])
def test_receipt_round_trip(receipt: Receipt) -> None:
    key = Ed25519PrivateKey.generate()
    text = issue(key, receipt)
    assert verify(text, key.public_key()) == receipt
    assert jwt.get_unverified_header(text) == {"alg": "EdDSA", "typ": "enclave-release+jws"}


def test_a_receipt_from_before_the_disclosure_control_was_in_it_still_verifies() -> None:
    key = Ed25519PrivateKey.generate()
    claims = {name: value for name, value in asdict(RECEIPT).items() if name != "disclosure_control"}
    claims["iss"] = "enclave-egress-review"
    old = jwt.encode(claims, key, algorithm="EdDSA", headers={"typ": "enclave-release+jws"})
    assert verify(old, key.public_key()) == RECEIPT
    for broken in (None, {}, {**asdict(CONTROL), "minimum_count": "many"}):
        wrong = jwt.encode(
            {**claims, "disclosure_control": broken}, key, algorithm="EdDSA", headers={"typ": "enclave-release+jws"}
        )
        with pytest.raises(ReceiptError, match="fields of a release receipt"):
            verify(wrong, key.public_key())


def test_the_version_of_the_checks_is_what_sha256sum_prints_of_them() -> None:
    folder = REPOSITORY / "egress_review"
    found = "find parsing sdc -name '*.py' 2>/dev/null | LC_ALL=C sort | xargs sha256sum | sha256sum"
    printed = subprocess.run(["sh", "-c", found], cwd=folder, capture_output=True, text=True, check=True).stdout
    assert printed.split()[0] == checks_sha256()


def test_receipt_of_another_key_or_altered_or_another_kind() -> None:
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    text = issue(key, RECEIPT)
    head, body, signature = text.split(".")
    for wrong in (issue(other, RECEIPT), f"{head}.{body[:-2]}AA.{signature}", f"{head}.{body}.", "", "a.b.c"):
        with pytest.raises(ReceiptError):
            verify(wrong, key.public_key())
    for claims, headers in (
        ({"iss": "enclave-portal"}, {"typ": "enclave-release+jws"}),
        ({"iss": "enclave-egress-review"}, {"typ": "JWT"}),
        ({"iss": "enclave-egress-review"}, {"typ": "enclave-release+jws"}),
    ):
        with pytest.raises(ReceiptError):
            verify(jwt.encode(claims, key, algorithm="EdDSA", headers=headers), key.public_key())
    nothing = jwt.encode({"iss": "enclave-egress-review"}, None, algorithm="none")
    with pytest.raises(ReceiptError):
        verify(nothing, key.public_key())
