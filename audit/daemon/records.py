"""A record on its way into the log, where it stands once it is in, and which of the last ones are remembered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from audit.event import Envelope, EventError, check_envelope
from audit.merkle import leaf_hash
from audit.own_events import OWN_WRITER, OwnEvent
from audit.wal import WalRecord

RECENT = 65_536
"""How many of the last records are remembered by event id, so that a record sent twice is kept once."""

_RESERVED = frozenset(event_type.value for event_type in OwnEvent) - {OwnEvent.READ.value}

Sender = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a record stands, and who sent it (to recognise the same record sent twice)."""

    index: int
    leaf_hash: bytes
    sender: Sender


@dataclass(frozen=True, slots=True)
class Prepared:
    """A record ready to be written; ``at`` is the time in its leaf."""

    event_id: str
    sender: Sender
    record: WalRecord
    at: datetime


class RecentRecords:
    """The last :data:`RECENT` records by event id."""

    def __init__(self) -> None:
        self._stored: OrderedDict[str, Stored] = OrderedDict()

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._stored

    def add(self, event_id: str, stored: Stored) -> None:
        """Remember a record, forget the oldest one beyond the limit."""
        self._stored[event_id] = stored
        if len(self._stored) > RECENT:
            self._stored.popitem(last=False)

    def add_leaf(self, index: int, leaf: bytes) -> None:
        """Remember a record found on disk at start."""
        fields = orjson.loads(leaf)
        sender = (fields["writer"], fields["boot"], fields["seq"])
        self.add(fields["event_id"], Stored(index, leaf_hash(leaf), sender))

    def get(self, event_id: str) -> Stored:
        """The record with this id; raise KeyError."""
        return self._stored[event_id]

    def answer(self, item: Prepared) -> Stored | EventError:
        """Where a committed record stands; an error when its id belongs to another one."""
        stored = self._stored[item.event_id]
        if stored.sender != item.sender:
            return EventError("event_id: another record has this id; give each record an id of its own.")
        return stored


def read_envelope(message: Mapping[str, Any]) -> Envelope:
    """The envelope of a message; raise EventError."""
    try:
        envelope = Envelope(message["event_id"], message["writer"], message["boot"], message["seq"])
    except KeyError as error:
        raise EventError(f"The message lacks {error.args[0]}; use audit.client.") from error
    check_envelope(envelope)
    return envelope


def check_not_own(envelope: Envelope, event_type: str) -> None:
    """Raise EventError when a client writes as the log itself: verifiers rely on what those records say."""
    if envelope.writer == OWN_WRITER:
        raise EventError(f"writer: '{OWN_WRITER}' is the log itself; give the process a name of its own.")
    if event_type in _RESERVED:
        raise EventError(f"type: only the log itself records {event_type}.")
