"""Failures of a build as sentences for the reader: one table from kinds of error to what they mean.

The text of DuckDB's and the system's own errors is looked at for its kind, never passed on: it can quote rows.
"""

from __future__ import annotations

import errno
import os

import duckdb

from audit.client import AuditUnavailable
from enclave.domain.decisions import RefusedError
from enclave.extracts.permit_nodes import PermitError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FULL_WORDS = tuple(os.strerror(number) for number in sorted(_FULL))
DISK_FULL = (
    "Expected room on disk for the extract, found the disk (or the file size limit) full. Nothing was left behind. "
    "Free some space and build again."
)


def sentences(error: BaseException) -> tuple[str, ...]:
    """The reasons to tell; never empty."""
    match error:
        case PermitError():
            return tuple(f"permit.yaml, line {p.line}: {p.message}" for p in error.problems)
        case RefusedError():
            return error.reasons
        case AuditUnavailable():
            return (
                "Expected the audit log to take the record, found it away. Start the audit daemon, then build again.",
            )
        case duckdb.OutOfMemoryException() | MemoryError():
            return ("Expected the build to fit into memory, found none left. Narrow the row filters or add memory.",)
        case duckdb.Error() if any(word in str(error) for word in _FULL_WORDS):
            return (DISK_FULL,)
        case OSError() if error.errno in _FULL:
            return (DISK_FULL,)
        case OSError():
            found = os.strerror(error.errno or 0)
            return (f"Expected to read and write the builder's folders, found: {found}. Check owner, mode and disk.",)
        case duckdb.Error():
            found = type(error).__name__
            return (f"Expected DuckDB to carry out the plan, found {found}. Check the source's files and types.",)
        case _:
            found = type(error).__name__
            return (f"Expected the build to end, found a defect of ours ({found}). Report it with the log.",)
