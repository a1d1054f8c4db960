"""Reading payloads, and erasing them: one month and project at a time, by destroying their key.

The record ``audit:redacted`` is durable before the key is touched, and it never names the person whose data went; the
start of the daemon finishes what a crash interrupted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import orjson

from audit.daemon.pruning import own_leaves
from audit.event import AuditEvent, EventError
from audit.own_events import OwnEvent, own_event
from audit.payload_segments import PayloadSegmentError, PayloadSegments
from audit.payloads import PayloadError, PayloadVault, generation_name, key_of, month_key_name
from audit.reader import LogUnreadable, read_entry
from audit.wal import Wal, WalRefused

_BASIS = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_PERSON = re.compile(r"[A-Za-z0-9._:@-]{1,128}", re.ASCII)


class Erasure:
    """Payloads as the daemon reads and erases them."""

    def __init__(self, vault: PayloadVault, kept: PayloadSegments, wal: Wal, log_dir: Path) -> None:
        self.vault = vault
        self._kept = kept
        self._wal = wal
        self._log_dir = log_dir

    def finish(self, replayed: Iterable[bytes]) -> None:
        """After a crash: carry out what was recorded as redacted, and destroy what was marked as erased."""
        self.vault.finish_erasures()
        for leaf in own_leaves(replayed, OwnEvent.REDACTED):
            self.vault.erase(str(leaf["subject"]).removeprefix("key:"), leaf["counts"]["generation"])

    def plan(self, month: str, project: str | None, by: str, legal_basis: str) -> tuple[AuditEvent, str, int]:
        """The record to make durable first, the key's name and newest generation; raise EventError."""
        check_person(by)
        if not isinstance(legal_basis, str) or not _BASIS.fullmatch(legal_basis):
            raise EventError("legal_basis: expected a short token such as gdpr-art-17 (letters, digits, . _ -).")
        if not isinstance(month, str) or not isinstance(project, str | None):
            raise EventError("month, project: expected text.")
        try:
            base = month_key_name(project, month)
        except ValueError as error:
            raise EventError(str(error)) from error
        generation = self.vault.generation(base)
        if not generation:
            raise EventError("There is no key for this month and project: nothing was kept, or it is erased already.")
        event = own_event(
            OwnEvent.REDACTED,
            subject=f"key:{base}",
            counts={"payloads": self._count(generation_name(base, generation)), "generation": generation},
            data={"legal_basis": legal_basis, "by": by},
        )
        return event, base, generation

    def read(self, index: int) -> str:
        """Decrypt a record's payload (JSON text); raise PayloadError, also for what is damaged or not there."""
        try:
            leaf, blob = self._find(index)
        except (LogUnreadable, PayloadSegmentError, WalRefused) as error:
            raise PayloadError(str(error)) from error
        commitment = orjson.loads(leaf).get("payload")
        if commitment is None:
            raise PayloadError(f"Record {index} has no payload.")
        return self.vault.open(blob, bytes.fromhex(commitment)).decode("utf-8", "surrogatepass")

    def _find(self, index: int) -> tuple[bytes, bytes]:
        """Leaf and ciphertext: from the payload segments, else from the write-ahead log (it may move on meanwhile)."""
        blob = self._kept.read(index)
        if blob is None:
            try:
                record = self._wal.read(index)
            except KeyError:
                blob = self._kept.read(index)
            else:
                return record.leaf, record.payload
        if blob is None:
            raise PayloadError(f"The payload of record {index} is not kept any more.")
        return read_entry(self._log_dir, index), blob

    def _count(self, key: str) -> int:
        """Payloads under a key, in the payload segments and in what the write-ahead log holds beyond them."""
        covered = self._kept.covered()[1]
        first, records = self._wal.read_from(covered)
        later = [record for at, record in enumerate(records, first) if at >= covered and record.payload]
        return self._kept.count(key) + sum(key_of(record.payload) == key for record in later)


def check_person(by: object) -> None:
    """Raise EventError unless ``by`` is a person id."""
    if not isinstance(by, str) or not _PERSON.fullmatch(by):
        raise EventError("by: expected the id of the person who does this (1 to 128 letters, digits or . _ : @ -).")
