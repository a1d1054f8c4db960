"""Reading bytes from the vault, for review and, once released, for the requester.

Each access is recorded before the bytes are handed over (EHDS art. 73(1)(e)).
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import IO

from egress_review.actions.recorded import held_bytes, refusals_recorded
from egress_review.domain.snapshots import SnapshotFile
from egress_review.domain.visibility import Part, check_see
from egress_review.models import OutputRequest
from enclave.domain.events import EventType
from enclave.portal.models import User
from enclave.portal.record import record

RECEIPT_NAME = "receipt.jws"
_MEMORY_BYTES = 8_000_000


def check_part(user: User, request: OutputRequest, part: Part) -> None:
    """Raises RefusedError (recorded) when ``user`` may not see ``part``."""
    with refusals_recorded(user, project=request.project_id, subject=request.pk):
        check_see(part, user.as_person(), request.as_facts())


def view_files(user: User, request: OutputRequest) -> dict[str, bytes]:
    """All files for the review page, by name; missing or altered ones raise RefusedError."""
    files = request.snapshot_files()
    with refusals_recorded(user, project=request.project_id, subject=request.pk):
        check_see(Part.FILES, user.as_person(), request.as_facts())
        contents = {file.name: held_bytes(file) for file in files}
    record_viewed(user, request, files)
    return contents


def view_file(user: User, request: OutputRequest, position: int) -> tuple[SnapshotFile, bytes]:
    """One file for a reviewer; ``position`` counts from 1."""
    with refusals_recorded(user, project=request.project_id, subject=request.pk):
        check_see(Part.FILES, user.as_person(), request.as_facts())
        file = request.file_at(position)
        content = held_bytes(file)
    record_viewed(user, request, (file,))
    return file, content


def record_viewed(user: User, request: OutputRequest, files: Sequence[SnapshotFile]) -> None:
    """The record that comes before bytes are shown to a reviewer."""
    record(
        EventType.OUTPUT_REQUEST_VIEWED,
        user,
        project=request.project_id,
        subject=request.pk,
        decision="allow",
        counts={"files": len(files)},
        data={"files_sha256": [file.sha256 for file in files]},
    )


def download_file(user: User, request: OutputRequest, position: int) -> tuple[SnapshotFile, bytes]:
    """One released file for the requester. Raises RefusedError (recorded)."""
    with refusals_recorded(user, project=request.project_id, subject=request.pk):
        check_see(Part.RELEASED_FILES, user.as_person(), request.as_facts())
        file = request.file_at(position)
        content = held_bytes(file)
    _record_downloaded(user, request, (file,))
    return file, content


def download_archive(user: User, request: OutputRequest) -> IO[bytes]:
    """A zip of all released files and the receipt, at its start; the caller closes it. Raises RefusedError."""
    archive: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES)  # noqa: SIM115 - handed to the response
    files = request.snapshot_files()
    try:
        with refusals_recorded(user, project=request.project_id, subject=request.pk):
            check_see(Part.RELEASED_FILES, user.as_person(), request.as_facts())
            with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
                for file in files:
                    packed.writestr(_entry(f"files/{file.name}", request.closed_at), held_bytes(file))
                packed.writestr(_entry(RECEIPT_NAME, request.closed_at), request.receipt)
        _record_downloaded(user, request, files)
    except BaseException:
        archive.close()
        raise
    archive.seek(0)
    return archive


def _entry(name: str, at: datetime | None) -> zipfile.ZipInfo:
    moment = (at or datetime.now(UTC)).astimezone(UTC)
    entry = zipfile.ZipInfo(name, (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    return entry


def _record_downloaded(user: User, request: OutputRequest, files: tuple[SnapshotFile, ...]) -> None:
    record(
        EventType.OUTPUT_REQUEST_DOWNLOADED,
        user,
        project=request.project_id,
        subject=request.pk,
        decision="allow",
        counts={"files": len(files), "bytes": sum(file.bytes for file in files)},
        data={"files_sha256": [file.sha256 for file in files]},
    )
