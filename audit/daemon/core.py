"""The log itself: takes events, makes them durable in batches, signs, answers. No sockets here; one thread only."""

from __future__ import annotations

import json
import os
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit.canonical import canonical_json
from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.daemon.keys import StartRefused, load_signer, lock_directories
from audit.daemon.publishing import PublishingThread
from audit.daemon.recovery import RECENT, open_log
from audit.durable import make_directories
from audit.event import (
    MAX_PAYLOAD_BYTES,
    AuditEvent,
    Envelope,
    EventError,
    Peer,
    check_envelope,
    check_event,
    checked_fields,
    event_from_fields,
    leaf_of,
)
from audit.merkle import leaf_hash
from audit.payloads import PayloadError, PayloadVault
from audit.wal import DEFAULT_SEGMENT_BYTES, Wal, WalRecord


@dataclass(frozen=True)
class LogSettings:
    """Where the log lives and under which name it signs."""

    log_dir: Path
    state_dir: Path
    origin: str
    segment_bytes: int = DEFAULT_SEGMENT_BYTES


@dataclass(frozen=True)
class Stored:
    """Where a record stands, and who sent it (to recognise the same record sent twice)."""

    index: int
    leaf_hash: bytes
    sender: tuple[str, str, int]


@dataclass(frozen=True)
class Prepared:
    """A record ready to be written."""

    event_id: str
    sender: tuple[str, str, int]
    record: WalRecord


