"""What all actions share: recording refusals, locking a request, and hashing what the vault holds.

File names and comments may hold anything a person types, so they go into the encrypted payload of a record, never into
its open part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.conf import settings

from egress_review.domain.sentences import Sentence
from egress_review.domain.snapshots import SnapshotFile, snapshot_sha256
from egress_review.models import OutputRequest
from egress_review.vault import Vault, VaultError
from enclave.domain.decisions import Decision, Deny, RefusedError
from enclave.domain.events import EventType
from enclave.portal.models import User
from enclave.portal.record import record
from enclave.portal.rules import StateConflictError

REFUSED = EventType.OUTPUT_REQUEST_REFUSED
NOT_HELD = Sentence(
    "The vault no longer holds this file as it was submitted, so it is not shown. The admin has to restore the vault."
)


def vault() -> Vault:
    """The vault of this enclave."""
    return Vault(settings.ENCLAVE.vault_dir)


def open_reason(reason: str) -> str:
    """A reason without the file name in it, for the open part of a record."""
    if isinstance(reason, Sentence) and "file" in reason.values:
        return str(Sentence(reason.template, **{**reason.values, "file": "(a file)"}))
    return reason


def plain_words(text: str) -> str:
    """What a person wrote, as the database takes it: without outer space, and without NUL, which PostgreSQL refuses."""
    return text.replace("\0", "").strip()


@contextmanager
def refusals_recorded(
    actor: User, *, project: str | None = None, subject: str | None = None, names: Sequence[str] = ()
) -> Iterator[None]:
    """Record a ``RefusedError`` of the body as ``output-request:refused`` and raise it on."""
    try:
        yield
    except RefusedError as refused:
        record(
            REFUSED,
            actor,
            project=project,
            subject=subject,
            decision="deny",
            counts={"files": len(names)} if names else {},
            data={"reasons": [open_reason(reason) for reason in refused.reasons]},
            payload={"reasons": list(refused.reasons), "files": list(names)[:100]} if names else None,
        )
        raise


def locked(request_id: str) -> OutputRequest:
    """The request's row, locked until the transaction ends. Raises RefusedError when there is none."""
    row = OutputRequest.objects.select_for_update().filter(pk=request_id).first()
    if row is None:
        raise RefusedError(Sentence("Expected an output request, found none with this id. Look at the list."))
    return row


def check_state(decision: Decision) -> None:
    """A ``Deny`` about the state becomes a ``StateConflictError`` (HTTP 409)."""
    if isinstance(decision, Deny):
        raise StateConflictError(*decision.reasons)


def held_snapshot_sha256(row: OutputRequest) -> str:
    """The snapshot hash of the bytes in the vault now; differs from the request's when one byte does."""
    held = vault()
    return snapshot_sha256(
        row.pk, (SnapshotFile(f.name, held.current_sha256(f.sha256), f.bytes) for f in row.snapshot_files())
    )


def held_bytes(file: SnapshotFile) -> bytes:
    """Bytes of one file, verified. Raises RefusedError."""
    try:
        return vault().read(file.sha256)
    except VaultError as error:
        raise RefusedError(NOT_HELD) from error
