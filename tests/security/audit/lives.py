"""Lives of the real log on a recorded disk, and everything it promised to the outside in them."""

from __future__ import annotations

import copy
import itertools
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

from lossy_disk import Moved
from recorded_disk import RecordedDisk

from audit.daemon import pruning
from audit.daemon.core import AuditLog, LogSettings, Stored
from audit.event import EventError, Peer

ORIGIN = "log.example.test/lost-writes"
SEGMENT_BYTES = 6_000
RESERVE_BYTES = 4_096
PEER = Peer(1000, 4711)

Message = dict[str, Any]


@dataclass(frozen=True)
class Acknowledged:
    """A receipt that left the log; ``after``: how many operations had been done by then."""

    after: int
    index: int
    leaf_hash: bytes
    note: str
    project: str = ""
    payload: str | None = None


@dataclass(frozen=True)
class Redaction:
    """An erasure of a project's payloads: the records below ``below`` are meant; ``done`` None: not answered."""

    begun: int
    project: str
    below: int
    done: int | None = None


@dataclass
class Promises:
    """What the log said to the outside, and what it was asked (``sent``); counted in operations of the present life.

    What earlier lives said holds from the start (0 operations).
    """

    vkey: str = ""
    acknowledged: list[Acknowledged] = field(default_factory=list)
    notes: list[tuple[int, bytes]] = field(default_factory=list)
    sent: list[tuple[int, Message]] = field(default_factory=list)
    redactions: list[Redaction] = field(default_factory=list)

    def up_to(self, count: int) -> Promises:
        """What had been said and asked after ``count`` operations, for the life that follows."""
        return Promises(
            self.vkey,
            [replace(said, after=0) for said in self.acknowledged if said.after <= count],
            [(0, note) for after, note in self.notes if after <= count],
            [(0, message) for after, message in self.sent if after <= count],
            [
                replace(each, begun=0, done=0 if each.done is not None and each.done <= count else None)
                for each in self.redactions
                if each.begun <= count
            ],
        )


class Life:
    """One process of the log on ``recording``; ``before``: what earlier processes promised."""

    def __init__(self, recording: RecordedDisk, before: Promises | None = None) -> None:
        self.recording = recording
        self.promises = before or Promises()
        self.log = AuditLog(settings(recording.root))
        self.promises.vkey = self.log.vkey
        self._seq = itertools.count(1)
        self._boot = secrets.token_hex(8)

    def commit(self, records: int) -> None:
        """Commit a batch of new records."""
        self.send([self.message(place % 5 == 0) for place in range(records)])

    def send_again(self, count: int) -> None:
        """What clients do after a crash: send the last messages again, answered or not."""
        self.send([message for _, message in self.promises.sent[-count:]])

    def send(self, messages: Sequence[Message]) -> None:
        """Commit messages as one batch; note the receipts at the number of operations done by then."""
        self.promises.sent += [(len(self.recording.operations), message) for message in messages]
        stored = self.log.commit([self.log.prepare(message, PEER) for message in messages])
        note, after = self.log.note, len(self.recording.operations)
        for message, place in zip(messages, stored, strict=True):
            assert not isinstance(place, EventError)
            project = message["event"]["project"]
            said = Acknowledged(after, place.index, place.leaf_hash, note, project, message.get("payload"))
            self.promises.acknowledged.append(said)
        self.log.rotate_if_due()

    def redact(self, project: str) -> None:
        """Erase the payloads of a project of this month."""
        begun, below = len(self.recording.operations), self.log.size
        place = len(self.promises.redactions)
        self.promises.redactions.append(Redaction(begun, project, below))
        stored = self.log.redact(f"{datetime.now(UTC):%Y-%m}", project, "dpo", "gdpr-art-17")
        self._answered(stored)
        done = len(self.recording.operations)
        self.promises.redactions[place] = Redaction(begun, project, below, done)

    def prune(self) -> None:
        """Remove all records so far, as far as whole bundles go."""
        with mock.patch.object(pruning, "LEAST_KEEP_DAYS", 0):  # the records are of now
            self._answered(self.log.prune(datetime.now(UTC), "dpo"))

    def _answered(self, stored: Stored) -> None:
        after = len(self.recording.operations)
        self.promises.acknowledged.append(Acknowledged(after, stored.index, stored.leaf_hash, self.log.note))

    def message(self, with_payload: bool) -> Message:
        """What a client would send."""
        number = next(self._seq)
        event = {"type": "query:intent", "actor": "u-1", "project": f"p-{number % 2}", "counts": {"n": number}}
        envelope = {"event_id": secrets.token_hex(16), "writer": "gateway", "boot": self._boot, "seq": number}
        payload = {"payload": json.dumps({"sql": "SELECT " + "x" * 300})} if with_payload else {}
        return {"op": "record", "event": event, **envelope, **payload}

    def end(self) -> Promises:
        """Close the log and add the checkpoints that were published on the way."""
        self.log.close()
        self.recording.check_complete()
        self.promises.notes += published(self.recording)
        return self.promises


def settings(root: Path) -> LogSettings:
    return LogSettings(root / "log", root / "state", ORIGIN, SEGMENT_BYTES, RESERVE_BYTES)


def published(recording: RecordedDisk) -> list[tuple[int, bytes]]:
    """Every checkpoint that stood under its name at some time, where any reader may have taken it."""
    disk = copy.deepcopy(recording.first)
    found = []
    for count, operation in enumerate(recording.operations, 1):
        disk.apply(operation)
        if isinstance(operation, Moved) and operation.name == "checkpoint":
            node = disk.directories[operation.directory].names["checkpoint"]
            found.append((count, bytes(disk.files[node].data)))
    return found


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for one life, in memory where possible: thousands are made, and what lasts is the model's business."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="en", dir=memory if os.access(memory, os.W_OK) else "/tmp") as folder:
        yield Path(folder)