class AuditLog:
    """Open on construction (raises StartRefused or WalRefused), then ``prepare`` records and ``commit`` them."""

    def __init__(self, settings: LogSettings) -> None:
        make_directories(settings.log_dir, 0o755)
        make_directories(settings.state_dir, 0o700)
        staging = staging_directory(settings)
        self._locks = lock_directories(settings.state_dir, settings.log_dir)
        self._signer = load_signer(settings.state_dir, settings.log_dir, settings.origin)
        self._wal = Wal(settings.state_dir / "wal", settings.segment_bytes)
        self._vault = PayloadVault(settings.state_dir / "keys")
        opened = open_log(settings.log_dir, settings.state_dir, staging, self._wal, self._signer)
        self._frontier, self._note, self.cut = opened.frontier, opened.note, opened.cut
        self._size = self._frontier.size
        self._recent: OrderedDict[str, Stored] = OrderedDict()
        for index, leaf in opened.recent:
            self._remember_leaf(index, leaf)
        self._boot, self._own_seq = secrets.token_hex(8), 0
        self.publishing = PublishingThread(opened.publisher, settings.state_dir / "checkpoint", opened.note)

    @property
    def size(self) -> int:
        """Number of durable records."""
        return self._size

    @property
    def vkey(self) -> str:
        """The log's verifier key."""
        return str(self._signer.verifier)

    def prepare(self, message: Mapping[str, Any], peer: Peer) -> Prepared:
        """Check what a client sent and build its leaf; raise EventError or CanonicalError."""
        envelope = read_envelope(message)
        fields = message.get("event")
        payload = message.get("payload")
        if not isinstance(fields, dict) or not isinstance(payload, str | None):
            raise EventError("Expected an event object and, if any, the payload as JSON text.")
        return self._prepare(event_from_fields(fields), envelope, peer, payload)

    def prepare_own(self, event: AuditEvent) -> Prepared:
        """A record by the daemon itself; raise EventError."""
        check_event(event)
        self._own_seq += 1
        envelope = Envelope(secrets.token_hex(16), "audit", self._boot, self._own_seq)
        return self._prepare(event, envelope, Peer(os.getuid(), os.getpid()), None)

    def _prepare(self, event: AuditEvent, envelope: Envelope, peer: Peer, payload: str | None) -> Prepared:
        at = datetime.now(UTC)
        commitment, blob = None, b""
        sender = (envelope.writer, envelope.boot, envelope.seq)
        if payload is not None and envelope.event_id not in self._recent:
            encoded = payload.encode("utf-8", "surrogatepass")
            if len(encoded) > MAX_PAYLOAD_BYTES:
                raise EventError(f"payload: expected at most {MAX_PAYLOAD_BYTES} bytes, found {len(encoded)}.")
            sealed = self._vault.seal(encoded, event.project, at)
            commitment, blob = sealed.commitment, sealed.blob
        leaf = canonical_json(leaf_of(checked_fields(event), envelope, peer, at, commitment))
        return Prepared(envelope.event_id, sender, WalRecord(leaf, blob))

    def commit(self, batch: Sequence[Prepared]) -> list[Stored | EventError]:
        """Make a batch durable and sign it; one answer per record. Raise WalFull (nothing taken) or WalBroken.

        A record whose event id is known already is not written again: its first place is the answer.
        """
        fresh: dict[str, Prepared] = {}
        for item in batch:
            if item.event_id not in self._recent:
                fresh.setdefault(item.event_id, item)
        if fresh:
            self._store(list(fresh.values()))
        return [self._answer(item) for item in batch]

    def _store(self, fresh: Sequence[Prepared]) -> None:
        self._wal.append([item.record for item in fresh])
        hashes = [leaf_hash(item.record.leaf) for item in fresh]
        for item, hashed in zip(fresh, hashes, strict=True):
            self._frontier.append(hashed)
            self._remember(item.event_id, Stored(self._size, hashed, item.sender))
            self._size += 1
        head = Checkpoint(self._signer.verifier.name, self._size, self._frontier.root())
        self._note = sign_checkpoint(head, self._signer)
        self.publishing.submit([item.record.leaf for item in fresh], hashes, self._note)

    def _answer(self, item: Prepared) -> Stored | EventError:
        stored = self._recent[item.event_id]
        if stored.sender != item.sender:
            return EventError("event_id: another record has this id; give each record an id of its own.")
        return stored

    @property
    def note(self) -> str:
        """The signed checkpoint over all durable records."""
        return self._note.decode()

    def leaf(self, index: int) -> dict[str, Any]:
        """The leaf at ``index``; raise KeyError."""
        leaf: dict[str, Any] = json.loads(self._wal.read(index).leaf)
        return leaf

    def payload(self, index: int) -> str:
        """Decrypt a record's payload (JSON text); raise PayloadError or KeyError."""
        record = self._wal.read(index)
        commitment = json.loads(record.leaf).get("payload")
        if commitment is None:
            raise PayloadError(f"Record {index} has no payload.")
        return self._vault.open(record.payload, bytes.fromhex(commitment)).decode("utf-8", "surrogatepass")

    def rotate_if_due(self) -> None:
        """Begin a new write-ahead segment when the present one is full; what it holds is published first."""
        if self._wal.wants_rotation:
            self.publishing.flush()
            self._wal.rotate(self._size)

    def close(self) -> None:
        """Publish everything and release files and locks; raise what publishing raised."""
        try:
            self.publishing.stop()
        finally:
            self._wal.close()
            for descriptor in self._locks:
                os.close(descriptor)

    def _remember(self, event_id: str, stored: Stored) -> None:
        self._recent[event_id] = stored
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)

    def _remember_leaf(self, index: int, leaf: bytes) -> None:
        fields = json.loads(leaf)
        sender = (fields["writer"], fields["boot"], fields["seq"])
        self._remember(fields["event_id"], Stored(index, leaf_hash(leaf), sender))


def read_envelope(message: Mapping[str, Any]) -> Envelope:
    """The envelope of a message; raise EventError."""
    try:
        envelope = Envelope(message["event_id"], message["writer"], message["boot"], message["seq"])
    except KeyError as error:
        raise EventError(f"The message lacks {error.args[0]}; use audit.client.") from error
    check_envelope(envelope)
    return envelope


def staging_directory(settings: LogSettings) -> Path:
    """A folder for temporary files on the log's file system, outside the log directory whenever that is possible."""
    staging = settings.state_dir / "staging"
    make_directories(staging, 0o700)
    if staging.stat().st_dev == settings.log_dir.stat().st_dev:
        return staging
    beside = settings.log_dir.parent / f".{settings.log_dir.name}.staging"
    make_directories(beside, 0o700)
    if beside.stat().st_dev != settings.log_dir.stat().st_dev:
        raise StartRefused(
            "The log directory is a mount of its own: neither the state directory nor its parent is on its file system."
            " Use a folder inside the mount as the log directory."
        )
    return beside
