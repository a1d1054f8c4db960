"""The log as the portal reads it: an index for searching, the published files for every record that is shown."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from django.conf import settings

from audit.index import LogIndex
from audit.merkle import leaf_hash
from audit.reader import LogEntry, LogUnreadable, read_entry


@cache
def _index(log_dir: Path, index_dir: Path) -> LogIndex:
    return LogIndex(log_dir, index_dir)


def fresh_index() -> LogIndex:
    """This process's index, brought up to what is published now. Raises LogUnreadable, IndexUnwritable."""
    index = _index(settings.ENCLAVE.log_dir, settings.ENCLAVE.index_dir)
    index.refresh()
    return index


def entry_bytes(number: int) -> bytes:
    """The record's bytes as the log publishes them; raises LogUnreadable when it is not there (or was pruned)."""
    return read_entry(settings.ENCLAVE.log_dir, number)


def entry_at(number: int) -> LogEntry:
    """One record, read from the log itself; raises LogUnreadable."""
    entry = entry_bytes(number)
    leaf = json.loads(entry)
    if not isinstance(leaf, dict):
        raise LogUnreadable(f"Record {number} is not a JSON object; run 'enclave-audit verify'.")
    return LogEntry(number, leaf, leaf_hash(entry).hex())
