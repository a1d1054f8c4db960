"""The log itself: takes events, makes them durable in batches, signs, answers. No sockets here; one thread only."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from audit.canonical import encode_checked
from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.daemon.erasure import Erasure
from audit.daemon.keys import load_signer, lock_directories
from audit.daemon.pruning import leaf_time
from audit.daemon.publishing import PublishingThread
from audit.daemon.records import Prepared, RecentRecords, Stored, check_not_own, read_envelope
from audit.daemon.recovery import OpenedLog, Places, open_log
from audit.daemon.reserve import Reserve
from audit.daemon.retention import Retention
from audit.daemon.sealing import Sealer, is_disk_full
from audit.daemon.settings import LogSettings, staging_directory
from audit.durable import make_directories
from audit.event import (
    MAX_PAYLOAD_BYTES,
    AuditEvent,
    Envelope,
    EventError,
    Peer,
    event_fields,
    leaf_of,
    received_fields,
)
from audit.merkle import leaf_hash
from audit.own_events import OWN_WRITER, OwnEvent, own_event
from audit.payload_segments import PayloadSegments
from audit.payloads import PayloadVault
from audit.wal import Wal, WalFull, WalRecord

__all__ = ["AuditLog", "LogSettings", "Prepared", "Stored"]

CLOCK_TOLERANCE = timedelta(seconds=2)
"""A clock that is set back by more than this is recorded."""

_log = structlog.get_logger()


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class AuditLog:
    """Open on construction (raises StartRefused or WalRefused), then ``prepare`` records and ``commit`` them.

    ``minimum``: index below which entries are pruned; ``cut``: bytes of torn tail removed at start; ``full``: why no
    records are taken at present, if so.
    """

    def __init__(self, settings: LogSettings, clock: Callable[[], datetime] = utc_now) -> None:
        make_directories(settings.log_dir, 0o755)
        make_directories(settings.state_dir, 0o700)
        places = Places(settings.log_dir, settings.state_dir, staging_directory(settings), settings.witness_urls)
        self.settings = settings
        self._clock = clock
        self._locks = lock_directories(settings.state_dir, settings.log_dir)
        self._signer = load_signer(settings.state_dir, settings.log_dir, settings.origin, settings.hardware_key)
        self._reserve = Reserve(settings.state_dir / "reserve", settings.reserve_bytes)
        self._wal = Wal(settings.state_dir / "wal", settings.segment_bytes)
        kept = PayloadSegments(settings.state_dir / "payloads")
        opened = open_log(places, self._wal, kept, self._signer, self._reserve.give_up)
        sealer = Sealer(self._wal, kept)
        self.erasure = Erasure(PayloadVault(settings.state_dir / "keys"), kept, self._wal, settings.log_dir)
        self.publishing = PublishingThread(
            opened.publisher, settings.state_dir / "checkpoint", opened.note, sealer.work
        )
        self.publishing.make_room = self._reserve.give_up
        self.retention = Retention(places, sealer, kept, opened.minimum)
        self._take_over(opened)

    def _take_over(self, opened: OpenedLog) -> None:
        """State in memory, and what a crash left to be finished."""
        self._frontier, self._note, self.cut = opened.frontier, opened.note, opened.cut
        self._size = self._frontier.size
        self._recent = RecentRecords()
        for index, leaf in opened.recent:
            self._recent.add_leaf(index, leaf)
        self._boot, self._own_seq = secrets.token_hex(8), 0
        self._last_at = last_time(opened)
        self.full: str | None = None
        self.erasure.finish(opened.replayed)
        self.retention.finish_at_start(opened.replayed, self.erasure.vault, self._size)
        if not self._reserve.take():
            self.enter_full(f"There is no room for the reserve of {self.settings.reserve_bytes} bytes.")

    @property
    def size(self) -> int:
        """Number of durable records."""
        return self._size

    def now(self) -> datetime:
        """The wall clock the records are stamped with."""
        return self._clock()

    @property
    def minimum(self) -> int:
        """Index below which entries are pruned."""
        return self.retention.minimum

    @property
    def vkey(self) -> str:
        """The log's verifier key."""
        return str(self._signer.verifier)

    @property
    def note(self) -> str:
        """The signed checkpoint over all durable records."""
        return self._note.decode()

    def prepare(self, message: Mapping[str, Any], peer: Peer) -> Prepared:
        """Check what a client sent and build its leaf; raise EventError or CanonicalError."""
        envelope = read_envelope(message)
        fields = message.get("event")
        payload = message.get("payload")
        if not isinstance(fields, dict) or not isinstance(payload, str | None):
            raise EventError("Expected an event object and, if any, the payload as JSON text.")
        checked = received_fields(fields)
        check_not_own(envelope, checked["type"])
        return self._prepare(checked, envelope, peer, payload)

    def prepare_own(self, event: AuditEvent, event_id: str | None = None, at: datetime | None = None) -> Prepared:
        """A record by the daemon itself; raise EventError."""
        fields = event_fields(event)
        self._own_seq += 1
        envelope = Envelope(event_id or secrets.token_hex(16), OWN_WRITER, self._boot, self._own_seq)
        return self._prepare(fields, envelope, Peer(os.getuid(), os.getpid()), None, at)

    def _prepare(
        self, fields: dict[str, Any], envelope: Envelope, peer: Peer, payload: str | None, at: datetime | None = None
    ) -> Prepared:
        at = at or self._clock()
        commitment, blob = None, b""
        sender = (envelope.writer, envelope.boot, envelope.seq)
        if payload is not None and envelope.event_id not in self._recent:
            encoded = payload.encode("utf-8", "surrogatepass")
            if len(encoded) > MAX_PAYLOAD_BYTES:
                raise EventError(f"payload: expected at most {MAX_PAYLOAD_BYTES} bytes, found {len(encoded)}.")
            sealed = self.erasure.vault.seal(encoded, fields.get("project"), at)
            commitment, blob = sealed.commitment, sealed.blob
        leaf = encode_checked(leaf_of(fields, envelope, peer, at, commitment))
        return Prepared(envelope.event_id, sender, WalRecord(leaf, blob), at)

    def commit(self, batch: Sequence[Prepared]) -> list[Stored | EventError]:
        """Make a batch durable and sign it; one answer per record. Raise WalFull (nothing taken) or WalBroken.

        A record whose event id is known already is not written again: its first place is the answer.
        """
        fresh: dict[str, Prepared] = {}
        for item in batch:
            if item.event_id not in self._recent:
                fresh.setdefault(item.event_id, item)
        if fresh:
            if self.full is not None:
                self.leave_full()
            try:
                self._store(self._with_clock_jumps(fresh.values()))
            except WalFull as error:
                self.enter_full(str(error))
                raise
        return [self._recent.answer(item) for item in batch]

    def record_own(self, event: AuditEvent, event_id: str | None = None, *, on_full_disk: bool = False) -> Stored:
        """Append one record by the daemon itself, at once; raise WalFull or WalBroken.

        ``on_full_disk``: also while no other records are taken, in the space that the reserve left.
        """
        if event_id is not None and event_id in self._recent:
            return self._recent.get(event_id)
        item = self.prepare_own(event, event_id)
        if on_full_disk:
            self._store(self._with_clock_jumps([item]))
        else:
            self.commit([item])
        return self._recent.get(item.event_id)

    def enter_full(self, reason: str) -> None:
        """Take no more records: give the reserve up and use it to record that the log is full, once."""
        if self.full is not None:
            return
        self.full = reason
        self._reserve.give_up()
        _log.error("log-full", reason=reason)
        try:
            self.record_own(own_event(OwnEvent.LOG_FULL), on_full_disk=True)
        except WalFull as error:
            _log.error("log-full-not-recorded", reason=str(error))

    def leave_full(self) -> None:
        """Take records again if there is room for the reserve; raise WalFull while there is not."""
        if not self.publishing.caught_up or not self._reserve.take():
            raise WalFull("The audit log's disk is full; free some disk space. Until then nothing can be recorded.")
        self.record_own(own_event(OwnEvent.LOG_SPACE), on_full_disk=True)
        self.full = None
        _log.info("log-space")

    def _with_clock_jumps(self, items: Iterable[Prepared]) -> list[Prepared]:
        """The items, with a record before each whose time lies well before that of the record in front of it."""
        found = []
        last = self._last_at
        for item in items:
            if last is not None and item.at < last - CLOCK_TOLERANCE:
                back = round((last - item.at).total_seconds())
                found.append(self.prepare_own(own_event(OwnEvent.CLOCK_JUMPED, counts={"seconds": back}), at=item.at))
            last = item.at
            found.append(item)
        return found

    def _store(self, fresh: Sequence[Prepared]) -> None:
        self._wal.append([item.record for item in fresh])
        hashes = [leaf_hash(item.record.leaf) for item in fresh]
        for item, hashed in zip(fresh, hashes, strict=True):
            self._frontier.append(hashed)
            self._recent.add(item.event_id, Stored(self._size, hashed, item.sender))
            self._size += 1
        self._last_at = fresh[-1].at
        head = Checkpoint(self._signer.verifier.name, self._size, self._frontier.root())
        self._note = sign_checkpoint(head, self._signer)
        self.publishing.submit([item.record.leaf for item in fresh], hashes, self._note)

    def redact(self, month: Any, project: Any, by: Any, legal_basis: Any, *, event_id: str | None = None) -> Stored:
        """Erase the payloads of one month and project for good; raise EventError, WalFull or WalBroken.

        The record is durable first. The same ``event_id`` again gives the same answer.
        """
        if event_id is not None and event_id in self._recent:
            return self._recent.get(event_id)
        event, base, generation = self.erasure.plan(month, project, by, legal_basis)
        stored = self.record_own(event, event_id)
        self.erasure.vault.erase(base, generation)
        return stored

    def prune(self, before: datetime, by: Any, *, event_id: str | None = None) -> Stored:
        """Remove the records before a time, as far as whole bundles go; raise like ``redact``. Works on a full disk."""
        if event_id is not None and event_id in self._recent:
            return self._recent.get(event_id)
        self.publishing.flush()
        event, minimum = self.retention.plan(before, by, self._clock(), self._size)
        # a segment of its own for what stays: the old ones can go with the records they hold
        self.rotate_if_due(now=True)
        self.retention.prepare(self._size)
        stored = self.record_own(event, event_id, on_full_disk=True)
        self.retention.carry_out(minimum, before, self.erasure.vault, stored.index)
        return stored

    def rotate_if_due(self, *, now: bool = False) -> None:
        """Begin a new write-ahead segment when the present one is full (``now``: when it holds anything)."""
        if not (self._wal.wants_rotation or (now and not self._wal.is_empty)):
            return
        try:
            self._wal.rotate(self._size)
        except OSError as error:
            if now or not is_disk_full(error):
                raise
            # the segment simply grows on until there is room for a new one

    def close(self) -> None:
        """Publish everything and release files and locks; raise what publishing raised."""
        try:
            self.publishing.stop()
        finally:
            self._wal.close()
            while self._locks:
                os.close(self._locks.pop())


def last_time(opened: OpenedLog) -> datetime | None:
    """When the last record on disk was taken, None for an empty log."""
    if not opened.recent:
        return None
    return datetime.fromisoformat(leaf_time(opened.recent[-1][1]))
