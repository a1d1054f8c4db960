"""``enclave.limits``: what the data permit allows its reader, in figures. Pure. EHDS art. 68: what a permit states."""

from __future__ import annotations

from typing import Any

from enclave.gateway.admission import Caller
from enclave.gateway.usage import Sent


def describe_limits(caller: Caller, sent: Sent) -> dict[str, Any]:
    """Purpose and end of the permit, caps per query and day, and what is left of today (UTC); bytes, rows, seconds."""
    permit = caller.files.permit
    caps, outputs = permit.caps, permit.outputs
    return {
        "username": caller.person.username,
        "project": caller.record.id,
        "title": caller.record.title,
        "purpose": permit.purpose,
        "legal_basis": permit.legal_basis,
        "dataset": f"{permit.dataset} {permit.dataset_version}",
        "extract_version": caller.record.extract_version,
        "expires_on": caller.record.expires_on.isoformat(),
        "caps": {
            "rows": caps.rows,
            "bytes": caps.bytes,
            "seconds": caps.seconds,
            "rows_per_day": caps.rows_per_day,
            "bytes_per_day": caps.bytes_per_day,
            "streams": caps.streams,
        },
        "left_today": {
            "rows": max(0, caps.rows_per_day - sent.rows),
            "bytes": max(0, caps.bytes_per_day - sent.bytes),
        },
        "outputs": {
            "minimum_count": outputs.minimum_count,
            "file_types": list(outputs.file_types),
            "maximum_bytes": outputs.maximum_bytes,
            "maximum_files": outputs.maximum_files,
        },
    }
